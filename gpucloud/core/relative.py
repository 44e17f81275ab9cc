"""How many times faster one card is than another: for each model that measured both, and over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from gpucloud.core.self_check import grouped
from gpucloud.core.series import series_of
from gpucloud.core.throughput import Benchmark


@dataclass(frozen=True)
class Ratio:
    """`card` over `base` per GPU on one model, in one precision and framework."""

    card: str
    base: str
    model: str
    precision: str
    framework: str
    ratio: float


@dataclass(frozen=True)
class Summary:
    """The ratios of a card over all models (each model counts once, by its median)."""

    card: str
    base: str
    models: int
    median: float
    low: float
    high: float


def ratios(rows: Iterable[Benchmark], base: str, cards: Sequence[str]) -> list[Ratio]:
    """Every model, precision and framework in which `base` and one of `cards` were measured."""
    found = []
    for (model, _, _), members in grouped(rows).items():
        for series in series_of(members):
            precision, framework = series.key
            of_base = series.per_gpu.get(base)
            for card in cards:
                if of_base and card in series.per_gpu and card != base:
                    found.append(Ratio(card, base, model, precision, framework, series.per_gpu[card] / of_base))
    return found


def summaries(found: Sequence[Ratio]) -> list[Summary]:
    """One line for each card, in the order in which they appear."""
    answer = []
    for card in dict.fromkeys(one.card for one in found):
        by_model: dict[str, list[float]] = {}
        for one in found:
            if one.card == card:
                by_model.setdefault(one.model, []).append(one.ratio)
        middles = [median(values) for values in by_model.values()]
        answer.append(Summary(card, found[0].base, len(middles), median(middles), min(middles), max(middles)))
    return answer
