"""The offers that `up` may try, in order: of the catalog for clouds, the provider's own for local and ssh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gpucloud.cli.outside import opened_catalog
from gpucloud.core.errors import NothingFits, UsageError
from gpucloud.providers.registry import known_clouds

if TYPE_CHECKING:
    from gpucloud.catalog.catalog import Catalog
    from gpucloud.cli.wishes import Wishes
    from gpucloud.core.accelerators import GpuRequest
    from gpucloud.core.offers import Offer
    from gpucloud.flows.context import Context

MOST_ATTEMPTS = 40  # offers behind the fortieth are as good as sold out


def candidates(ctx: Context, wishes: Wishes) -> tuple[Offer, ...]:
    """Offers in order of price, those with a price older than a year last, without what no request can buy,
    and without regions for other kinds of accounts, where none is named.

    Raises NothingFits, and UsageError where a region is of none of the clouds.
    """
    from gpucloud.cli.names_asked import known_regions
    from gpucloud.core.cloud import GroupsOffers, SellsOffers

    task = wishes.task
    if not (task.gpu or task.clouds or wishes.instance_type):
        raise UsageError(
            "What kind of machine is not said.",
            "Name a GPU or a cloud: --gpu A100:8, or --cloud local for this machine.",
        )
    clouds = task.clouds or tuple(name for name in ctx.clouds.usual() if name not in ("local", "fake", "ssh"))
    with opened_catalog() as catalog:
        wanted = _requests(catalog, task.gpu)
        found: list[Offer] = []
        for cloud in dict.fromkeys(clouds or known_clouds()):
            provider = ctx.clouds.open(cloud) if cloud in task.clouds else None
            if provider is not None and isinstance(provider, SellsOffers):
                fitting = [offer for offer in provider.offers() if _fits(offer, wanted, wishes)]
                several = task.nodes > 1 and isinstance(provider, GroupsOffers)
                found += provider.groups(fitting, task.nodes) if several else fitting  # type: ignore[attr-defined]
            else:
                found += _from_catalog(catalog, cloud, wanted, wishes)
        if not found and task.regions:
            known_regions(catalog, task.regions, tuple(clouds))
    if not found:
        raise _nothing(wishes, clouds)
    return tuple(sorted(found, key=_order)[:MOST_ATTEMPTS])


def _requests(catalog: Catalog, texts: Sequence[str]) -> tuple[GpuRequest, ...]:
    from gpucloud.core.accelerators import parse_request

    if not texts:
        return ()
    cards, aliases = catalog.accelerators(), catalog.aliases()
    return tuple(parse_request(text, cards, aliases) for text in texts)


def _from_catalog(catalog: Catalog, cloud: str, wanted: tuple[GpuRequest, ...], wishes: Wishes) -> list[Offer]:
    from gpucloud.core.query import OfferQuery, needs_own_account

    query = OfferQuery(
        gpus=wanted,
        clouds=(cloud,),
        regions=wishes.task.regions,
        market=wishes.task.market,
        instance_types=(wishes.instance_type,) if wishes.instance_type else (),
        all_regions=True,
        provisionable_only=True,
    )
    named = bool(wishes.task.regions or wishes.zone)
    open_to_all = [offer for offer in catalog.offers(query) if named or not needs_own_account(offer)]
    return in_zone(_with_extras(catalog, open_to_all), wishes.zone)


def _with_extras(catalog: Catalog, offers: Sequence[Offer]) -> list[Offer]:
    """With what disk and address cost there, and spot with the price that it can rise to."""
    from gpucloud.core.extras import with_extras
    from gpucloud.core.query import OfferQuery

    types = tuple({(offer.cloud, offer.instance_type) for offer in offers if offer.market == "spot"})
    wanted = OfferQuery(clouds=tuple({cloud for cloud, _ in types}), instance_types=tuple(name for _, name in types))
    listed = catalog.offers(replace(wanted, all_regions=True)) if types else []
    usual = {(o.cloud, o.instance_type, o.region, o.zone): o.usd_per_hour for o in listed}
    rows = catalog.table("extras")
    return [
        with_extras(o, rows, usual.get((o.cloud, o.instance_type, o.region, o.zone)) if o.market == "spot" else None)
        for o in offers
    ]


def in_zone(offers: Sequence[Offer], zone: str) -> list[Offer]:
    """The offers of that zone. Where a price is for a whole region, its zones are `us-east-1a`, or only a number."""
    if not zone:
        return list(offers)
    return [
        replace(offer, zone=zone)
        for offer in offers
        if offer.zone == zone or (not offer.zone and (zone.isdigit() or zone.startswith(offer.region)))
    ]


def _fits(offer: Offer, wanted: tuple[GpuRequest, ...], wishes: Wishes) -> bool:
    task = wishes.task
    if wanted and not any(_is_asked(offer, request) for request in wanted):
        return False
    if wishes.instance_type and offer.instance_type != wishes.instance_type:
        return False
    if wishes.zone and offer.zone != wishes.zone:
        return False
    return (not task.regions or offer.region in task.regions) and (task.market in ("any", offer.market))


def _is_asked(offer: Offer, request: GpuRequest) -> bool:
    named = offer.accelerator in request.accelerators
    return named and request.count in (None, offer.accelerator_count)


def _order(offer: Offer) -> tuple[bool, float, float, str, str, str, str]:
    from gpucloud.core.query import has_old_price

    price = float("inf") if offer.usd_per_hour is None else offer.usd_per_hour
    share = offer.accelerator_count if offer.price_kind == "own" else 0.0  # of what is shared no more than needed
    return has_old_price(offer), price, share, offer.cloud, offer.region, offer.zone, offer.instance_type


def _nothing(wishes: Wishes, clouds: Sequence[str]) -> NothingFits:
    task = wishes.task
    what = " or ".join(task.gpu) or wishes.instance_type or "a machine"
    where = ", ".join((*clouds, *task.regions, *filter(None, (wishes.zone,)))) or "any cloud with a driver"
    hint = (
        f"`gpucloud compare {task.gpu[0]}` shows what there is."
        if task.gpu
        else "`gpucloud compare` shows what there is."
    )
    return NothingFits(f"No {task.market} offer of {what} in {where} can be provisioned.", hint)
