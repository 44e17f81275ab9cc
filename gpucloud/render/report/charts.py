"""Vega-Lite specifications of a report: cost against time, price of the work, rent or own, prices by GPU."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gpucloud.render.report.page import Chart

Rows = Sequence[Mapping[str, Any]]
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
RENT, OWN, FRONT = "#0072b2", "#d55e00", "#009e73"  # Okabe and Ito: told apart by everybody
COLOURS = [RENT, OWN, FRONT, "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#8c564b"]
SHAPES = ["circle", "diamond", "triangle-up", "square", "cross", "triangle-down", "triangle-right", "triangle-left"]
HEIGHT = 300
LABEL_LIMIT = {"expr": "containerSize()[0] < 420 ? 130 : 260"}
MOST_POINTS, MOST_BARS, MOST_CURVES = 400, 15, 5
FAR_APART = 20
BELOW = {"orient": "bottom", "columns": 1, "labelLimit": {"expr": "containerSize()[0] - 60"}, "symbolSize": 90}
FIGURES = {"usd": ",.2f", "usd_per_gpu_hour": ",.3f"}  # how a bar's figure is written; others with three digits


def _spec(values: Rows, **rest: Any) -> dict[str, Any]:
    return {"$schema": SCHEMA, "width": "container", "height": HEIGHT, "data": {"values": list(values)}, **rest}


def _axis(field: str, title: str, /, kind: str = "quantitative", **more: Any) -> dict[str, Any]:
    return {"field": field, "type": kind, "title": title, **more}


def _told(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"field": field, "title": title, **_written(field)} for field, title in pairs]


def _written(field: str) -> dict[str, str]:
    """How a hover writes a number; words stay as they are."""
    if field in ("hours", "usd", "low_usd", "high_usd"):
        return {"type": "quantitative", "format": ",.2f"}
    if field in ("usd_per_gpu_hour", "usd_per_unit_work"):
        return {"type": "quantitative", "format": ",.4~r"}
    return {"type": "quantitative", "format": ".0%"} if field == "use" else {"type": "nominal"}


def _log(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis over these values, with ticks that read well: 1, 2, 5, or 1, 3, or powers of ten."""
    low, high = min(values) * 0.9, max(values) * 1.1
    decades = math.log10(high / low)
    steps = (1, 2, 5) if decades <= 2.5 else (1, 3) if decades <= 4 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
    axis = {"values": ticks, "format": ",.3~g"}
    return {"scale": {"type": "log", "domain": [low, high], "nice": False}, "axis": axis}


def far_apart(values: Sequence[float]) -> bool:
    """Whether the small ones would lie on the axis if it began at nothing."""
    return min(values) > 0 and max(values) > FAR_APART * min(values)


