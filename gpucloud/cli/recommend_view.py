"""How people see a recommendation: what is ranked, what could be bought instead, and what nearly fits."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from gpucloud.cli import tones
from gpucloud.cli.recommend_json import body
from gpucloud.cli.recommend_notes import notes
from gpucloud.cli.recommend_request import Answer
from gpucloud.core import choose
from gpucloud.core.errors import UsageError
from gpucloud.core.offers import age_bucket
from gpucloud.core.options import Option
from gpucloud.core.units import show_duration
from gpucloud.render.terminal import terminal_width
from gpucloud.render.text import dollars, dollars_between, significant
from gpucloud.render.view import Column, Section, View

DEFAULT_ROWS, NEAR_MISSES, PRICE_ONLY_ROWS, PURCHASE_ROWS = 12, 5, 5, 4


def view(answer: Answer, *, explain: bool, limit: str | None) -> View:
    """The whole result as one view."""
    most = _rows(limit)
    ranked = list(enumerate(answer.found.options, 1))
    shown = _different([(rank, option) for rank, option in ranked if option.eligible])[:most]
    rows = [_row(option, rank, answer) for rank, option in shown]
    sections = [*_purchases(ranked), *_price_only(answer), *_near(answer), *_explained(shown, explain)]
    lines = notes(answer, len(ranked) - len(rows))
    return View("recommend", body(answer), COLUMNS, rows, lines, records="options", sections=sections)


def draw(answer: Answer, *, fenced: bool = False) -> None:
    """Cost against time of what was ranked, in letters on stdout; `fenced` as a code block of Markdown."""
    from gpucloud.render.chart import Point, can_show, chart

    front = answer.found.pareto
    points = [
        Point(option.hours, option.usd, option.kind, number in front)
        for number, option in enumerate(answer.found.options)
    ]
    lines = chart(points, terminal_width(sys.stdout), can_show(sys.stdout.encoding))
    print("", *(["```text", *lines, "```"] if fenced else lines), sep="\n")


def _different(ranked: Sequence[tuple[int, Option]]) -> list[tuple[int, Option]]:
    """Without the larger hosts around the same GPUs in the same cloud, which cost more and train no faster."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for rank, option in ranked:
        offer = option.offer
        key = (offer.cloud, offer.market, option.accelerator, option.accelerator_count) if offer else (option.system,)
        if key not in seen:
            seen.add(key)
            kept.append((rank, option))
    return kept


def _rows(limit: str | None) -> int:
    if limit is None:
        return DEFAULT_ROWS
    if not limit.isdecimal() or int(limit) < 1:
        raise UsageError(f"--limit '{limit}' is not a number of rows.", "Write it like --limit 20.")
    return int(limit)


NAME = 26  # so much of a name is shown before a column goes: clouds' names for machines are long
PURCHASE_COLUMNS = (
    Column("rank", "#", right=True),
    Column("option", "System", floor=NAME),
    Column("gpus", "GPUs", keep=8),
    Column("time", "Time", right=True),
    Column("price", "Price", right=True),
    Column("usd", "This work, USD", right=True),
    Column("use", "Pays above use", right=True),
    Column("month", "Repaid in month", right=True, keep=7),
    Column("versus", "Against", keep=5),
)
COLUMNS = (
    Column("rank", "#", right=True),
    Column("option", "Option", floor=NAME),
    Column("region", "Region", keep=3),
    Column("gpus", "GPUs", keep=8),
    Column("memory", "Memory", keep=4),
    Column("throughput", "Speed", right=True, keep=6),
    Column("basis", "Basis", keep=6),
    Column("time", "Time", right=True),
    Column("between", "Time 80 %", keep=5),
    Column("usd", "USD", right=True),
    Column("usd_between", "USD 80 %", right=True, keep=8),
    Column("unit_usd", "USD/unit", right=True, wide=True),
    Column("spot", "Spot eff. USD/h", right=True, keep=2),
    Column("age", "Price age", keep=4),
    Column("mark", "", keep=7, tone=tones.of_mark),
)


def _row(option: Option, rank: int | None, answer: Answer) -> dict[str, Any]:
    offer, found = option.offer, answer.found
    place = None if rank is None else rank - 1
    return {
        "rank": rank,
        "option": option.name,
        "region": offer.region if offer else "",
        "gpus": f"{option.accelerator_count * option.nodes:g} x {option.accelerator}",
        "memory": _memory_words(option),
        "throughput": _number(option.speed.value),
        "basis": option.speed.basis,
        "time": show_duration(option.hours * 3600),
        "between": f"{show_duration(option.low_hours * 3600)} .. {show_duration(option.high_hours * 3600)}",
        "usd": dollars(option.usd),
        "usd_between": dollars_between(option.low_usd, option.high_usd),
        "unit_usd": significant(option.usd_per_unit_work),
        "spot": "" if option.effective_spot is None else dollars(option.effective_spot),
        "age": age_bucket(offer.age_days) if offer else "",
        "mark": _mark(place, found.ties, found.pareto),
    }


def _mark(place: int | None, ties: frozenset[int], front: frozenset[int]) -> str:
    words = ["tie"] if place in ties else []
    return ", ".join([*words, *(["pareto"] if place in front else [])])


def _memory_words(option: Option) -> str:
    if option.memory is None:
        return ""
    return "fits" if not option.memory.given_up else "with " + ", ".join(option.memory.given_up)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _explained(shown: Sequence[tuple[int, Option]], explain: bool) -> list[Section]:
    if not explain:
        return []
    rows = [
        {"rank": rank, "why": "; ".join(filter(None, [*option.reasons, *option.warnings]))} for rank, option in shown
    ]
    return [Section("The way of each number", (Column("rank", "#", right=True), Column("why", "Why")), rows)]


def _purchases(ranked: Sequence[tuple[int, Option]]) -> list[Section]:
    bought = [(rank, option) for rank, option in ranked if option.upfront_usd > 0][:PURCHASE_ROWS]
    rows = [
        {
            "rank": rank,
            "option": option.name,
            "gpus": f"{option.accelerator_count * option.nodes:g} x {option.accelerator}",
            "time": show_duration(option.hours * 3600),
            "price": dollars(option.upfront_usd),
            "usd": dollars(option.usd),
            "use": _use(option),
            "month": option.own.break_even_month if option.own else None,
            "versus": option.own.versus if option.own else "",
        }
        for rank, option in bought
    ]
    return [Section("Buying instead", PURCHASE_COLUMNS, rows)] if rows else []


def _use(option: Option) -> str:
    use = option.own.break_even_utilisation if option.own else None
    return "never" if use is None or use > 1 else f"{use:.0%}"


def _price_only(answer: Answer) -> list[Section]:
    cheapest: dict[str, Option] = {}
    for option in answer.found.price_only:
        if option.offer is not None:
            cheapest.setdefault(option.offer.cloud, option)
    rows = [_row(option, None, answer) for option in list(cheapest.values())[:PRICE_ONLY_ROWS]]
    return (
        [Section("Price only (gpucloud cannot start these): the cheapest of each cloud", COLUMNS[1:-1], rows)]
        if rows
        else []
    )


def _near(answer: Answer) -> list[Section]:
    near = [miss for miss in choose.nearest(answer.found.rejected, NEAR_MISSES) if miss.distance < float("inf")]
    rows = [{"option": miss.name, "reason": miss.reason} for miss in near]
    columns = (Column("option", "Option"), Column("reason", "Excluded because it"))
    return [Section("Near misses", columns, rows)] if rows else []
