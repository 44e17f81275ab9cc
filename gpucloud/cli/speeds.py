"""What each offer does on a model and what its work costs there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from gpucloud.core.offers import Offer

if TYPE_CHECKING:
    from gpucloud.catalog.catalog import Catalog
    from gpucloud.core.throughput import Throughput


class Priced(NamedTuple):
    """An offer with its throughput on the model that was asked for, and the cost of a unit of work."""

    offer: Offer
    throughput: Throughput | None = None
    usd_per_unit_work: float | None = None
    work_unit: str | None = None


def pricer(catalog: Catalog, model: str, precision: str | None) -> Callable[[Offer], Priced]:
    """Puts a speed and a cost of work beside offers, each card and count looked up once."""
    from gpucloud.core.throughput import measured

    rows = catalog.benchmarks(model)
    known: dict[tuple[str, float], Throughput | None] = {}

    def price(offer: Offer) -> Priced:
        key = (offer.accelerator, offer.accelerator_count)
        if key not in known:
            known[key] = measured(rows, *key, precision)
        return with_speed(offer, known[key])

    return price


def with_speed(offer: Offer, found: Throughput | None) -> Priced:
    """An offer with a speed that may be unknown."""
    from gpucloud.core.pricing import usd_per_unit_work, work_unit

    if found is None:
        return Priced(offer)
    unit = work_unit(found.unit)
    usd = usd_per_unit_work(offer.usd_per_hour, found.value, found.unit)
    return Priced(offer, found, usd, unit[1] if unit else None)
