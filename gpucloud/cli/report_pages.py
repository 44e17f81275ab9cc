"""From the objects of `compare`, `recommend` and `cost` to the pages that show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpucloud.render.report.charts import bars, cost_against_time, over_time, rent_or_own
from gpucloud.render.report.page import Chart, Field, Filter, Report

if TYPE_CHECKING:
    from gpucloud.catalog.history import PastPrice

Json = Mapping[str, Any]
PRICE = ("source", "observed_on", "price_kind", "status")
SPEED = ("speed_basis", "speed_low", "speed_high", "speed_source")
SERIES_SHOWN = 8

OFFER_FIELDS = (
    Field("cloud", "Cloud"),
    Field("instance_type", "Instance type"),
    Field("accelerator", "GPU"),
    Field("accelerator_count", "Count", True),
    Field("gpu_memory_gib", "GiB/GPU", True),
    Field("vcpus", "vCPUs", True),
    Field("memory_gib", "RAM GiB", True),
    Field("region", "Region"),
    Field("zone", "Zone"),
    Field("market", "Market"),
    Field("usd_per_hour", "USD/h", True, PRICE),
    Field("usd_per_gpu_hour", "USD/GPU-h", True, PRICE),
    Field("observed_on", "Price of"),
    Field("status", "Status"),
    Field("availability", name="availability"),
    Field("provisionable", "Startable"),
    Field("price_kind", name="kind of price"),
    Field("arch", name="architecture"),
    Field("source", name="source"),
)
SPEED_FIELDS = (
    Field("speed", "Speed", True, SPEED),
    Field("speed_unit", "Unit"),
    Field("usd_per_unit_work", "USD for the work", True, (*PRICE, *SPEED)),
    Field("speed_basis", name="speed is"),
    Field("speed_low", number=True, name="80 % from"),
    Field("speed_high", number=True, name="80 % to"),
    Field("speed_source", name="source of the speed"),
)
OFFER_FILTERS = (
    Filter("cloud", "choice", "Cloud"),
    Filter("accelerator", "choice", "GPU"),
    Filter("region", "choice", "Region"),
    Filter("market", "choice", "Market"),
    Filter("gpu_memory_gib", "least", "GiB/GPU at least"),
    Filter("accelerator_count", "least", "GPUs at least"),
    Filter("usd_per_hour", "most", "USD/h at most"),
)


def of_compare(body: Json, words: str, history: Collection[PastPrice] = ()) -> Report:
    """The offers with prices by GPU, price of the work where a model was named, and earlier prices."""
    offers = [_offer(offer) for offer in body["offers"]]
    ranked = [offer for offer in offers if offer["status"] == "current" and offer["usd_per_hour"]]
    with_speed = any(offer["speed"] for offer in offers)
    told = (("name", "offer"), ("usd_per_gpu_hour", "USD/GPU-h"), ("observed_on", "price of"), ("source", "source"))
    charts: list[Chart | None] = [
        bars(ranked, "accelerator", "usd_per_gpu_hour", "The cheapest hour of each GPU", "USD per GPU and hour", told)
    ]
    if with_speed:
        told = (("name", "offer"), ("usd_per_unit_work", "USD"), ("speed_basis", "speed"), ("source", "source"))
        unit = next((offer["work_unit"] for offer in offers if offer["work_unit"]), "unit of work")
        charts.append(bars(ranked, "label", "usd_per_unit_work", "The cheapest work", f"USD for {unit}", told))
    charts.append(over_time(_series(history)))
    fields = (*OFFER_FIELDS, *(SPEED_FIELDS if with_speed else ()))
    return Report(
        "GPU offers",
        f"gpucloud {words}: {len(offers):,} offers.",
        fields,
        offers,
        OFFER_FILTERS,
        [chart for chart in charts if chart],
        sort="usd_per_hour",
    )


def _offer(offer: Json) -> dict[str, Any]:
    speed = offer.get("throughput") or {}
    name = " ".join(filter(None, (offer["cloud"], offer["instance_type"], offer["zone"] or offer["region"])))
    return {
        **{key: value for key, value in offer.items() if key != "throughput"},
        "name": name,
        "label": f"{offer['accelerator_count']:g} x {offer['accelerator']}, {offer['cloud']}",
        "speed": speed.get("value"),
        "speed_unit": speed.get("unit"),
        "speed_basis": speed.get("basis"),
        "speed_low": speed.get("low"),
        "speed_high": speed.get("high"),
        "speed_source": speed.get("source"),
    }


def _series(history: Collection[PastPrice]) -> list[dict[str, Any]]:
    """The series with most changes, as rows for the chart."""
    by_series: dict[tuple[str, ...], list[PastPrice]] = {}
    for line in history:
        if line.usd_per_hour is not None and line.status != "suspect":
            by_series.setdefault(line.series, []).append(line)
    moved = [lines for lines in by_series.values() if len(lines) > 1]
    moved.sort(key=lambda lines: (lines[0].market != "on-demand", -len(lines), lines[0].series))
    return [row for lines in moved[:SERIES_SHOWN] for row in _steps(lines)]


def _steps(lines: Sequence[PastPrice]) -> list[dict[str, Any]]:
    first = lines[0]
    name = " ".join(filter(None, (first.cloud, first.instance_type, first.zone or first.region, first.market)))
    rows = [{"name": name, "day": line.observed_on, "usd": line.usd_per_hour, "source": line.source} for line in lines]
    last = lines[-1]
    if last.last_seen > last.observed_on:
        rows.append({"name": name, "day": last.last_seen, "usd": last.usd_per_hour, "source": last.source})
    return rows


OPTION_TOLD = ("priced", "price_source", "speed_basis", "speed_source")
OPTION_FIELDS = (
    Field("rank", "Rank", True),
    Field("kind", "Kind"),
    Field("name", "Option"),
    Field("accelerator", "GPU"),
    Field("accelerator_count", "Count", True),
    Field("nodes", "Nodes", True),
    Field("region", "Region"),
    Field("market", "Market"),
    Field("hours", "Hours", True, (*OPTION_TOLD, "low_hours", "high_hours")),
    Field("usd", "USD", True, (*OPTION_TOLD, "low_usd", "high_usd")),
    Field("low_usd", "USD from", True),
    Field("high_usd", "USD to", True),
    Field("usd_per_hour", "USD/h", True, OPTION_TOLD),
    Field("usd_per_unit_work", "USD for the unit", True, OPTION_TOLD),
    Field("memory_verdict", "Memory"),
    Field("pareto", "On the front"),
    Field("break_even", "Pays above use", True),
    Field("reasons", "Why"),
    Field("warnings", "Mind"),
    Field("command", "Command"),
    Field("low_hours", number=True, name="hours from"),
    Field("high_hours", number=True, name="hours to"),
    Field("priced", name="price of"),
    Field("price_source", name="source of the price"),
    Field("speed_basis", name="speed is"),
    Field("speed_source", name="source of the speed"),
)
OPTION_FILTERS = (
    Filter("kind", "choice", "Rent or own"),
    Filter("accelerator", "choice", "GPU"),
    Filter("region", "choice", "Region"),
    Filter("market", "choice", "Market"),
    Filter("hours", "most", "Hours at most"),
    Filter("usd", "most", "USD at most"),
)


def of_recommend(body: Json, words: str) -> Report:
    """The options with cost against time, price of the work, and where owning pays."""
    options = [_option(option) for option in body["options"]]
    told = (("name", "option"), ("usd", "USD"), ("hours", "hours"), ("priced", "price of"), ("price_source", "source"))
    charts = [
        cost_against_time(options),
        bars(options, "name", "usd", "The cheapest ways", "USD for the whole work", told),
        rent_or_own(options),
    ]
    advice = body.get("advice") or {}
    notes = [str(value) for value in advice.values() if isinstance(value, str)] if isinstance(advice, Mapping) else []
    return Report(
        "Rent or own",
        f"gpucloud {words}: {len(options):,} options.",
        OPTION_FIELDS,
        options,
        OPTION_FILTERS,
        [chart for chart in charts if chart],
        notes,
        sort="rank",
    )


def _option(option: Json) -> dict[str, Any]:
    offer, speed, own = option.get("offer") or {}, option.get("throughput") or {}, option.get("own") or {}
    rented = " ".join(
        filter(None, (offer.get("cloud"), offer.get("instance_type"), offer.get("zone") or offer.get("region")))
    )
    return {
        **option,
        "name": option.get("system") or rented,
        "region": offer.get("region"),
        "market": offer.get("market"),
        "priced": offer.get("observed_on"),
        "price_source": offer.get("source"),
        "speed_basis": speed.get("basis"),
        "speed_source": speed.get("source"),
        "memory_verdict": (option.get("memory") or {}).get("verdict"),
        "break_even": own.get("break_even_utilisation"),
    }


COST_FIELDS = (
    Field("deployment", "Deployment"),
    Field("run", "Run"),
    Field("kind", "Kind"),
    Field("hours", "Hours", True),
    Field("usd_per_hour", "USD/h", True, ("price_observed_on",)),
    Field("usd", "USD", True, ("price_observed_on",)),
    Field("price_observed_on", "Price of", name="price of"),
)


def of_cost(body: Json, words: str) -> Report:
    """What was spent, by deployment."""
    items = list(body["items"])
    sums: dict[str, float] = {}
    for item in items:
        sums[item["deployment"]] = sums.get(item["deployment"], 0.0) + (item["usd"] or 0.0)
    rows = [{"deployment": name, "usd": round(usd, 6)} for name, usd in sums.items()]
    chart = bars(
        rows, "deployment", "usd", "Spent by deployment", "USD", (("deployment", "deployment"), ("usd", "USD"))
    )
    total = "unknown" if body["total_usd"] is None else f"{body['total_usd']:,.2f} USD"
    filters = (Filter("deployment", "choice", "Deployment"), Filter("kind", "choice", "Kind"))
    about = f"gpucloud {words}: {total} in total."
    return Report("What was spent", about, COST_FIELDS, items, filters, [chart] if chart else [], sort="deployment")
