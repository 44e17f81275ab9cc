"""What each offer does on a model and what its work costs there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from gpucloud.core.offers import Offer

if TYPE_CHECKING:
    from gpucloud.catalog.catalog import Catalog
    from gpucloud.core.subject import Subject
    from gpucloud.core.throughput import Throughput


class Priced(NamedTuple):
    """An offer with its throughput on the model that was asked for, and the cost of a unit of work."""

    offer: Offer
    throughput: Throughput | None = None
    usd_per_unit_work: float | None = None
    work_unit: str | None = None


def pricer(catalog: Catalog, model: str, precision: str | None) -> Callable[[Offer], Priced]:
    """Puts a speed (measured, else predicted) and a cost of work beside offers, each kind of machine asked once."""
    from gpucloud.core.throughput import from_speed

    links = {(one.cloud, one.instance_type): one.intra_link for one in catalog.instance_types()}
    subject = speeds_of(catalog, model, precision)
    known: dict[tuple[str, float, str], Throughput | None] = {}

    def price(offer: Offer) -> Priced:
        link = links.get((offer.cloud, offer.instance_type), "")
        key = (offer.accelerator, offer.accelerator_count, link)
        if key not in known:
            found = subject.speed(offer.accelerator, offer.accelerator_count, 1, link) if subject else None
            known[key] = from_speed(found, model) if found else None
        return with_speed(offer, known[key])

    return price


def speeds_of(
    catalog: Catalog,
    model: str | None,
    precision: str | None,
    params: float | None = None,
    flops_per_unit: float | None = None,
) -> Subject | None:
    """What any machine does on a model, or on one of that size; None when nothing tells it."""
    from gpucloud.core.errors import UsageError
    from gpucloud.core.subject import Resolver, Wanted
    from gpucloud.core.work import Work

    cards = {card.name: card for card in catalog.accelerators()}
    resolver = Resolver(catalog.benchmarks, catalog.models(), catalog.model_names(), cards, lambda text: (text, 1.0))
    wanted = Wanted(Work(1.0, "tokens"), model or "", params, flops_per_unit, precision)
    try:
        return resolver.speed_of(wanted)
    except UsageError:  # neither rates nor a size of this model: it has only minutes to a target
        return None


def with_speed(offer: Offer, found: Throughput | None) -> Priced:
    """An offer with a speed that may be unknown."""
    from gpucloud.core.pricing import usd_per_unit_work, work_unit

    if found is None:
        return Priced(offer)
    unit = work_unit(found.unit)
    usd = usd_per_unit_work(offer.usd_per_hour, found.value, found.unit)
    return Priced(offer, found, usd, unit[1] if unit else None)
