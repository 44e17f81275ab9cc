"""`gpucloud compare`: offers as a table, cheapest first."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from gpucloud.catalog.catalog import Catalog
from gpucloud.cli import names_asked as asked
from gpucloud.cli.offer_view import notes, offers_view, speed_note
from gpucloud.cli.options import current
from gpucloud.cli.outside import opened_catalog, waiting
from gpucloud.cli.speeds import Priced
from gpucloud.core.errors import UsageError
from gpucloud.core.offers import Offer
from gpucloud.core.query import MARKET_WISHES, SORTS, OfferQuery, order_by
from gpucloud.render.view import show

ROWS_FOR_PEOPLE = 20
Words = list[str] | None


def compare(
    gpus: Annotated[
        Words,
        typer.Argument(metavar="[GPU[:N]]...", help="A100, a100-80gb, A100-SXM-80GB:8; several are alternatives."),
    ] = None,
    cloud: Annotated[Words, typer.Option("--cloud", metavar="NAME", help="Only these; repeat or use commas.")] = None,
    region: Annotated[Words, typer.Option("--region", metavar="NAME", help="Only these; repeat or use commas.")] = None,
    market: Annotated[str, typer.Option("--market", metavar="|".join(MARKET_WISHES), help="How to buy.")] = "on-demand",
    min_gpu_memory: Annotated[
        str | None, typer.Option("--min-gpu-memory", metavar="40GB", help="Memory of each GPU as sold.")
    ] = None,
    min_count: Annotated[float | None, typer.Option("--min-count", metavar="N", help="GPUs in the machine.")] = None,
    max_usd_per_hour: Annotated[
        float | None, typer.Option("--max-usd-per-hour", metavar="USD", help="For the whole machine.")
    ] = None,
    all_regions: Annotated[
        bool, typer.Option("--all-regions", help="Every place, not the cheapest region of each instance type.")
    ] = False,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Add speed and cost of the work on this model.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", metavar="NAME", help="fp32, tf32, fp16, bf16, fp8 or mixed.")
    ] = None,
    sort: Annotated[str, typer.Option("--sort", metavar="|".join(SORTS), help="What comes first.")] = "price",
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="Rows (default 20; json and csv: all).")
    ] = None,
    retired: Annotated[bool, typer.Option("--retired", help="Also what is no longer sold.")] = False,
    suspect: Annotated[bool, typer.Option("--suspect", help="Also prices that look wrong.")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Rank prices older than a year with the others.")] = False,
) -> None:
    """Offers of all clouds, cheapest first: on-demand, the cheapest region of each instance type.

    Needs no network and no credentials. Prices older than a year stand below the others, unranked. Ends with 3
    when nothing fits, and says which wish is to blame.
    """
    with opened_catalog() as shipped:
        catalog = _with_own(shipped, asked.commas(cloud))
        clouds = asked.known_clouds(catalog, cloud)
        query = OfferQuery(
            gpus=asked.gpu_requests(catalog, gpus),
            clouds=clouds,
            regions=asked.known_regions(catalog, region, clouds),
            market=asked.one_of("--market", market, MARKET_WISHES),
            min_gpu_memory_gib=_memory(min_gpu_memory),
            min_count=asked.at_least_zero("--min-count", min_count),
            max_usd_per_hour=asked.at_least_zero("--max-usd-per-hour", max_usd_per_hour),
            all_regions=all_regions,
            retired=retired,
            suspect=suspect,
            rank_stale=stale,
            sort=asked.one_of("--sort", sort, SORTS),
            limit=_limit(limit),
        )
        _answer(catalog, query, asked.known_model(catalog, model), _precision(precision))


def _with_own(catalog: Catalog, clouds: tuple[str, ...]) -> Catalog:
    if not clouds:
        return catalog
    from gpucloud.cli.own_offers import with_own

    return with_own(catalog, clouds)


def _memory(words: str | None) -> float | None:
    if not words:
        return None
    from gpucloud.core.units import memory_gib

    return memory_gib(words, "--min-gpu-memory")


def _limit(limit: int | None) -> int | None:
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} shows nothing.", "Give a number of one or more.")
    return limit if limit is not None or not _for_people() else ROWS_FOR_PEOPLE


def _for_people() -> bool:
    return current().output not in ("json", "csv")


def _precision(word: str | None) -> str | None:
    if not word:
        return None
    from gpucloud.core.throughput import PRECISIONS

    return asked.one_of("--precision", word, [name for name in PRECISIONS if name])


def _answer(catalog: Catalog, query: OfferQuery, model: str | None, precision: str | None) -> None:
    by_work = query.sort in ("work-price", "throughput")
    if model is None and (by_work or precision):
        what = f"--sort {query.sort}" if by_work else "--precision"
        raise UsageError(f"{what} needs a model.", "Add --model, for example --model resnet50.")
    every_row = by_work or not query.all_regions
    with waiting("looking through the offers"):
        offers = catalog.offers(replace(query, limit=None) if every_row else query)
        priced = _priced(catalog, offers, query, model, precision)
    if not offers:
        from gpucloud.cli.misses import nothing_fits

        raise nothing_fits(catalog, query)
    shown = priced[: query.limit]
    human = _for_people()
    lines = _notes(catalog, query, shown, len(offers), model) if human else []
    show(offers_view(query, shown, model, lines, human), current().output)


def _priced(
    catalog: Catalog, offers: list[Offer], query: OfferQuery, model: str | None, precision: str | None
) -> list[Priced]:
    if model is None:
        return [Priced(offer) for offer in offers]
    from gpucloud.cli.speeds import pricer

    priced = list(map(pricer(catalog, model, precision), offers))
    if query.sort == "work-price":
        priced.sort(key=lambda one: order_by(one.offer, one.usd_per_unit_work, query))
    elif query.sort == "throughput":
        priced.sort(key=lambda one: order_by(one.offer, -one.throughput.value if one.throughput else None, query))
    return priced


def _notes(catalog: Catalog, query: OfferQuery, shown: list[Priced], found: int, model: str | None) -> list[str]:
    every_place = catalog.count(query)
    lines = notes(query, shown, every_place if query.all_regions else found, every_place, catalog.tally(query))
    return [*lines, *(speed_note(shown) if model else [])]
