"""Which tone a word of a table has: good, a warning or bad. The word itself says the same."""

from __future__ import annotations

from gpucloud.render.paint import Tone

STATES: dict[str, Tone] = {
    **dict.fromkeys(("ready", "running", "succeeded", "made"), "good"),
    **dict.fromkeys(("settling", "preempted", "ended by guard", "cancelled"), "warn"),
    **dict.fromkeys(("failed", "lost"), "bad"),
}


def of_state(words: str) -> Tone:
    """The state of a deployment or a run, or what came of an attempt."""
    return STATES.get(words, "")


def of_exit(words: str) -> Tone:
    """An exit code: anything but 0 is bad."""
    return "bad" if words not in ("", "0") else ""


def of_yes(words: str) -> Tone:
    """Whether something can be used."""
    return {"yes": "good", "no": "warn"}.get(words, "")  # type: ignore[return-value]


def of_remark(words: str) -> Tone:
    """What keeps an offer from being taken at its word; a mere price is no warning."""
    return "warn" if words and words != "price only" else ""


def of_mark(words: str) -> Tone:
    """An option that nothing beats in both cost and time stands out."""
    return "good" if "pareto" in words else ""
