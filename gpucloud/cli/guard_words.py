"""What ends a machine without anybody, as a phrase: `the machine stops itself at 14:05 tomorrow, also if …`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gpucloud.core.guards import clock_words

ITSELF = {"stop": "stops itself", "delete": "deletes itself", "end_runs": "ends the runs and gives the GPUs back"}
BY_CLOUD = {"stop": "stops it", "delete": "deletes it"}


def guard_phrase(
    kind: str,
    action: str,
    ends_epoch_s: float | None,
    survives: Sequence[str],
    now: float,
    idle_s: float | None = None,
) -> str:
    """One guard. Times are epoch seconds and are said in the reader's own zone; `idle_s` is how long idle is."""
    if kind == "client":
        return "`gpucloud down` deletes it, and `gpucloud gc` what was forgotten"
    words = _who_does_what(kind, action) + _when(kind, ends_epoch_s, now, idle_s)
    failures = ", ".join(survives).replace("_", " ")
    return f"{words}, also if: {failures}" if failures else words


def _who_does_what(kind: str, action: str) -> str:
    if kind == "provider":
        return f"the cloud {BY_CLOUD.get(action, action)}"
    return f"the machine {ITSELF.get(action, action)}"


def _when(kind: str, ends_epoch_s: float | None, now: float, idle_s: float | None) -> str:
    if ends_epoch_s is not None:
        return f" at {clock_words(datetime.fromtimestamp(now), datetime.fromtimestamp(ends_epoch_s))}"
    return f" when it was idle for {idle_s / 60:g} min" if idle_s else " when it is idle"
