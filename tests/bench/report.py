"""What a benchmark says: a ratio taken within one run, the bound it has to keep, and the figures behind it."""

from __future__ import annotations

import math
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """`value` in `unit` (× for ratios); `bound` is the largest good value, None when there is none.

    A `value` of NaN was not measured; `detail` says why.
    """

    name: str
    value: float
    bound: float | None
    unit: str = "×"
    detail: str = ""

    @classmethod
    def skipped(cls, name: str, reason: str) -> Row:
        """A row that could not be measured here."""
        return cls(name, math.nan, None, "", reason)

    @property
    def verdict(self) -> str:
        """ok, over, SKIPPED, or nothing where there is no bound."""
        if math.isnan(self.value):
            return "SKIPPED"
        if self.bound is None:
            return ""
        return "ok" if self.value <= self.bound else "over"


def interleaved(works: dict[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, float]:
    """Median seconds of each piece of work, taken in turns so that noise hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + warm_up):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            if number >= warm_up:
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def command(*words: object, **options: object) -> Callable[[], object]:
    """A piece of work that runs a command to its end; a failure is an error."""
    line = [str(word) for word in words]
    return lambda: subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]


def line(row: Row) -> str:
    """One row as text."""
    bound = "" if row.bound is None else f"{row.bound:g}"
    return f"{row.name:52} {row.value:8.3g} {row.unit:2} {bound:>8}  {row.verdict:7} {row.detail}"


def table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    return "\n".join([f"{'benchmark':52} {'value':>11} {'bound':>8}  {'':7} detail", *map(line, rows)])
