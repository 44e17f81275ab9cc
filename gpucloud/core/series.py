"""Measured rows brought to one scale: rates per GPU of one model, on the cards that were measured.

A series is what one software measured (precision and framework). Two series differ by a factor, which the cards
that both measured tell; so a card that only an older software measured can be set beside the newer ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import exp, log
from statistics import fmean, median

from gpucloud.core.roofline import precision_class
from gpucloud.core.throughput import PRECISIONS, Benchmark

ENOUGH_CARDS = 5
Key = tuple[str, str]  # precision, framework (the source where none is named)


@dataclass(frozen=True)
class Series:
    """What one software measured: the best rate per GPU of each card, from its smallest count."""

    key: Key
    year: int
    per_gpu: Mapping[str, float]
    rows: Mapping[str, Benchmark]


@dataclass(frozen=True)
class Pool:
    """All series of one model, precision class and unit. `factor` of a series over the reference; 1 for that."""

    unit: str
    reference: Series | None
    factors: Mapping[Key, float] = field(default_factory=dict)
    per_gpu: Mapping[str, float] = field(default_factory=dict)
    series: tuple[Series, ...] = ()

    def row(self, card: str) -> tuple[Benchmark, float] | None:
        """The measured row of a card from the series nearest to the reference, and that series' factor."""
        known = [one for one in self.series if card in one.rows and one.key in self.factors]
        if not known:
            return None
        best = min(known, key=lambda one: (abs(log(self.factors[one.key])), -one.year, one.key))
        return best.rows[card], self.factors[best.key]


def usable_rates(rows: Iterable[Benchmark]) -> list[Benchmark]:
    """Rows that say work per second and that nothing speaks against."""
    return [row for row in rows if row.is_rate and not row.is_doubtful and row.throughput > 0]


def classes(rows: Iterable[Benchmark]) -> list[str]:
    """Precision classes of these rows, the one people train with today first."""
    found = {precision_class(row.precision): row.precision for row in sorted(rows, key=_by_precision, reverse=True)}
    return sorted(found, key=lambda name: PRECISIONS.index(found[name]))


def _by_precision(row: Benchmark) -> int:
    return PRECISIONS.index(row.precision)


def series_of(rows: Iterable[Benchmark]) -> list[Series]:
    """The series of rows of one model, precision class and unit, in a fixed order."""
    by_key: dict[Key, dict[str, list[Benchmark]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_key[row.precision, row.framework or row.source][row.accelerator].append(row)
    return [_one_series(key, by_key[key]) for key in sorted(by_key)]


def _one_series(key: Key, by_card: Mapping[str, list[Benchmark]]) -> Series:
    chosen, rates = {}, {}
    for card in sorted(by_card):
        smallest = min(row.accelerator_count for row in by_card[card])
        by_batch: dict[float, list[Benchmark]] = defaultdict(list)
        for row in by_card[card]:
            if row.accelerator_count == smallest:
                by_batch[row.batch_size or 0.0].append(row)
        middle = [sorted(same, key=lambda row: row.throughput)[len(same) // 2] for same in by_batch.values()]
        chosen[card] = max(middle, key=lambda row: (row.throughput, row.year or 0, row.source))
        rates[card] = max(median(row.throughput for row in same) for same in by_batch.values()) / smallest
    year = max((row.year or 0) for rows in by_card.values() for row in rows)
    return Series(key, year, rates, chosen)


def pool(series: Iterable[Series], precision: str | None = None) -> Pool:
    """Bring the series to the scale of the reference: the newest with enough cards, else the one with most.

    With a `precision` the reference is of that one. Series that share no card with the others, even through a
    third, stay out.
    """
    waiting = [one for one in series if one.per_gpu]
    if not waiting:
        return Pool("", None)
    reference = _reference([one for one in waiting if precision in (None, one.key[0])] or waiting)
    kept, factors = [reference], {reference.key: 1.0}
    logs: dict[str, list[float]] = {card: [log(y)] for card, y in reference.per_gpu.items()}
    waiting.remove(reference)
    while waiting:
        nearest = max(waiting, key=lambda one: (len(one.per_gpu.keys() & logs), len(one.per_gpu), one.year, one.key))
        common = nearest.per_gpu.keys() & logs
        if not common:
            break
        waiting.remove(nearest)
        shift = median(log(nearest.per_gpu[card]) - fmean(logs[card]) for card in common)
        kept.append(nearest)
        factors[nearest.key] = exp(shift)
        for card, y in nearest.per_gpu.items():
            logs.setdefault(card, []).append(log(y) - shift)
    per_gpu = {card: exp(fmean(values)) for card, values in sorted(logs.items())}
    unit = next(iter(reference.rows.values())).unit
    return Pool(unit, reference, factors, per_gpu, tuple(kept))


def _reference(series: list[Series]) -> Series:
    return max(series, key=lambda one: (min(len(one.per_gpu), ENOUGH_CARDS), one.year, len(one.per_gpu), one.key))
