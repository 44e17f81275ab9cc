"""From the objects of `compare`, `recommend` and `cost` to the pages that show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpucloud.core.pricing import work_unit
from gpucloud.render.report.charts import bars, cost_against_time, over_time, rent_or_own
from gpucloud.render.report.page import Fact, Field, Filter, Report

if TYPE_CHECKING:
    from gpucloud.catalog.history import PastPrice

Json = Mapping[str, Any]
PRICE = ("source", "observed_on", "price_kind", "status")
SPEED = ("speed_basis", "speed_low", "speed_high", "speed_source")
SERIES_SHOWN = 8

FIRST_FIELDS = (
    Field("cloud", "Cloud"),
    Field("instance_type", "Instance type"),
    Field("accelerator", "GPU"),
    Field("accelerator_count", "Count", True),
    Field("gpu_memory_gib", "GiB/GPU", True),
    Field("usd_per_hour", "USD/h", True, PRICE, form="rate"),
    Field("usd_per_gpu_hour", "USD/GPU-h", True, PRICE, form="rate"),
)
LAST_FIELDS = (
    Field("region", "Region"),
    Field("zone", "Zone"),
    Field("market", "Market"),
    Field("vcpus", "vCPUs", True),
    Field("memory_gib", "RAM GiB", True),
    Field("observed_on", "Price of"),
    Field("age_days", number=True, name="age in days"),
    Field("status", "Status", paper=False),
    Field("availability", name="availability"),
    Field("provisionable", "Startable", name="gpucloud can start it"),
    Field("price_kind", name="kind of price"),
    Field("arch", name="architecture"),
    Field("flags", name="mind"),
    Field("source", name="source"),
)


def _speed_fields(unit: str) -> tuple[Field, ...]:
    return (
        Field("speed", "Speed", True, SPEED),
        Field("speed_unit", "Unit"),
        Field("usd_per_unit_work", f"USD per {unit}", True, (*PRICE, *SPEED), form="rate"),
        Field("speed_basis", name="speed is"),
        Field("speed_low", number=True, name="speed, 80 % from"),
        Field("speed_high", number=True, name="speed, 80 % to"),
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
    offers = [as_offer(offer) for offer in body["offers"]]
    ranked = [offer for offer in offers if offer["status"] == "current" and offer["usd_per_hour"]]
    unit = next((offer["work_unit"] for offer in offers if offer["work_unit"]), "unit of work")
    with_speed = any(offer["speed"] for offer in offers)
    told = (("name", "offer"), ("usd_per_gpu_hour", "USD/GPU-h"), ("observed_on", "price of"), ("source", "source"))
    work = (("name", "offer"), ("usd_per_unit_work", "USD"), ("speed_basis", "speed"), ("source", "source"))
    charts = [
        bars(ranked, "accelerator", "usd_per_gpu_hour", "The cheapest hour of each GPU", "USD per GPU and hour", told),
        bars(ranked, "label", "usd_per_unit_work", "The cheapest work", f"USD per {unit}", work)
        if with_speed
        else None,
        over_time(_series(history, {offer["market"] for offer in offers})),
    ]
    clouds = {offer["cloud"] for offer in offers}
    return Report(
        "GPU offers",
        f"{_many(len(offers), 'offer')} of {_many(len(clouds), 'cloud')}.",
        f"gpucloud {words}",
        (*FIRST_FIELDS, *(_speed_fields(unit) if with_speed else ()), *LAST_FIELDS),
        offers,
        OFFER_FILTERS,
        [chart for chart in charts if chart],
        _offer_facts(ranked, unit),
        sort="usd_per_hour",
    )


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _offer_facts(ranked: Sequence[Json], unit: str) -> list[Fact]:
    """The cheapest by machine, by GPU and by work, and the days of the prices."""
    facts = []
    for key, title, per in (
        ("usd_per_hour", "Cheapest machine", "h"),
        ("usd_per_gpu_hour", "Cheapest hour of a GPU", "GPU-h"),
        ("usd_per_unit_work", "Cheapest work", unit),
    ):
        priced = [offer for offer in ranked if offer[key]]
        if priced:
            best = min(priced, key=lambda offer: offer[key])
            cards = f"{best['accelerator_count']:g} x {best['accelerator']}, {best['name']}"
            facts.append(Fact(title, f"{best[key]:,.4g} USD/{per}", f"{cards}; price of {best['observed_on']}"))
    days = sorted(offer["observed_on"] for offer in ranked if offer["observed_on"])
    if days:
        facts.append(
            Fact(
                "Newest price of",
                days[-1],
                f"the oldest among the ranked is of {days[0]}" if days[0] < days[-1] else "all that are ranked",
            )
        )
    return facts


def as_offer(offer: Json) -> dict[str, Any]:
    """An offer of `compare` as a row: its name, its label in a chart, and its speed."""
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


def _series(history: Collection[PastPrice], markets: Collection[str]) -> list[dict[str, Any]]:
    """The series of these markets with most changes, as rows for the chart."""
    by_series: dict[tuple[str, ...], list[PastPrice]] = {}
    for line in history:
        if line.market in markets and line.usd_per_hour is not None and line.status != "suspect":
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


def _option_fields(unit: str) -> tuple[Field, ...]:
    return (
        Field("rank", "Rank", True),
        Field("kind", "Kind"),
        Field("name", "Option"),
        Field("accelerator", "GPU"),
        Field("accelerator_count", "Count", True),
        Field("nodes", "Nodes", True),
        Field("hours", "Hours", True, (*OPTION_TOLD, "low_hours", "high_hours"), form="hours"),
        Field("usd", "USD", True, (*OPTION_TOLD, "low_usd", "high_usd"), form="usd"),
        Field("low_usd", "USD from", True, form="usd"),
        Field("high_usd", "USD to", True, form="usd"),
        Field("usd_per_hour", "USD/h", True, OPTION_TOLD, form="rate"),
        Field("usd_per_unit_work", f"USD per {unit}", True, OPTION_TOLD, form="rate"),
        Field("break_even", "Owning pays above", True, form="percent"),
        Field("market", "Market"),
        Field("region", "Region"),
        Field("pareto", "On the front"),
        Field("memory_verdict", "Memory"),
        Field("reasons", "Why", paper=False),
        Field("warnings", "Mind", paper=False),
        Field("command", "Command", paper=False),
        Field("low_hours", number=True, name="hours from", form="hours"),
        Field("high_hours", number=True, name="hours to", form="hours"),
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
    options = [as_option(option) for option in body["options"]]
    told = (("name", "option"), ("usd", "USD"), ("hours", "hours"), ("priced", "price of"), ("price_source", "source"))
    charts = [
        cost_against_time(options),
        bars(options, "name", "usd", "The cheapest ways", "USD for the whole work", told),
        rent_or_own(options),
    ]
    notes = _advice(body["advice"]) if body.get("advice") else []
    return Report(
        "Rent or own",
        f"{_many(len(options), 'option')} for {_work(body['work'])}.",
        f"gpucloud {words}",
        _option_fields(unit_of(body["work"])),
        options,
        OPTION_FILTERS,
        [chart for chart in charts if chart],
        _picks(body.get("picks") or {}, options),
        notes,
        sort="rank",
    )


def _advice(advice: Json) -> list[str]:
    rule = f"The rule of thumb for a {advice['profile']} ({advice['stage']}): {advice['rule']}"
    return [rule, f"Here it is {advice['verdict']}: {advice['why']}."]


def _work(work: Json) -> str:
    """`115,305,030 samples with resnet50`."""
    model = f" with {work['model']}" if work.get("model") else ""
    return f"{work['amount']:,.10g} {work['unit']}{model}"


def unit_of(work: Json) -> str:
    """`1e6 samples`: what the price of the work is for."""
    _, unit = work_unit(f"{work['unit']}/s") or (1.0, "unit of work")
    return unit


def _picks(picks: Json, options: Sequence[Json]) -> list[Fact]:
    """What is recommended, each option once, and the machine that pays soonest."""
    within = " within budget" if any(option["meets_budget"] is not None for option in options) else ""
    named = {"cheapest": "Cheapest", "fastest_within_budget": f"Fastest{within}", "startable_now": "Startable now"}
    titles: dict[int, list[str]] = {}
    for key, title in named.items():
        if picks.get(key):
            titles.setdefault(picks[key]["rank"], []).append(title)
    by_rank = {option["rank"]: option for option in options}
    facts = [
        Fact(" and ".join([names[0], *map(str.lower, names[1:])]), *_sum(by_rank[rank]))
        for rank, names in titles.items()
        if rank in by_rank
    ]
    pays = [option for option in options if option["break_even"] is not None and option["break_even"] <= 1]
    if pays:
        best = min(pays, key=lambda option: (option["break_even"], option["rank"]))
        against = f"{best['name']}, against renting {best['own'].get('versus') or 'the same speed'}"
        facts.append(Fact("Owning pays above", f"{best['break_even']:.0%} use", against))
    return facts


def _sum(option: Json) -> tuple[str, str]:
    cards = f"{option['accelerator_count']:g} x {option['accelerator']}"
    nodes = f", {option['nodes']} nodes" if option["nodes"] > 1 else ""
    interval = f"80 % between {option['low_usd']:,.2f} and {option['high_usd']:,.2f} USD"
    return f"{option['usd']:,.2f} USD in {option['hours']:,.3g} h", f"{option['name']} ({cards}{nodes}); {interval}"


def as_option(option: Json) -> dict[str, Any]:
    """An option of `recommend` as a row: its name, its sources and where owning pays."""
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
    Field("kind", "What"),
    Field("hours", "Hours", True, form="hours"),
    Field("usd_per_hour", "USD/h", True, ("price_observed_on",), form="rate"),
    Field("usd", "USD", True, ("price_observed_on",), form="usd"),
    Field("price_observed_on", "Price of", name="price of"),
)
SPENT_TOLD = (("deployment", "deployment"), ("usd", "USD"))


def of_cost(body: Json, words: str) -> Report:
    """What was spent, by deployment."""
    items = list(body["items"])
    rows: list[dict[str, Any]] = [
        {"deployment": name, "usd": round(usd, 6)} for name, usd in spent_by_deployment(items).items()
    ]
    chart = bars(rows, "deployment", "usd", "Spent by deployment", "USD", SPENT_TOLD, dearest=True)
    total = "unknown, a price is missing" if body["total_usd"] is None else f"{body['total_usd']:,.2f} USD"
    filters = (Filter("deployment", "choice", "Deployment"), Filter("kind", "choice", "What"))
    facts = [Fact("Spent in all", total)]
    if len(rows) > 1:
        dearest = max(rows, key=lambda row: row["usd"])
        facts.append(Fact("Dearest deployment", f"{dearest['usd']:,.2f} USD", str(dearest["deployment"])))
    about = f"{_many(len(rows), 'deployment')}, {_many(len(items), 'line')}."
    charts = [chart] if chart else []
    return Report(
        "What was spent", about, f"gpucloud {words}", COST_FIELDS, items, filters, charts, facts, sort="deployment"
    )


def spent_by_deployment(items: Sequence[Json]) -> dict[str, float]:
    """USD by deployment; what has no price counts nothing."""
    sums: dict[str, float] = {}
    for item in items:
        sums[item["deployment"]] = sums.get(item["deployment"], 0.0) + (item["usd"] or 0.0)
    return sums
