"""Vega-Lite specifications of a report: cost against time, price of the work, rent or own, prices by GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpucloud.render.report.page import Chart

Rows = Sequence[Mapping[str, Any]]
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
RENT, OWN, FRONT = "#0072b2", "#d55e00", "#009e73"  # Okabe and Ito: told apart by everybody
HEIGHT = 300
MOST_POINTS, MOST_BARS, MOST_CURVES = 400, 15, 5


def _spec(values: Rows, **rest: Any) -> dict[str, Any]:
    return {"$schema": SCHEMA, "width": "container", "height": HEIGHT, "data": {"values": list(values)}, **rest}


def _axis(field: str, title: str, /, kind: str = "quantitative", **more: Any) -> dict[str, Any]:
    return {"field": field, "type": kind, "title": title, **more}


def _told(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"field": field, "title": title} for field, title in pairs]


def cost_against_time(options: Rows) -> Chart | None:
    """A point per option with its 80 % interval in time and money, the Pareto front as a line."""
    points = [_point(option) for option in options if option.get("hours") and option.get("usd")][:MOST_POINTS]
    if not points:
        return None
    log: dict[str, Any] = {"scale": {"type": "log"}}
    x, y = _axis("hours", "hours for the whole work", **log), _axis("usd", "USD for the whole work", **log)
    told = _told(
        ("name", "option"), ("hours", "hours"), ("usd", "USD"), ("low_usd", "USD at least"), ("high_usd", "USD at most"),
        ("basis", "speed"), ("source", "source of the speed"), ("priced", "price of"), ("price_source", "source of the price"),
    )  # fmt: skip
    colour = {
        "field": "kind", "type": "nominal", "title": "", "scale": {"domain": ["rent", "own"], "range": [RENT, OWN]},
        "legend": {"orient": "top"},
    }  # fmt: skip
    front = {"filter": "datum.pareto"}
    layer = [
        {"mark": {"type": "rule", "opacity": 0.4}, "encoding": {"x": x, "y": {"field": "low_usd", **log, "type": "quantitative"}, "y2": {"field": "high_usd"}, "color": colour}},
        {"mark": {"type": "rule", "opacity": 0.4}, "encoding": {"x": {"field": "low_hours", "type": "quantitative", **log}, "x2": {"field": "high_hours"}, "y": y, "color": colour}},
        {"mark": {"type": "line", "color": FRONT, "strokeDash": [4, 3]}, "transform": [front], "encoding": {"x": x, "y": y, "order": {"field": "hours"}}},
        {"mark": {"type": "point", "filled": True, "size": 55}, "encoding": {"x": x, "y": y, "color": colour, "shape": {"field": "kind", "legend": None}, "tooltip": told}},
    ]  # fmt: skip
    said = "Lower and further left is better. The dashed line joins options that nothing beats in both; bars are 80 % intervals."
    return Chart("Cost against time", _spec(points, layer=layer), said)


def _point(option: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("kind", "hours", "usd", "low_hours", "high_hours", "low_usd", "high_usd", "pareto")
    speed, offer = option.get("throughput") or {}, option.get("offer") or {}
    return {
        **{key: option.get(key) for key in keys},
        "name": option["name"],
        "basis": speed.get("basis", ""),
        "source": speed.get("source", ""),
        "priced": offer.get("observed_on", ""),
        "price_source": offer.get("source", ""),
    }


def bars(rows: Rows, name: str, value: str, title: str, axis: str, told: Sequence[tuple[str, str]]) -> Chart | None:
    """The cheapest of something, one bar each."""
    known = sorted((row for row in rows if row.get(value)), key=lambda row: (row[value], str(row[name])))
    best: dict[str, Mapping[str, Any]] = {}
    for row in known:
        best.setdefault(str(row[name]), row)
    kept = [dict(row) for row in list(best.values())[:MOST_BARS]]
    if len(kept) < 2:
        return None
    encoding = {
        "y": {"field": name, "type": "nominal", "title": "", "sort": None, "axis": {"labelLimit": 240}},
        "x": _axis(value, axis),
        "tooltip": _told(*told),
    }
    return Chart(title, _spec(kept, mark={"type": "bar", "color": RENT}, encoding=encoding))


def rent_or_own(options: Rows) -> Chart | None:
    """What an owned hour costs by the share of hours in which it is used, against renting the same speed."""
    curves: list[dict[str, Any]] = []
    rents: list[dict[str, Any]] = []
    crossings: list[dict[str, Any]] = []
    for option in options:
        own = option.get("own") or {}
        curve = own.get("usd_per_hour_by_utilisation") or []
        if not curve or len({row["name"] for row in rents}) >= MOST_CURVES:
            continue
        name, rent = option["name"], own["rent_usd_per_hour"]
        curves += [{"name": name, "use": use, "usd": usd} for use, usd in curve]
        rents += [
            {"name": name, "use": use, "usd": rent, "versus": own.get("versus", "")} for use in (curve[0][0], 1.0)
        ]
        crossing = own.get("break_even_utilisation")
        if crossing is not None and crossing <= 1:
            crossings.append({"name": name, "use": crossing, "usd": rent, "versus": own.get("versus", "")})
    if not curves:
        return None
    x = _axis("use", "share of the hours in which it works", axis={"format": "%"}, scale={"domain": [0, 1]})
    y = _axis("usd", "USD for an hour of work", scale={"type": "log"})
    colour = {
        "field": "name",
        "type": "nominal",
        "title": "",
        "legend": {"orient": "bottom", "columns": 1, "labelLimit": 360},
    }
    told = _told(("name", "own"), ("versus", "instead of"), ("use", "share of the hours"), ("usd", "USD/h"))
    layer = [
        {"data": {"values": curves}, "mark": {"type": "line", "interpolate": "monotone"}, "encoding": {"x": x, "y": y, "color": colour, "tooltip": told}},
        {"data": {"values": rents}, "mark": {"type": "line", "strokeDash": [5, 4]}, "encoding": {"x": x, "y": y, "color": colour}},
        {"data": {"values": crossings}, "mark": {"type": "point", "filled": True, "size": 90}, "encoding": {"x": x, "y": y, "color": colour, "tooltip": told}},
    ]  # fmt: skip
    said = "Full lines: owning; dashed: the cheapest rent for the same speed; dots: where both cost the same."
    return Chart("Rent or own", _spec([], layer=layer), said)


def over_time(series: Rows) -> Chart | None:
    """Steps of a price over time: rows with `name`, `day`, `usd`, `source`."""
    if not series:
        return None
    encoding = {
        "x": _axis("day", "", "temporal"),
        "y": _axis("usd", "USD per hour"),
        "color": {
            "field": "name",
            "type": "nominal",
            "title": "",
            "legend": {"orient": "bottom", "columns": 1, "labelLimit": 360},
        },
        "tooltip": _told(("name", "machine"), ("day", "from"), ("usd", "USD/h"), ("source", "source")),
    }
    mark = {"type": "line", "interpolate": "step-after", "point": True}
    return Chart("What it cost before", _spec(series, mark=mark, encoding=encoding))
