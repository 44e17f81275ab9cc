"""One way to get the work done, rented or owned: its time, money, memory verdict and what speaks for and against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gpucloud.core.extras import ExtraUsd
from gpucloud.core.memory import Fit
from gpucloud.core.offers import Offer, age_bucket
from gpucloud.core.speed import Speed


@dataclass(frozen=True)
class Crossing:
    """Where owning meets renting: use of the hours, month of repayment, and the price of an owned hour.

    `usd_per_hour_by_utilisation` are (share of the hours, USD) along the way; `rent_usd_per_hour` is what the same
    work costs at `versus` for each of those hours.
    """

    break_even_utilisation: float | None
    break_even_month: int | None
    usd_per_hour_at_utilisation: float
    versus: str = ""
    rent_usd_per_hour: float | None = None
    usd_per_hour_by_utilisation: tuple[tuple[float, float], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The `own` object."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Option:
    """Rented (`offer`) or owned (`system`). Hours and USD are for the whole work on all nodes."""

    kind: str  # rent, own
    accelerator: str
    accelerator_count: float
    nodes: int
    speed: Speed
    hours: float
    low_hours: float
    high_hours: float
    usd: float
    low_usd: float
    high_usd: float
    usd_per_unit_work: float | None = None
    offer: Offer | None = None
    system: str = ""
    upfront_usd: float = 0.0
    eligible: bool = True  # may be the pick; buying needs a stated use
    memory: Fit | None = None
    effective_spot: float | None = None
    besides: ExtraUsd | None = None  # what of `usd` is not the price of the hours
    own: Crossing | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    command: str = ""

    @property
    def name(self) -> str:
        """A short name: cloud, type, market and place, or the system."""
        if self.offer is None:
            return self.system
        times = f"{self.nodes} x " if self.nodes > 1 else ""
        market = "" if self.offer.market == "on-demand" else f" {self.offer.market}"
        return f"{times}{self.offer.cloud} {self.offer.instance_type}{market}"

    @property
    def usd_per_hour(self) -> float | None:
        """Price of all nodes for an hour."""
        if self.offer is not None and self.offer.usd_per_hour is not None:
            return self.offer.usd_per_hour * self.nodes
        return self.own.usd_per_hour_at_utilisation if self.own else None

    def because(self, *reasons: str) -> Option:
        """With more reasons."""
        return replace(self, reasons=(*self.reasons, *reasons))


def besides_json(besides: ExtraUsd | None, setup_s: float) -> dict[str, Any] | None:
    """The `besides` object: what is in `hours` and `usd` beside the work itself; null for what is owned."""
    if besides is None:
        return None
    return {
        "setup_hours": setup_s / 3600,
        "disk_usd": besides.disk,
        "address_usd": besides.address,
        "egress_usd": besides.egress,
        "observed_on": besides.observed_on or None,
    }


def memory_json(found: Fit | None) -> dict[str, Any] | None:
    """The `memory` object; null when the size of the model is not known."""
    if found is None:
        return None
    return {
        "verdict": found.verdict,
        "needs_gib": round(found.need.gib, 3),
        "with": list(found.given_up),
        "largest_batch": found.largest_batch,
    }


def speed_json(speed: Speed, model: str) -> dict[str, Any]:
    """The `throughput` object, the same as that of `compare`."""
    return {
        "value": speed.value,
        "unit": speed.unit,
        "model": model or None,
        "precision": speed.precision,
        "basis": speed.basis,
        "low": speed.low,
        "high": speed.high,
        "source": speed.source,
    }


def offer_json(offer: Offer | None) -> dict[str, Any] | None:
    """The `offer` object."""
    if offer is None:
        return None
    return {
        "cloud": offer.cloud,
        "instance_type": offer.instance_type,
        "region": offer.region,
        "zone": offer.zone,
        "market": offer.market,
        "usd_per_hour": offer.usd_per_hour,
        "observed_on": offer.observed_on or None,
        "age": age_bucket(offer.age_days),
        "availability": offer.availability,
        "provisionable": offer.provisionable,
        "source": offer.source,
    }
