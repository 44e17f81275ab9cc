"""What any machine does on one piece of work: measured, predicted, or borrowed from a model of like size.

A measured row stands as it is, from the software nearest to the reference: the newest one that was measured on
enough cards. What only a very different software measured is brought to its scale, and called predicted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, hypot, log, sqrt
from statistics import median

from gpucloud.core.multi_gpu import ALONE, Efficiency, MultiGpu, Step
from gpucloud.core.offers import Accelerator
from gpucloud.core.predict import Predictor
from gpucloud.core.roofline import precision_class
from gpucloud.core.series import Pool, classes, pool, series_of, usable_rates
from gpucloud.core.throughput import Benchmark

RESCALED_WIDTH = log(1.15)  # what remains between two softwares after their common factor
NEAR = log(1.25)  # softwares this close are one software for practical purposes
HOST_SPREAD = 1.03  # equal machines of one fleet differ by this much


@dataclass(frozen=True)
class Speed:
    """Units of work per second of a whole machine or all its nodes, with an 80 % interval.

    `basis` is measured or predicted; `way` tells how the figure came about. `shared` is the half-width (log) of
    the error that is the same for every machine, such as how far a plan stays below a benchmark.
    """

    value: float
    low: float
    high: float
    unit: str
    precision: str
    basis: str
    source: str
    way: str
    shared: float = 0.0

    @property
    def own_spread(self) -> float:
        """Factor of the 80 % interval without what is shared by all machines."""
        whole = max(log(self.high / self.value), log(self.value / self.low))
        return exp(sqrt(max(0.0, whole * whole - self.shared * self.shared)))

    def times(self, factor: float, width: float = 0.0, words: str = "", basis: str = "") -> Speed:
        """Scaled, with the interval widened by `width` (log) and the way extended."""
        old = max(log(self.high / self.value), log(self.value / self.low))
        value, spread = self.value * factor, exp(hypot(old, width))
        way = f"{self.way}; {words}" if words else self.way
        return replace(self, value=value, low=value / spread, high=value * spread, way=way, basis=basis or self.basis)


class Speeds:
    """One model in one precision class, ready to be asked about any machine."""

    def __init__(
        self,
        rows: Sequence[Benchmark],
        cards: Mapping[str, Accelerator],
        precision: str | None = None,
        parameters: float | None = None,
    ) -> None:
        """`rows` are those of one model; without a precision the class people train with today is taken.

        With `parameters`, what several nodes lose follows from the gradients that they send.
        """
        usable = [row for row in usable_rates(rows) if row.accelerator in cards]
        self.cards, self.parameters = cards, parameters
        self.precision = precision_class(precision) if precision else _first_class(usable)
        chosen = [row for row in usable if precision_class(row.precision) == self.precision]
        self.unit = _unit(chosen)
        self.rows = [row for row in chosen if row.unit == self.unit]
        self.exact = precision if precision != self.precision else None
        self.pool: Pool = pool(series_of(self.rows), precision)
        self.predictor = Predictor(self.pool.per_gpu, cards, self.precision)
        self.multi_gpu = MultiGpu(self.rows)
        self._single_node = _by_machine(self.rows)

    @property
    def known(self) -> bool:
        """Whether anything was measured at all."""
        return bool(self.pool.per_gpu)

    def of(self, card: str, count: float = 1.0, nodes: int = 1, link: str = "", fabric: str = "") -> Speed | None:
        """`nodes` machines with `count` GPUs each; None when neither rows nor specs allow an answer."""
        one = self._measured(card, count) or self._scaled(card, count, link)
        if one is None or nodes == 1:
            return one
        across = self.multi_gpu.across(nodes, fabric, self._step(card, one.value / count))
        words = f"{nodes} nodes keep {across.share:.0%} ({across.source})"
        return one.times(nodes * across.share, across.width, words, "predicted")

    def _step(self, card: str, rate_per_gpu: float) -> Step | None:
        """A step of the batch that was measured on that card, else of one that fills its memory as on the others.

        None where the size of model or batch is not known.
        """
        if self.unit != "samples/s" or not self.parameters:
            return None
        batches = [(row.accelerator, row.batch_size) for row in self.rows if row.batch_size]
        own = [batch for name, batch in batches if name == card]
        room = self._gib(card)
        filled = [batch / gib * room for name, batch in batches if (gib := self._gib(name)) and room]
        usual = own or filled
        return Step(median(usual) / rate_per_gpu, self.parameters) if usual else None

    def _gib(self, card: str) -> float:
        return (self.cards[card].memory_gib or 0.0) if card in self.cards else 0.0

    def _measured(self, card: str, count: float) -> Speed | None:
        """The row of the series nearest to the reference, as it is; from a far one brought to scale, `predicted`."""
        known = self._single_node.get((card, count), {})
        same = [key for key in known if key in self.pool.factors]
        if not same:
            return None
        key = min(same, key=lambda key: self._preference(key, known[key]))
        rows = known[key]
        middle = sorted(rows, key=lambda row: (row.throughput, row.source))[len(rows) // 2]
        found = _spread(middle, rows, self.unit)
        if any(self._preference(key, rows)[:2]):
            return self._rescaled(found, self.pool.factors[key])
        at_scale = middle.throughput / self.pool.factors[key]
        return replace(found, low=min(found.low, at_scale), high=max(found.high, at_scale))

    def _preference(self, key: tuple[str, str], rows: Sequence[Benchmark]) -> tuple[bool, bool, int, float, object]:
        """The precision asked for, software like the reference, the newest, the nearest."""
        far = abs(log(self.pool.factors[key]))
        newest = max(row.year or 0 for row in rows)
        return self.exact not in (None, key[0]), far > NEAR, -newest, far, key

    def _rescaled(self, speed: Speed, factor: float) -> Speed:
        assert self.pool.reference is not None
        precision, framework = self.pool.reference.key
        words = f"x{1 / factor:.2f} to the scale of {precision} {framework}"
        return replace(speed.times(1 / factor, RESCALED_WIDTH, words, "predicted"), precision=precision)

    def _scaled(self, card: str, count: float, link: str) -> Speed | None:
        known = self.pool.row(card)
        base_count = known[0].accelerator_count if known else 1.0
        one = self._measured(card, base_count) if known and known[0].nodes == 1 else None
        if one is not None:
            per_gpu, from_count = one.times(1 / base_count), base_count
        else:
            predicted, from_count = self._predicted(card), 1.0
            if predicted is None:
                return None
            per_gpu = predicted
        inside = self.multi_gpu.inside(count, link) if count > from_count else ALONE
        return per_gpu.times(count * inside.share, inside.width, _count_words(count, from_count, inside), "predicted")

    def _predicted(self, card: str) -> Speed | None:
        found = self.predictor.predict(self.cards[card]) if card in self.cards else None
        if found is None:
            return None
        source = self.pool.reference.rows[next(iter(self.pool.reference.rows))].source if self.pool.reference else ""
        precision = self.pool.reference.key[0] if self.pool.reference else ""
        return Speed(found.value, found.low, found.high, self.unit, precision, "predicted", source, found.explain)


def _first_class(rows: Sequence[Benchmark]) -> str:
    """The class of today's training, unless another one was measured on far more cards."""
    cards: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        cards[precision_class(row.precision)].add(row.accelerator)
    found = classes(rows)
    enough = [name for name in found if len(cards[name]) * 3 >= max(map(len, cards.values()))]
    return enough[0] if enough else "16"


