"""The work and its speed on any machine, from what is known: a model, its size, a rate seen, or hours on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any

from gpucloud.core.errors import UsageError, nearest
from gpucloud.core.memory import TrainingJob
from gpucloud.core.offers import Accelerator
from gpucloud.core.speed import Speed, Speeds, relative_rates
from gpucloud.core.throughput import Benchmark
from gpucloud.core.train_time import flops_per_token
from gpucloud.core.work import Measured, Work, in_units_of

PLAN_SHARE = 0.75  # of a benchmark's speed: restarts, evaluation, ramp-up of a whole run
PLAN_WIDTH = log(1.5)
RELATIVE_WIDTH = log(1.3)
ENOUGH_CARDS = 3
LIKE_WIDTH = 0.2  # models this near (log) in operations are alike: the plainest name is the usual configuration
LORA_SPEEDUP = 1.5  # no gradients of the frozen weights: 4 instead of 6 FLOPs per parameter and token
LAYERS_PER_WIDTH = 128  # d_model over layers of common transformers; parameters = 12 x layers x d_model^2
DEFAULT_SEQ = 2048.0
Rows = Callable[[str | None], Sequence[Benchmark]]


@dataclass(frozen=True)
class Wanted:
    """What the user said about the work, already read."""

    work: Work
    model: str = ""
    params: float | None = None
    flops_per_unit: float | None = None
    precision: str | None = None
    measured: Measured | None = None
    method: str = "full"
    seq: float | None = None
    batch: float | None = None
    layers: float | None = None
    d_model: float | None = None
    repeats: float = 1.0  # trials x the share of a full run that one takes


@dataclass(frozen=True)
class Subject:
    """The amount of work in `unit`, and the speed of any machine on it."""

    speeds: Speeds
    amount: float
    unit: str
    model: str = ""
    factor: float = 1.0
    width: float = 0.0
    words: str = ""
    seen: tuple[str, float, float] | None = None  # card, count, rate that the user measured
    job: TrainingJob | None = None

    def speed(self, card: str, count: float, nodes: int = 1, link: str = "", fabric: str = "") -> Speed | None:
        """Units a second; None when neither rows nor specs allow an answer."""
        if self.seen is not None and nodes == 1 and (card, count) == self.seen[:2]:
            rate = self.seen[2]
            return Speed(rate, rate, rate, f"{self.unit}/s", "", "measured", "you", "measured by you")
        found = self.speeds.of(card, count, nodes, link, fabric)
        if found is None:
            return None
        changed = bool(self.words)
        scaled = found.times(self.factor, self.width, self.words, "predicted" if changed else "")
        return replace(scaled, unit=f"{self.unit}/s", shared=self.width)


class Resolver:
    """Finds the subject of a wish in the catalog. `rows` gives the benchmarks of one model, or of all for None."""

    def __init__(
        self,
        rows: Rows,
        models: Sequence[Mapping[str, Any]],
        names: Sequence[str],
        cards: Mapping[str, Accelerator],
        find: Callable[[str], tuple[str, float]],
    ) -> None:
        """`names` are all models that are known; `find` turns `NAME[:COUNT]` into one card and a count."""
        self.rows, self.cards, self.names, self.find = rows, cards, names, find
        self.models = {row["model"]: row for row in models}

    def subject(self, wanted: Wanted) -> Subject:
        """Raises UsageError for an unknown model, or when the work's unit and the speed's do not match."""
        found, described = self.speed_of(wanted), self._described(wanted)
        return replace(found, amount=self._amount(found, wanted, described) * wanted.repeats)

    def speed_of(self, wanted: Wanted) -> Subject:
        """The subject without an amount of work. Raises UsageError for an unknown model."""
        described = self._described(wanted)
        speeds, factor, width, words = self._speeds(wanted, described)
        unit = speeds.unit.removesuffix("/s")
        found = Subject(speeds, 0.0, unit, wanted.model, factor, width, words, job=_job(wanted, described))
        if wanted.measured is not None:
            found = self._as_seen(found, wanted.measured)
        return found

    def _described(self, wanted: Wanted) -> Mapping[str, Any]:
        if wanted.model and wanted.model not in self.names:
            close = ", ".join(nearest(wanted.model, self.names))
            hint = f"Did you mean {close}? " if close else ""
            raise UsageError(
                f"The catalog knows no model '{wanted.model}'.",
                f'{hint}Describe another one by --params 7e9, or by --measured "2.1 steps/s@RTX3090".',
            )
        return self.models.get(wanted.model, {})

    def _speeds(self, wanted: Wanted, described: Mapping[str, Any]) -> tuple[Speeds, float, float, str]:
        if wanted.model:
            speeds = Speeds(self.rows(wanted.model), self.cards, wanted.precision, described.get("parameters"))
            if speeds.known:
                return speeds, 1.0, 0.0, ""
        flops = _flops_per_unit(wanted, described)
        if flops is not None:
            return self._borrowed(flops, described.get("unit") or _unit_of(wanted), wanted)
        base = self._base_card(wanted)
        return self._relative(base), 1.0, RELATIVE_WIDTH, f"relative to {base} over all models"

    def _borrowed(self, flops: float, unit: str, wanted: Wanted) -> tuple[Speeds, float, float, str]:
        """The measured model of the same unit that is nearest in operations, scaled by the ratio."""
        like = sorted(
            (int(abs(log(row["flops_per_unit"] / flops)) / LIKE_WIDTH), len(name), name)
            for name, row in self.models.items()
            if row.get("flops_per_unit") and row.get("unit") == unit
        )
        best: tuple[Speeds, str] | None = None
        for _, _, name in like:
            speeds = Speeds(self.rows(name), self.cards, wanted.precision)
            if speeds.known and (best is None or len(speeds.pool.per_gpu) >= ENOUGH_CARDS):
                best = speeds, name
                if len(speeds.pool.per_gpu) >= ENOUGH_CARDS:
                    break
        if best is None:
            raise UsageError(
                f"No model that is measured in {unit} tells the speed of this one.",
                'Give a rate you have seen, as in --measured "2.1 steps/s@RTX3090".',
            )
        factor = self.models[best[1]]["flops_per_unit"] / flops * PLAN_SHARE
        factor *= LORA_SPEEDUP if wanted.method == "lora" else 1.0
        words = f"as {best[1]} by operations, {PLAN_SHARE:.0%} of its speed over a whole run"
        return best[0], factor, PLAN_WIDTH, words

    def _base_card(self, wanted: Wanted) -> str:
        if wanted.measured is not None:
            return self.find(wanted.measured.card)[0]
        if wanted.work.unit == "seconds":
            return self.find(wanted.work.card)[0]
        raise UsageError(
            f"Nothing tells how fast {wanted.model or 'this work'} is.",
            'Add --model, --params, or a rate you have seen: --measured "2.1 steps/s@RTX3090".',
        )

    def _relative(self, base: str) -> Speeds:
        rates = relative_rates(self.rows(None), self.cards, base) or {base: 1.0}
        made = [
            Benchmark(name, 1.0, "", rate, "seconds/s", framework="relative", source="all models")
            for name, rate in rates.items()
        ]
        return Speeds(made, self.cards)

    def _as_seen(self, subject: Subject, measured: Measured) -> Subject:
        card, count = self.find(measured.card)
        there = subject.speeds.of(card, count)
        if there is None:
            raise UsageError(f"The catalog has no specs of {card}.", "Add it to accelerators.csv of your catalog.")
        words = f"scaled to your {measured.rate:g} {measured.unit}/s on {card}"
        return replace(
            subject,
            unit=measured.unit,
            factor=measured.rate / there.value,
            words=words,
            seen=(card, count, measured.rate),
        )

    def _amount(self, subject: Subject, wanted: Wanted, described: Mapping[str, Any]) -> float:
        if wanted.work.unit != "seconds":
            return in_units_of(wanted.work, subject.unit, wanted.model, described.get("epoch_units"))
        card, count = self.find(wanted.work.card)
        there = subject.speed(card, count)
        if there is None:
            raise UsageError(f"The catalog has no specs of {card}.", "Add it to accelerators.csv of your catalog.")
        return wanted.work.amount * there.value


def _flops_per_unit(wanted: Wanted, described: Mapping[str, Any]) -> float | None:
    if wanted.flops_per_unit is not None:
        return wanted.flops_per_unit
    if wanted.params is not None and not (wanted.work.unit == "samples" and wanted.measured is None):
        return flops_per_token(wanted.params)
    flops = described.get("flops_per_unit")
    return None if flops is None else float(flops)


def _unit_of(wanted: Wanted) -> str:
    return wanted.work.unit if wanted.work.unit in ("samples", "steps") and wanted.params is None else "tokens"


def _job(wanted: Wanted, described: Mapping[str, Any]) -> TrainingJob | None:
    """What has to fit into memory; None when the size of the model is not known."""
    params = wanted.params or described.get("parameters")
    if not params:
        return None
    job = TrainingJob(float(params), method=wanted.method, precision="mixed" if wanted.method == "full" else "bf16")
    is_text = described.get("unit", "tokens") == "tokens"
    if not (is_text or wanted.seq):
        return job
    layers, d_model = wanted.layers, wanted.d_model
    if layers is None or d_model is None:
        layers = max(1.0, round((float(params) / (12 * LAYERS_PER_WIDTH**2)) ** (1 / 3)))
        d_model = (float(params) / (12 * layers)) ** 0.5
    return replace(job, layers=layers, d_model=d_model, seq=wanted.seq or DEFAULT_SEQ, batch=wanted.batch or 1.0)
