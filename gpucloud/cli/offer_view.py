"""Offers as JSON records, and as a table with what was left out below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpucloud.cli import tones
from gpucloud.cli.speeds import Priced
from gpucloud.core.offers import Offer, refresh_command
from gpucloud.core.query import OfferQuery, is_stale
from gpucloud.render.text import age, count, plural, significant
from gpucloud.render.view import Column, View, usd


def whole(value: float | None) -> float | int | None:
    """A figure without a needless `.0`."""
    return int(value) if value is not None and value == int(value) else value


def record(priced: Priced) -> dict[str, Any]:
    """One offer for programs: the source's own price, nothing rounded."""
    offer, speed = priced.offer, priced.throughput
    return {
        "cloud": offer.cloud,
        "instance_type": offer.instance_type,
        "accelerator": offer.accelerator,
        "accelerator_count": whole(offer.accelerator_count),
        "gpu_memory_gib": whole(offer.gpu_memory_gib),
        "vcpus": whole(offer.vcpus),
        "memory_gib": whole(offer.memory_gib),
        "region": offer.region or None,
        "zone": offer.zone or None,
        "market": offer.market,
        "usd_per_hour": offer.usd_per_hour,
        "usd_per_gpu_hour": offer.usd_per_gpu_hour,
        "observed_on": offer.observed_on or None,
        "age_days": offer.age_days,
        "status": offer.status,
        "price_kind": offer.price_kind,
        "availability": offer.availability,
        "provisionable": offer.provisionable,
        "arch": offer.arch,
        "source": offer.source or None,
        "flags": list(offer.flags),
        "throughput": None if speed is None else _speed(speed),
        "usd_per_unit_work": priced.usd_per_unit_work,
        "work_unit": priced.work_unit,
    }


def _speed(speed: Any) -> dict[str, Any]:
    keys = ("value", "unit", "model", "precision", "basis", "low", "high", "source")
    return {key: getattr(speed, key) for key in keys}


COLUMNS = (
    Column("cloud", "Cloud"),
    Column("instance_type", "Instance type", floor=19),
    Column("accelerator", "GPU"),
    Column("accelerator_count", "Count", right=True, write=count),
    Column("gpu_memory_gib", "GiB/GPU", right=True, keep=3),
    Column("vcpus", "vCPUs", right=True, keep=2),
    Column("memory_gib", "RAM GiB", right=True, keep=1),
    Column("place", "Region", keep=8),
    Column("usd_per_hour", "USD/h", right=True, write=usd(3)),
    Column("usd_per_gpu_hour", "USD/GPU-h", right=True, write=usd(3), keep=6),
    Column("age_days", "Price age", right=True, keep=8, write=age),
    Column("remark", "Remark", keep=5, tone=tones.of_remark),
    Column("zone", "Zone", wide=True),
    Column("arch", "Arch", wide=True),
    Column("availability", "Availability", wide=True),
    Column("price_kind", "Price kind", wide=True),
    Column("observed_on", "Observed", wide=True),
    Column("source", "Source", wide=True),
    Column("flags", "Flags", wide=True),
)
MARKET = Column("market", "Market", keep=9)
SPEED_WIDE = (Column("basis", "Basis", wide=True), Column("speed_source", "Speed source", wide=True))


def columns(query: OfferQuery, shown: Sequence[Priced], model: str | None) -> list[Column]:
    """The columns that this answer needs: the market when it varies, speed and cost of work for a model."""
    before, price = list(COLUMNS[:8]), COLUMNS[8:]
    if query.gpus and all(request.count is not None for request in query.gpus):
        before[3] = before[3]._replace(keep=4)  # who asked for eight knows that it is eight
    market = [MARKET] if query.market == "any" else []
    speed = _speed_columns(shown) if model else []
    return [*before, *market, *price[:2], *speed, *price[2:]]


def _speed_columns(shown: Sequence[Priced]) -> list[Column]:
    units = {priced.throughput.unit for priced in shown if priced.throughput} or {"throughput"}
    works = {priced.work_unit for priced in shown if priced.work_unit} or {"unit of work"}
    return [
        Column("speed", " or ".join(sorted(units)), right=True, write=significant),
        Column("usd_per_unit_work", f"USD/{' or '.join(sorted(works))}", right=True, write=significant),
        *SPEED_WIDE,
    ]


