"""What somebody wishes of an offer: the wishes as a value, which offers meet them, in what order, and what fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from gpucloud.core.accelerators import GpuRequest
from gpucloud.core.offers import STALE_DAYS, Offer

SORTS = ("price", "gpu-price", "work-price", "throughput")
MARKET_WISHES = ("on-demand", "spot", "reserved", "any")


@dataclass(frozen=True)
class OfferQuery:
    """Wishes; an empty one wishes nothing. An offer has to meet all of them, and one of `gpus`.

    Retired and suspect rows are left out unless asked for. Without `all_regions` one offer is kept for each
    instance type, market, term and status: the cheapest ranked one. `rank_stale` ranks old prices with the rest.
    """

    gpus: tuple[GpuRequest, ...] = ()
    clouds: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()
    market: str = "on-demand"  # a market, or any
    min_gpu_memory_gib: float | None = None
    min_count: float | None = None
    max_usd_per_hour: float | None = None
    all_regions: bool = False
    retired: bool = False
    suspect: bool = False
    rank_stale: bool = False
    provisionable_only: bool = False
    sort: str = "price"
    limit: int | None = None

    @property
    def statuses(self) -> tuple[str, ...]:
        """The row states that may be shown."""
        asked = (("retired", self.retired), ("suspect", self.suspect))
        return ("current", *(name for name, wanted in asked if wanted))


def meets(offer: Offer, query: OfferQuery) -> bool:
    """Whether the offer meets every wish."""
    return (
        _is_asked_for(offer, query.gpus)
        and (not query.clouds or offer.cloud in query.clouds)
        and (not query.regions or offer.region in query.regions)
        and (not query.instance_types or offer.instance_type in query.instance_types)
        and query.market in ("any", offer.market)
        and offer.status in query.statuses
        and (offer.provisionable or not query.provisionable_only)
        and _at_least(offer.gpu_memory_gib, query.min_gpu_memory_gib)
        and _at_least(offer.accelerator_count, query.min_count)
        and _at_most(offer.usd_per_hour, query.max_usd_per_hour)
    )


def _is_asked_for(offer: Offer, gpus: tuple[GpuRequest, ...]) -> bool:
    return not gpus or any(
        offer.accelerator in gpu.accelerators and gpu.count in (None, offer.accelerator_count) for gpu in gpus
    )


def _at_least(value: float | None, wish: float | None) -> bool:
    return wish is None or (value is not None and value >= wish)


def _at_most(value: float | None, wish: float | None) -> bool:
    return wish is None or (value is not None and value <= wish)


def is_stale(offer: Offer) -> bool:
    """A price older than a year, or of unknown age."""
    return offer.age_days is None or offer.age_days >= STALE_DAYS


def needs_own_account(offer: Offer) -> bool:
    """Whether it is in a region of a government or of China: an ordinary account is unknown there."""
    return offer.region.startswith(("us-gov-", "usgov", "usdod", "us-iso", "cn-", "china"))


def has_old_price(offer: Offer) -> bool:
    """A published price that today's bill may not follow any more; own machines have none."""
    return offer.usd_per_hour is not None and offer.price_kind != "own" and is_stale(offer)


def rank_class(offer: Offer, rank_stale: bool = False) -> int:
    """0 ranked by price; 1 shown after those: stale, retired or suspect; 2 last: no price is published."""
    if offer.usd_per_hour is None:
        return 2
    unranked = offer.status != "current" or (is_stale(offer) and not rank_stale)
    return 1 if unranked else 0


def order_key(offer: Offer, query: OfferQuery) -> tuple[object, ...]:
    """Sort key of `price` and `gpu-price`: ranked ones first, cheapest first, names break ties."""
    return order_by(offer, offer.usd_per_gpu_hour if query.sort == "gpu-price" else offer.usd_per_hour, query)


def order_by(offer: Offer, figure: float | None, query: OfferQuery) -> tuple[object, ...]:
    """Sort key by any figure: ranked ones first, the smallest figure first, those without one behind."""
    return (
        rank_class(offer, query.rank_stale),
        figure is None,
        figure or 0.0,
        offer.cloud,
        offer.instance_type,
        offer.market,
        offer.term_months or 0.0,
        offer.region,
        offer.zone,
    )


