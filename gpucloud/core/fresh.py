"""What a price source told: quotes, shapes of machines, and for which places its answer was whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class PriceRow(NamedTuple):
    """One row of `offers/<cloud>.csv`, values in the order of its columns."""

    instance_type: str
    region: str = ""
    zone: str = ""
    market: str = "on-demand"
    term_months: float | None = None
    usd_per_hour: float | None = None
    price_kind: str = "list"
    availability: str = "unknown"
    billing_increment_s: float = 1.0
    minimum_s: float = 0.0
    observed_on: str = ""
    status: str = "current"
    source: str = ""
    flags: str = ""

    @property
    def key(self) -> Key:
        """Type, region, zone, market and term: by this a row replaces another one."""
        return (self.instance_type, self.region, self.zone, self.market, self.term_months)


Key = tuple[str, str, str, str, float | None]


class Quote(NamedTuple):
    """A price as the source has it now, USD for one hour of the whole machine.

    An empty zone means every zone of the region, an empty region every region where the type is known.
    """

    instance_type: str
    usd_per_hour: float
    region: str = ""
    zone: str = ""
    market: str = "on-demand"


class Shape(NamedTuple):
    """A machine as the source describes it; `accelerator` is the source's own word, memory in GiB."""

    instance_type: str
    accelerator: str
    accelerator_count: float
    vcpus: float | None = None
    memory_gib: float | None = None
    gpu_memory_gib: float | None = None
    arch: str = "x86_64"
    local_ssd_gib: float | None = None


class Cover(NamedTuple):
    """A place about which an answer was whole: a row there that has no quote has vanished.

    `prefix` narrows it to types whose names begin so; an empty region means all.
    """

    market: str
    region: str = ""
    prefix: str = ""

    def holds(self, row: PriceRow) -> bool:
        """Whether a known row lies in this place."""
        return (
            row.market == self.market
            and (not self.region or row.region == self.region)
            and row.instance_type.startswith(self.prefix)
        )


@dataclass(frozen=True)
class Told:
    """One piece of a source's answer. `refused` counts lines that could not be understood, by reason."""

    quotes: tuple[Quote, ...] = ()
    shapes: tuple[Shape, ...] = ()
    covers: tuple[Cover, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)


def together(pieces: list[Told]) -> Told:
    """All pieces as one answer."""
    refused: dict[str, int] = {}
    for piece in pieces:
        for reason, count in piece.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    return Told(
        tuple(quote for piece in pieces for quote in piece.quotes),
        tuple({shape.instance_type: shape for piece in pieces for shape in piece.shapes}.values()),
        tuple(cover for piece in pieces for cover in piece.covers),
        refused,
    )