def _by_name(names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Encodings by `name`: the colour of a line (its row's `ink`), colour and shape of a mark with one legend."""
    about = {"field": "name", "type": "nominal", "title": "", "legend": BELOW}
    colour = {**about, "scale": {"domain": list(names), "range": COLOURS[: len(names)]}}
    shape = {**about, "scale": {"domain": list(names), "range": SHAPES[: len(names)]}}
    return {"color": {"field": "ink", "type": "nominal", "scale": None}}, {"color": colour, "shape": shape}


def cost_against_time(options: Rows) -> Chart | None:
    """A point per option with its 80 % interval in time and money, the Pareto front as a line."""
    points = [_point(option) for option in options if option.get("hours") and option.get("usd")][:MOST_POINTS]
    if not points:
        return None
    long = _log([point[key] or point["hours"] for point in points for key in ("low_hours", "high_hours")])
    dear = _log([point[key] or point["usd"] for point in points for key in ("low_usd", "high_usd")])
    x, y = _axis("hours", "hours for the whole work", **long), _axis("usd", "USD for the whole work", **dear)
    told = _told(
        ("name", "option"), ("hours", "hours"), ("usd", "USD"), ("low_usd", "USD at least"), ("high_usd", "USD at most"),
        ("basis", "speed"), ("source", "source of the speed"), ("priced", "price of"), ("price_source", "source of the price"),
    )  # fmt: skip
    kind = {"field": "kind", "type": "nominal", "title": "", "legend": {"orient": "top", "symbolSize": 90}}
    colour = {**kind, "scale": {"domain": ["rent", "own"], "range": [RENT, OWN]}}
    shape = {**kind, "scale": {"domain": ["rent", "own"], "range": ["circle", "diamond"]}}
    bar = {"condition": {"test": "datum.kind === 'own'", "value": OWN}, "value": RENT}
    front = [{"filter": "datum.pareto"}]
    layer = [
        {"mark": {"type": "rule", "opacity": 0.3}, "encoding": {"x": x, "y": {**y, "field": "low_usd"}, "y2": {"field": "high_usd"}, "color": bar}},
        {"mark": {"type": "rule", "opacity": 0.3}, "encoding": {"x": {**x, "field": "low_hours"}, "x2": {"field": "high_hours"}, "y": y, "color": bar}},
        {"mark": {"type": "line", "color": FRONT, "strokeDash": [5, 3], "strokeWidth": 2}, "transform": front, "encoding": {"x": x, "y": y, "order": {"field": "hours"}}},
        {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.85}, "encoding": {"x": x, "y": y, "color": colour, "shape": shape, "tooltip": told}},
        {"mark": {"type": "text", "dx": -7, "dy": 9, "align": "right", "fontSize": 11}, "transform": front, "encoding": {"x": x, "y": y, "text": {"field": "rank"}}},
    ]  # fmt: skip
    said = (
        "Lower and further left is better. The dashed line joins the options that nothing beats in both; "
        "the number beside them is their rank in the table. Thin bars are 80 % intervals."
    )
    return Chart("Cost against time", _spec(points, layer=layer), said)


def _point(option: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("rank", "kind", "hours", "usd", "low_hours", "high_hours", "low_usd", "high_usd", "pareto")
    speed, offer = option.get("throughput") or {}, option.get("offer") or {}
    return {
        **{key: option.get(key) for key in keys},
        "name": option["name"],
        "basis": speed.get("basis", ""),
        "source": speed.get("source", ""),
        "priced": offer.get("observed_on", ""),
        "price_source": offer.get("source", ""),
    }


def bars(
    rows: Rows, name: str, value: str, title: str, axis: str, told: Sequence[tuple[str, str]], dearest: bool = False
) -> Chart | None:
    """The cheapest (or dearest) of something, one bar each, with its figure; own machines in their own colour."""
    known = sorted(
        (row for row in rows if row.get(value)),
        key=lambda row: (-row[value] if dearest else row[value], str(row[name])),
    )
    best: dict[str, Mapping[str, Any]] = {}
    for row in known:
        best.setdefault(str(row[name]), row)
    kept = [_only(row, name, value, told) for row in list(best.values())[:MOST_BARS]]
    if len(kept) < 2:
        return None
    room = {"domain": [0, max(row[value] for row in kept) * 1.2], "nice": False}  # for the figure behind the bar
    kind = {"field": "kind", "type": "nominal", "title": "", "legend": {"orient": "top", "symbolType": "square"}}
    kinds = {"scale": {"domain": ["rent", "own"], "range": [RENT, OWN]}}
    colour = {"color": {**kind, **kinds}} if any(row.get("kind") for row in kept) else {"color": {"value": RENT}}
    layer = [
        {"mark": {"type": "bar", "height": {"band": 0.7}}, "encoding": {**colour, "tooltip": _told(*told)}},
        {
            "mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 11},
            "encoding": {"text": {"field": value, "type": "quantitative", "format": FIGURES.get(value, ",.3~r")}},
        },
    ]
    encoding = {
        "y": {
            "field": name,
            "type": "nominal",
            "title": "",
            "sort": None,
            "axis": {"labelLimit": LABEL_LIMIT, "ticks": False},
        },
        "x": _axis(value, axis, scale=room, axis={"tickCount": 5, "titleAnchor": "end"}),
    }
    beyond = len(best) - len(kept)
    said = (
        f"The {len(kept)} {'dearest' if dearest else 'cheapest'} of {len(best):,}; the table has all." if beyond else ""
    )
    return Chart(title, {**_spec(kept, layer=layer, encoding=encoding), "height": min(HEIGHT, 40 * len(kept))}, said)


def _only(row: Mapping[str, Any], name: str, value: str, told: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What the bar needs of a row, so that the page stays small."""
    keys = {name, value, *(key for key, _ in told)} | ({"kind"} if row.get("kind") in ("rent", "own") else set())
    return {key: row.get(key) for key in sorted(keys)}


def rent_or_own(options: Rows) -> Chart | None:
    """What an owned hour costs by the share of hours in which it is used, against renting the same speed."""
    owned = [option for option in options if (option.get("own") or {}).get("usd_per_hour_by_utilisation")]
    shown = list({option["name"]: option for option in reversed(owned)}.values())[::-1][:MOST_CURVES]
    if not shown:
        return None
    curves: list[dict[str, Any]] = []
    rents: list[dict[str, Any]] = []
    crossings: list[dict[str, Any]] = []
    for number, option in enumerate(shown):
        own = option["own"]
        curve, rent, crossing = (
            own["usd_per_hour_by_utilisation"], own["rent_usd_per_hour"], own.get("break_even_utilisation"),
        )  # fmt: skip
        pays = crossing is not None and crossing <= 1
        about = {
            "name": f"{option['name']}: {f'above {crossing:.0%}' if pays else 'never'}",
            "versus": own.get("versus", ""),
            "ink": COLOURS[number],
        }
        curves += [{**about, "use": use, "usd": usd} for use, usd in curve]
        rents += [{**about, "use": use, "usd": rent} for use in (curve[0][0], 1.0)]
        crossings += [{**about, "use": crossing, "usd": rent}] if pays else []
    x = _axis(
        "use", "share of all hours in which it works", axis={"format": ".0%", "tickCount": 5}, scale={"domain": [0, 1]}
    )
    y = _axis("usd", "USD for an hour of work", **_log([row["usd"] for row in curves + rents]))
    line, mark = _by_name(list(dict.fromkeys(row["name"] for row in curves)))
    told = _told(("name", "own"), ("versus", "instead of"), ("use", "share of the hours"), ("usd", "USD/h"))
    layer = [
        {"data": {"values": curves}, "mark": {"type": "line", "interpolate": "monotone", "strokeWidth": 2}, "encoding": {"x": x, "y": y, **line, "tooltip": told}},
        {"data": {"values": rents}, "mark": {"type": "line", "strokeDash": [5, 4]}, "encoding": {"x": x, "y": y, **line}},
        {"data": {"values": crossings}, "mark": {"type": "point", "filled": True, "size": 130, "opacity": 1}, "encoding": {"x": x, "y": y, **mark, "tooltip": told}},
    ]  # fmt: skip
    said = (
        "Full lines: owning; dashed: the cheapest rent for the same speed; marks: where both cost the same. "
        "Below: the use above which owning pays."
    )
    return Chart("Rent or own", _spec([], layer=layer), said)


def over_time(series: Rows) -> Chart | None:
    """Steps of a price over time: rows with `name`, `day`, `usd`, `source`."""
    if not series:
        return None
    days = sorted(row["day"] for row in series)
    years = int(days[-1][:4]) - int(days[0][:4])
    axis = {"format": "%Y", "tickCount": "year"} if years > 2 else {"format": "%b %Y", "tickCount": 6}
    prices = [row["usd"] for row in series]
    height = _log(prices) if far_apart(prices) else {"scale": {"zero": True}}
    x, y = _axis("day", "", "temporal", axis=axis), _axis("usd", "USD per hour, whole machine", **height)
    names = list(dict.fromkeys(row["name"] for row in series))[: len(COLOURS)]
    line, mark = _by_name(names)
    inks = dict(zip(names, COLOURS, strict=False))
    told = _told(("name", "machine"), ("from", "from"), ("usd", "USD/h"), ("source", "source"))
    # `day` becomes a moment, whose day depends on the reader's zone: `from` stays as written
    rows = [{**row, "from": row["day"], "ink": inks[row["name"]]} for row in series if row["name"] in inks]
    layer = [
        {"mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2}, "encoding": {"x": x, "y": y, **line}},
        {
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
            "encoding": {"x": x, "y": y, **mark, "tooltip": told},
        },
    ]
    said = "A price holds until the next mark. Shown are the machines whose price changed most often."
    return Chart("What it cost before", _spec(rows, layer=layer), said)
