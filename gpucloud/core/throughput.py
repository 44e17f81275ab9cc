"""What a card does on a model, from measured rows: newest first, same precision, same count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpucloud.core.speed import Speed

# Without a wish for a precision: the way networks are trained today, then what is close to it.
PRECISIONS = ("mixed", "bf16", "fp16", "tf32", "fp32", "fp8", "")
OWN = "own"  # the source of what the user measured or imported
DOUBTFUL = ("superlinear", "slower_than_fp32", "input_bound", "time_to_target", "source_price_wrong")


@dataclass(frozen=True)
class Benchmark:
    """One measured row. `throughput` is of all GPUs of the row; flags are `name` or `name=value`."""

    accelerator: str
    accelerator_count: float
    model: str
    throughput: float
    unit: str
    nodes: int = 1
    link: str = ""
    precision: str = ""
    framework: str = ""
    batch_size: float | None = None
    year: int | None = None
    source: str = ""
    flags: tuple[str, ...] = ()

    @property
    def is_doubtful(self) -> bool:
        """Physics or the source itself contradicts the figure; shown, never used."""
        return any(flag.split("=")[0] in DOUBTFUL for flag in self.flags)

    @property
    def is_rate(self) -> bool:
        """Work per second; MLPerf and DAWNBench tell minutes to a target instead."""
        return self.unit.endswith("/s")


@dataclass(frozen=True)
class Throughput:
    """Work per second of a whole machine; `low` and `high` bound it (80 %), equal to `value` where measured."""

    value: float
    unit: str
    model: str
    precision: str
    basis: str  # measured, predicted
    low: float
    high: float
    source: str
    flags: tuple[str, ...] = ()


def measured(
    rows: Iterable[Benchmark], accelerator: str, count: float, precision: str | None = None
) -> Throughput | None:
    """The best evidence among rows of one model for this card and count, None when nobody measured that."""
    fitting = usable(rows, accelerator, count, precision)
    return as_throughput(fitting[0]) if fitting else None


def usable(rows: Iterable[Benchmark], accelerator: str, count: float, precision: str | None = None) -> list[Benchmark]:
    """Rates of one machine with this card and count that nothing speaks against, best evidence first."""
    fitting = [
        row
        for row in rows
        if row.accelerator == accelerator
        and row.accelerator_count == count
        and row.nodes == 1
        and row.is_rate
        and not row.is_doubtful
        and precision in (None, row.precision)
    ]
    return sorted(fitting, key=evidence)


def evidence(row: Benchmark) -> tuple[object, ...]:
    """Sort key: precision of today, one's own, newest year, fastest set-up; then names, for one order always."""
    return (
        PRECISIONS.index(row.precision),
        row.source != OWN,
        -(row.year or 0),
        -row.throughput,
        row.source,
        row.framework,
        row.batch_size or 0.0,
    )


def as_throughput(row: Benchmark) -> Throughput:
    """A measured row as an answer."""
    return Throughput(
        value=row.throughput,
        unit=row.unit,
        model=row.model,
        precision=row.precision,
        basis="measured",
        low=row.throughput,
        high=row.throughput,
        source=row.source,
        flags=row.flags,
    )


def from_speed(speed: Speed, model: str) -> Throughput:
    """What a machine was found to do, as the answer of a command."""
    exact = speed.basis == "measured"
    return Throughput(
        value=speed.value,
        unit=speed.unit,
        model=model,
        precision=speed.precision,
        basis=speed.basis,
        low=speed.value if exact else speed.low,
        high=speed.value if exact else speed.high,
        source=speed.source,
    )


def one_per_source(rows: Sequence[Benchmark]) -> list[Benchmark]:
    """The best row of each card, count, nodes, model, precision, unit and source; best evidence first per card."""
    best: dict[tuple[object, ...], Benchmark] = {}
    for row in sorted(rows, key=lambda row: (row.is_doubtful, evidence(row))):
        key = (row.accelerator, row.accelerator_count, row.nodes, row.model, row.precision, row.unit, row.source)
        best.setdefault(key, row)
    return list(best.values())