def rows(query: OfferQuery, shown: Sequence[Priced]) -> list[dict[str, Any]]:
    """Records with what only people read."""
    return [_row(query, priced) for priced in shown]


def _row(query: OfferQuery, priced: Priced) -> dict[str, Any]:
    offer, speed = priced.offer, priced.throughput
    place = (offer.zone or offer.region) if query.all_regions else offer.region
    words = {"place": place or "not said", "remark": remark(offer)}
    found = {} if speed is None else {"speed": speed.value, "basis": speed.basis, "speed_source": speed.source}
    return {**record(priced), **words, **found}


def remark(offer: Offer) -> str:
    """What keeps an offer from being taken at its word."""
    words = [offer.status] if offer.status != "current" else []
    if offer.usd_per_hour is not None and is_stale(offer):
        words.append("stale")
    if offer.availability in ("capacity_block", "spot_only") and offer.market != "spot":
        words.append(offer.availability.replace("_", " "))
    if not offer.provisionable and not words:
        words.append("price only")
    return ", ".join(words)


def notes(
    query: OfferQuery, shown: Sequence[Priced], found: int, every_place: int, tally: dict[tuple[str, str], int]
) -> list[str]:
    """What was left out and how to see it. `found` fit, `every_place` with all regions."""
    return [
        _counted(query, len(shown), found, every_place),
        *_hidden_by_market(query, tally),
        *_hidden_by_status(query, tally),
        *_legend(query, shown),
    ]


def _counted(query: OfferQuery, shown: int, found: int, every_place: int) -> str:
    kept = "" if query.all_regions else ", the best region of each instance type"
    first = f"{shown:,} of {plural(found, 'offer')}{kept}" if shown < found else f"{plural(found, 'offer')}{kept}"
    more = [f"--limit {found} shows all"] if shown < found else []
    if not query.all_regions and every_place > found:
        more.append(f"--all-regions every place ({every_place:,})")
    return f"{first}{'; ' + ', '.join(more) if more else ''}."


def _hidden_by_market(query: OfferQuery, tally: dict[tuple[str, str], int]) -> list[str]:
    if query.market == "any":
        return []
    hidden = {
        market: number for (market, status), number in tally.items() if market != query.market and status == "current"
    }
    words = [f"{number:,} {market}" for market, number in sorted(hidden.items())]
    return [f"Left out: {' and '.join(words)} prices (--market {' or '.join(sorted(hidden))})."] if words else []


def _hidden_by_status(query: OfferQuery, tally: dict[tuple[str, str], int]) -> list[str]:
    hidden: dict[str, int] = {}
    for (market, status), number in tally.items():
        if status not in query.statuses and query.market in ("any", market):
            hidden[status] = hidden.get(status, 0) + number
    words = [f"{number:,} {status}" for status, number in sorted(hidden.items())]
    options = " ".join(f"--{status}" for status in sorted(hidden))
    return [f"Left out: {' and '.join(words)} prices ({options})."] if words else []


def speed_note(shown: Sequence[Priced]) -> list[str]:
    """Below a comparison for a model: how much of it is known."""
    without = sum(priced.throughput is None for priced in shown)
    return [f"{without:,} of {plural(len(shown), 'row')} have no speed on this model."] if without else []


def _legend(query: OfferQuery, shown: Sequence[Priced]) -> list[str]:
    remarks = {word for priced in shown for word in remark(priced.offer).split(", ")}
    lines = []
    if "stale" in remarks and not query.rank_stale:
        cure = refresh_command(priced.offer.cloud for priced in shown if is_stale(priced.offer))
        asks = f"`{cure}` asks for today's; " if cure else ""
        lines.append(f"Stale prices are older than a year and stand below the others; {asks}--stale ranks them too.")
    if "price only" in remarks:
        lines.append("Price only: gpucloud compares it but cannot start it.")
    return lines


def offers_view(
    query: OfferQuery, shown: Sequence[Priced], model: str | None, lines: Sequence[str], human: bool
) -> View:
    """The answer of `compare`; the human half is made only when somebody reads it."""
    body = {"offers": [record(priced) for priced in shown]}
    if not human:
        return View("compare", body, records="offers")
    return View("compare", body, columns(query, shown, model), rows(query, shown), lines)
