"""How good the predictions are on the measured rows at hand: each card left out in turn, then each chip generation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median

from gpucloud.core.offers import Accelerator
from gpucloud.core.predict import Predictor, chip
from gpucloud.core.roofline import precision_class
from gpucloud.core.series import Series, pool, series_of, usable_rates
from gpucloud.core.throughput import Benchmark

LEAVES = ("card", "chip")
ORDER_NEEDS_CARDS = 4
Group = tuple[str, str, str]  # model, precision class, unit


@dataclass(frozen=True)
class Guess:
    """One measured cell, predicted without its card (or chip): rates per GPU and the 80 % interval."""

    group: Group
    series: str
    card: str
    measured: float
    predicted: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Relative error of the prediction."""
        return abs(self.predicted / self.measured - 1)


@dataclass(frozen=True)
class Quality:
    """What the guesses of one sweep come to. `coverage` is the share inside the interval."""

    leave: str
    cells: int
    median_error: float
    p90_error: float
    coverage: float
    order: float | None  # mean Spearman correlation of the order of cards


def grouped(rows: Iterable[Benchmark]) -> dict[Group, list[Benchmark]]:
    """Usable rates by model, precision class and unit, in a fixed order."""
    groups: dict[Group, list[Benchmark]] = defaultdict(list)
    for row in usable_rates(rows):
        groups[row.model, precision_class(row.precision), row.unit].append(row)
    return {group: groups[group] for group in sorted(groups)}


def guesses(rows: Iterable[Benchmark], cards: Mapping[str, Accelerator], leave: str) -> list[Guess]:
    """Every measured cell predicted with its `card` or its whole `chip` generation left out."""
    found: list[Guess] = []
    for group, members in grouped(rows).items():
        series = series_of([row for row in members if row.accelerator in cards])
        names = sorted({name for one in series for name in one.per_gpu})
        for key in sorted({_key(cards[name], leave) for name in names}):
            hidden = {name for name in names if _key(cards[name], leave) == key}
            found.extend(_guesses_without(hidden, series, cards, group))
    return found


def _key(card: Accelerator, leave: str) -> str:
    return card.name if leave == "card" else chip(card)


def _guesses_without(
    hidden: set[str], series: list[Series], cards: Mapping[str, Accelerator], group: Group
) -> list[Guess]:
    seen = [_without(one, hidden) for one in series]
    shared = pool(seen)
    together = Predictor(shared.per_gpu, cards, group[1])
    found = []
    for one, rest in zip(series, seen, strict=True):
        factor = shared.factors.get(one.key)
        predictor = together if factor is not None else Predictor(rest.per_gpu, cards, group[1])
        for name in sorted(hidden & one.per_gpu.keys()):
            guess = predictor.predict(cards[name])
            if guess is not None:
                scale = factor or 1.0
                found.append(
                    Guess(
                        group,
                        " ".join(one.key),
                        name,
                        one.per_gpu[name],
                        guess.value * scale,
                        guess.low * scale,
                        guess.high * scale,
                    )
                )
    return found


def _without(series: Series, hidden: set[str]) -> Series:
    kept = {name: rate for name, rate in series.per_gpu.items() if name not in hidden}
    return Series(series.key, series.year, kept, series.rows)


def quality(sweep: list[Guess], leave: str) -> Quality | None:
    """Errors and coverage of a sweep; None when nothing could be predicted."""
    if not sweep:
        return None
    errors = sorted(guess.error for guess in sweep)
    inside = [guess.low <= guess.measured <= guess.high for guess in sweep]
    return Quality(
        leave,
        len(sweep),
        median(errors),
        errors[min(len(errors) - 1, int(0.9 * len(errors)))],
        sum(inside) / len(inside),
        _mean_order(sweep),
    )


def _mean_order(sweep: list[Guess]) -> float | None:
    by_series: dict[tuple[Group, str], list[Guess]] = defaultdict(list)
    for guess in sweep:
        by_series[guess.group, guess.series].append(guess)
    orders = [
        spearman([guess.measured for guess in same], [guess.predicted for guess in same])
        for same in by_series.values()
        if len(same) >= ORDER_NEEDS_CARDS
    ]
    return fmean(orders) if orders else None


def spearman(xs: list[float], ys: list[float]) -> float:
    """Rank correlation without ties; 1 for the same order."""
    n = len(xs)
    rank_x = {index: rank for rank, index in enumerate(sorted(range(n), key=lambda i: xs[i]))}
    rank_y = {index: rank for rank, index in enumerate(sorted(range(n), key=lambda i: ys[i]))}
    squares = sum((rank_x[i] - rank_y[i]) ** 2 for i in range(n))
    return 1 - 6 * squares / (n * (n * n - 1))
