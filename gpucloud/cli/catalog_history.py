"""`gpucloud catalog history`: what a GPU or an instance type cost over time, as a table and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpucloud.catalog.catalog import Catalog
from gpucloud.cli import names_asked as asked
from gpucloud.cli.options import current, narrate
from gpucloud.cli.outside import home, opened_catalog
from gpucloud.cli.views import money
from gpucloud.core.errors import NothingFits, UsageError
from gpucloud.render.view import Column, View, show

if TYPE_CHECKING:
    from gpucloud.catalog.history import PastPrice

COLUMNS = (
    Column("cloud", "Cloud"),
    Column("instance_type", "Type"),
    Column("place", "Place"),
    Column("market", "Market"),
    Column("observed_on", "From"),
    Column("last_seen", "Last seen", keep=3),
    Column("usd_per_hour", "USD/h", right=True, write=money),
    Column("change", "Change", right=True, write=lambda share: "" if share is None else f"{share:+.1%}"),
    Column("status", "Status", keep=2),
    Column("source", "Source", wide=True),
)
MARKETS = ("on-demand", "spot", "any")
Words = list[str] | None


def history(
    names: Annotated[list[str], typer.Argument(metavar="GPU|TYPE...", help="A100-80GB:8, or p4d.24xlarge.")],
    cloud: Annotated[Words, typer.Option("--cloud", metavar="NAME", help="Only these; repeat or use commas.")] = None,
    region: Annotated[Words, typer.Option("--region", metavar="NAME", help="Only these; repeat or use commas.")] = None,
    market: Annotated[str, typer.Option("--market", metavar="|".join(MARKETS), help="How to buy.")] = "on-demand",
    single: Annotated[bool, typer.Option("--all", help="Also places with one price only.")] = False,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.svg|png", help="Draw it (extra plot).")] = None,
) -> None:
    """What it cost over time: earlier prices with the day from which they held, and the price that holds now.

    The shipped history has AWS in us-east-1 from 2022 on and spot prices of 2021; every `catalog refresh` adds
    what has changed since.
    """
    place = home()
    with opened_catalog() as catalog:
        clouds = asked.known_clouds(catalog, cloud)
        wanted = _wanted(catalog, names, clouds)
        regions = asked.known_regions(catalog, region, clouds)
        lines = lines_of(catalog, place.catalog, wanted)
    asked.one_of("--market", market, MARKETS)
    kept = [line for line in lines if market in (line.market, "any") and (not regions or line.region in regions)]
    kept = kept if single else _moved(kept)
    if not kept:
        again = " ".join(names)
        hint = f"`gpucloud catalog history {again} --all` also shows places with one price only."
        raise NothingFits(
            f"No price of {', '.join(names)} is known to have changed.",
            "`gpucloud catalog refresh` asks what it costs today." if single else hint,
        )
    if plot is not None:
        from gpucloud.render.picture import price_history

        price_history(plot, [line for line in kept if line.usd_per_hour is not None])
        narrate(f"Wrote {plot}.")
    rows = _rows(kept)
    show(View("catalog history", {"prices": rows}, COLUMNS, rows, records="prices"), current().output)


def _wanted(catalog: Catalog, names: list[str], clouds: tuple[str, ...]) -> set[tuple[str, str]]:
    """(cloud, instance type) of everything that the names mean."""
    kinds = [kind for kind in catalog.instance_types() if not clouds or kind.cloud in clouds]
    found = {(kind.cloud, kind.instance_type) for kind in kinds if kind.instance_type in names}
    exact = {name for _, name in found}
    for name in names:
        try:
            gpus = asked.gpu_requests(catalog, [name])
        except UsageError:
            if name in exact:  # an instance type, and no card is called so
                continue
            raise
        found |= {
            (kind.cloud, kind.instance_type)
            for kind in kinds
            for gpu in gpus
            if kind.accelerator in gpu.accelerators and gpu.count in (None, kind.accelerator_count)
        }
    if not found:
        raise UsageError(f"Nothing is sold as {', '.join(names)}.", "`gpucloud gpus` lists what is sold.")
    return found


def lines_of(catalog: Catalog, overlay: Path, wanted: set[tuple[str, str]]) -> list[PastPrice]:
    """Every price of these (cloud, instance type) pairs, by series and day."""
    from gpucloud.catalog.history import in_order, past_prices, price_now
    from gpucloud.core.query import OfferQuery

    past = [*past_prices(catalog.folder, wanted), *past_prices(overlay, wanted)]
    types = tuple(sorted({name for _, name in wanted}))
    query = OfferQuery(instance_types=types, market="any", all_regions=True, retired=True, suspect=True)
    now = [
        price_now(offer)
        for offer in catalog.offers(query)
        if (offer.cloud, offer.instance_type) in wanted and offer.observed_on and offer.term_months is None
    ]
    return in_order([*past, *now])


def _moved(lines: list[PastPrice]) -> list[PastPrice]:
    """Only the series that have more than one line."""
    counts: dict[tuple[str, ...], int] = {}
    for line in lines:
        counts[line.series] = counts.get(line.series, 0) + 1
    return [line for line in lines if counts[line.series] > 1]


def _rows(lines: list[PastPrice]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    before: PastPrice | None = None
    for line in lines:
        known = before is not None and before.series == line.series and before.usd_per_hour and line.usd_per_hour
        change = line.usd_per_hour / before.usd_per_hour - 1 if known and before and line.usd_per_hour else None  # type: ignore[operator]
        about = line._asdict()
        blanks = {key: about[key] or None for key in ("region", "zone", "last_seen")}
        rows.append({**about, **blanks, "place": line.zone or line.region or "", "change": change})
        before = line if line.status != "suspect" else before
    return rows