def select(offers: Iterable[Offer], query: OfferQuery) -> list[Offer]:
    """The answer to a query in its order: the meaning that the index has to reproduce."""
    found = sorted((offer for offer in offers if meets(offer, query)), key=lambda offer: order_key(offer, query))
    kept = found if query.all_regions else cheapest_per_type(found)
    return kept[: query.limit] if query.limit is not None else kept


def cheapest_per_type(ordered: Iterable[Offer]) -> list[Offer]:
    """The first of each instance type, market, term and status."""
    first: dict[tuple[object, ...], Offer] = {}
    for offer in ordered:
        key = (offer.cloud, offer.instance_type, offer.market, offer.term_months, offer.status)
        first.setdefault(key, offer)
    return list(first.values())


class Miss(NamedTuple):
    """What would fit if these wishes were dropped: how many offers, and the best of them."""

    wishes: tuple[str, ...]
    offers: int
    best: Offer


Search = Callable[[OfferQuery], "tuple[int, Offer | None]"]


def wishes_of(query: OfferQuery) -> dict[str, OfferQuery]:
    """Each wish in words, with the query that lacks it."""
    found: dict[str, OfferQuery] = {}
    counted = [gpu for gpu in query.gpus if gpu.count is not None]
    if counted:
        without = tuple(replace(gpu, count=None) for gpu in query.gpus)
        found["GPU count " + " or ".join(f"{gpu.count:g}" for gpu in counted)] = replace(query, gpus=without)
    for name, value, changes in _droppable(query):
        if value:
            found[name] = replace(query, **changes)  # type: ignore[arg-type]
    return found


def _droppable(query: OfferQuery) -> list[tuple[str, object, dict[str, object]]]:
    memory, count, usd = query.min_gpu_memory_gib, query.min_count, query.max_usd_per_hour
    return [
        (f"--cloud {','.join(query.clouds)}", query.clouds, {"clouds": ()}),
        (f"--region {','.join(query.regions)}", query.regions, {"regions": ()}),
        (f"--market {query.market}", query.market != "any", {"market": "any"}),
        (f"--min-gpu-memory {memory or 0:g}GB", memory is not None, {"min_gpu_memory_gib": None}),
        (f"--min-count {count or 0:g}", count is not None, {"min_count": None}),
        (f"--max-usd-per-hour {usd or 0:g}", usd is not None, {"max_usd_per_hour": None}),
        ("the rule to leave out retired prices (--retired)", not query.retired, {"retired": True}),
        ("the rule to leave out suspect prices (--suspect)", not query.suspect, {"suspect": True}),
    ]


def nearest_misses(query: OfferQuery, search: Search) -> list[Miss]:
    """What excluded the nearest misses: each single wish whose loss makes something fit; else the smallest sets.

    `search` answers a query with the number of offers and the best one.
    """
    level: dict[tuple[str, ...], OfferQuery] = {(): query}
    if search(_without_wishes(query))[1] is None:
        return []
    while level:
        level = _with_one_less(level)
        found = [_miss(names, relaxed, search) for names, relaxed in level.items()]
        misses = [miss for miss in found if miss is not None]
        if misses:
            return misses
    return []


def _without_wishes(query: OfferQuery) -> OfferQuery:
    gpus = tuple(replace(gpu, count=None) for gpu in query.gpus)
    return OfferQuery(gpus=gpus, market="any", retired=True, suspect=True, all_regions=query.all_regions)


def _with_one_less(level: dict[tuple[str, ...], OfferQuery]) -> dict[tuple[str, ...], OfferQuery]:
    deeper: dict[tuple[str, ...], OfferQuery] = {}
    for dropped, query in level.items():
        for name, relaxed in wishes_of(query).items():
            deeper[tuple(sorted((*dropped, name)))] = relaxed
    return deeper


def _miss(names: tuple[str, ...], query: OfferQuery, search: Search) -> Miss | None:
    count, best = search(query)
    return Miss(names, count, best) if best is not None else None
