"""How throughput grows with the number of GPUs, from measured points."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

from gpucloud.core.errors import UsageError

SUPERLINEAR = 1.15  # per-GPU gain above which a measurement is more likely wrong than fast


def scaling(points: Mapping[float, float], at: float | None = None, *, per_gpu: bool = False) -> dict[str, Any]:
    """Speed-up and efficiency of the largest count against the smallest, and the throughput at `at`.

    `points` maps the count to throughput: the total, or per GPU with `per_gpu`; `predicted` is of the same
    kind. Between measured counts a power law through the two neighbours, outside one through all points.
    """
    totals = {n: y * n if per_gpu else y for n, y in sorted(points.items())}
    if len(totals) < 2 and at is not None:
        raise UsageError("One point does not show how it scales.", "Give a second --point N=Y.")
    smallest, largest = min(totals), max(totals)
    speedup = {n: smallest * y / totals[smallest] for n, y in totals.items()}
    predicted = None if at is None else predict_total(totals, at)
    return {
        "speedup": speedup[largest] / smallest,
        "efficiency": speedup[largest] / largest,
        "predicted": predicted / at if predicted is not None and per_gpu and at else predicted,
        "predicted_total": predicted,
        "points": [{"n": n, "total": y, "efficiency": speedup[n] / n} for n, y in totals.items()],
        "superlinear": [n for n in totals if speedup[n] / n > SUPERLINEAR],
    }


def predict_total(totals: Mapping[float, float], at: float) -> float:
    """Total throughput at `at` GPUs: exact at measured counts, a power law elsewhere, never superlinear outside."""
    counts = sorted(totals)
    if at in totals:
        return totals[at]
    below = [n for n in counts if n < at]
    above = [n for n in counts if n > at]
    if below and above:
        left, right = below[-1], above[0]
        slope = log(totals[right] / totals[left]) / log(right / left)
        return float(totals[left] * (at / left) ** slope)
    anchor = below[-1] if below else above[0]
    return float(totals[anchor] * (at / anchor) ** min(1.0, _slope(totals)))


def _slope(totals: Mapping[float, float]) -> float:
    xs = [log(n) for n in totals]
    ys = [log(y) for y in totals.values()]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread


def amdahl_serial_share(n: float, efficiency: float) -> float:
    """The share of the work that does not parallelise, from one measured efficiency (Amdahl 1967)."""
    return 0.0 if n <= 1 else max(0.0, (1 / efficiency - 1) / (n - 1))