def _unit(rows: Sequence[Benchmark]) -> str:
    units: dict[str, int] = defaultdict(int)
    for row in rows:
        units[row.unit] += 1
    return max(sorted(units), key=lambda unit: units[unit]) if units else ""


Machine = tuple[str, float]


def _by_machine(rows: Sequence[Benchmark]) -> dict[Machine, dict[tuple[str, str], list[Benchmark]]]:
    """Rows of one node by card and count, then by series: the newest, and of several batch sizes the fastest."""
    found: dict[Machine, dict[tuple[str, str], dict[float, list[Benchmark]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for row in rows:
        if row.nodes == 1:
            key = (row.precision, row.framework or row.source)
            found[row.accelerator, row.accelerator_count][key][row.batch_size or 0.0].append(row)
    return {
        machine: {key: max(_newest(batches), key=_middle_rate) for key, batches in series.items()}
        for machine, series in found.items()
    }


def _newest(batches: Mapping[float, list[Benchmark]]) -> list[list[Benchmark]]:
    year = max(row.year or 0 for rows in batches.values() for row in rows)
    of_year = [[row for row in rows if (row.year or 0) == year] for rows in batches.values()]
    return [rows for rows in of_year if rows]


def _middle_rate(rows: list[Benchmark]) -> float:
    return median(row.throughput for row in rows)


def _spread(middle: Benchmark, rows: Sequence[Benchmark], unit: str) -> Speed:
    """The middle row, between the slowest and fastest host of its series."""
    value = middle.throughput
    low = min(value / HOST_SPREAD, *(row.throughput for row in rows))
    high = max(value * HOST_SPREAD, *(row.throughput for row in rows))
    return Speed(value, low, high, unit, middle.precision, "measured", middle.source, _words(middle))


def _words(row: Benchmark) -> str:
    when = f" {row.year}" if row.year else ""
    return f"measured on {row.accelerator_count:g} x {row.accelerator} by {row.source}{when} ({row.framework})"


def _count_words(count: float, from_count: float, inside: Efficiency) -> str:
    if count == from_count:
        return ""
    if inside is ALONE:
        return f"x{count:g} GPUs"
    return f"x{count:g} GPUs keep {inside.share:.0%} ({inside.source})"


def relative_rates(rows: Sequence[Benchmark], cards: Mapping[str, Accelerator], base: str) -> dict[str, float]:
    """Rate of each measured card over that of `base`: median over all models that measured both, per GPU."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for series in _all_series(rows, cards):
        if base in series:
            for name, rate in series.items():
                ratios[name].append(rate / series[base])
    return {name: exp(median(log(ratio) for ratio in found)) for name, found in sorted(ratios.items())}


def _all_series(rows: Sequence[Benchmark], cards: Mapping[str, Accelerator]) -> list[Mapping[str, float]]:
    groups: dict[tuple[str, str, str], list[Benchmark]] = defaultdict(list)
    for row in usable_rates(rows):
        if row.accelerator in cards and row.accelerator_count == 1:
            groups[row.model, precision_class(row.precision), row.unit].append(row)
    return [one.per_gpu for group in groups.values() for one in series_of(group) if len(one.per_gpu) > 1]
