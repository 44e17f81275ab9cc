"""What is to be done, as people say it: `90 epochs`, `1e12 tokens`, `500h@V100`; and what somebody measured."""

from __future__ import annotations

import re
from typing import NamedTuple

from gpucloud.core.errors import UsageError
from gpucloud.core.ranges import number
from gpucloud.core.units import duration_s

UNITS = {
    "tokens": "tokens", "token": "tokens", "samples": "samples", "sample": "samples", "images": "samples",
    "image": "samples", "sequences": "samples", "steps": "steps", "step": "steps", "epochs": "epochs",
    "epoch": "epochs",
}  # fmt: skip
RATE_UNITS = {**UNITS, "tok": "tokens", "img": "samples", "it": "steps", "iterations": "steps"}
HOW = 'Write it like "90 epochs", "1e12 tokens", "5e6 samples", "20000 steps" or "500h@V100".'
_AMOUNT = re.compile(r"\s*(\S+)\s+([a-zA-Z]+)\s*")
_TIME = re.compile(r"\s*(\S+)\s*@\s*(\S+)\s*")
_RATE = re.compile(r"\s*(\S+)\s+([a-zA-Z]+)\s*/\s*(s|sec|second|min|h)\s*@\s*(\S+)\s*")
PER_SECOND = {"s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "h": 3600.0}


class Work(NamedTuple):
    """An amount in `unit` (tokens, samples, steps, epochs), or seconds on `card` when the unit is `seconds`."""

    amount: float
    unit: str
    card: str = ""


class Measured(NamedTuple):
    """A rate that the user has seen: units a second on `card` (NAME or NAME:COUNT)."""

    rate: float
    unit: str
    card: str


def parse_work(text: str) -> Work:
    """Raises UsageError for what is neither an amount with a unit nor a time on a GPU."""
    timed = _TIME.fullmatch(text)
    if timed:
        seconds = duration_s(timed[1], "--work")
        return Work(_positive(seconds, text), "seconds", timed[2])
    amount = _AMOUNT.fullmatch(text)
    if amount is None:
        raise UsageError(f"--work '{text}' is not an amount of work.", HOW)
    unit = UNITS.get(amount[2].casefold())
    if unit is None:
        raise UsageError(f"--work '{text}' has no known unit.", HOW)
    return Work(_positive(number(amount[1], "--work"), text), unit)


def parse_measured(text: str) -> Measured:
    """`"2.1 steps/s@RTX3090"`. Raises UsageError for anything else."""
    match = _RATE.fullmatch(text)
    unit = RATE_UNITS.get(match[2].casefold()) if match else None
    if match is None or unit in (None, "epochs"):
        raise UsageError(f"--measured '{text}' is not a rate on a GPU.", 'Write it like "2.1 steps/s@RTX3090".')
    rate = _positive(number(match[1], "--measured"), text) / PER_SECOND[match[3]]
    return Measured(rate, str(unit), match[4])


def _positive(value: float, text: str) -> float:
    if not 0 < value < float("inf"):
        raise UsageError(f"'{text}' is no work at all.", HOW)
    return value


def in_units_of(work: Work, unit: str, model: str, epoch_units: float | None) -> float:
    """The amount in the unit that the model's speed is known in. Raises UsageError when they do not match."""
    if work.unit == "epochs":
        if epoch_units is None:
            raise UsageError(
                f"How much an epoch of {model or 'this model'} is, the catalog does not know.",
                f'Give the amount itself, as in "1e9 {unit}".',
            )
        return work.amount * epoch_units
    if work.unit != unit:
        raise UsageError(
            f"The work is in {work.unit}, but the speed of {model or 'this model'} is known in {unit}.",
            f'Give the work in {unit}, as in "1e9 {unit}".',
        )
    return work.amount
