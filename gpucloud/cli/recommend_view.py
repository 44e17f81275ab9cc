"""How a recommendation is shown: the ranked table, picks and advice for people; every field for programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from gpucloud.cli import tones
from gpucloud.cli.recommend_request import Answer
from gpucloud.core import choose
from gpucloud.core.errors import UsageError
from gpucloud.core.extras import USUAL_DISK_GIB
from gpucloud.core.offers import age_bucket, refresh_command
from gpucloud.core.options import Option, besides_json, memory_json, offer_json, speed_json
from gpucloud.core.recommend import Recommendation
from gpucloud.core.units import show_duration
from gpucloud.render.terminal import terminal_width
from gpucloud.render.text import plural
from gpucloud.render.view import Column, Section, View

DEFAULT_ROWS, NEAR_MISSES, PRICE_ONLY_ROWS, PURCHASE_ROWS = 12, 5, 5, 4
PICK_WORDS = {"cheapest": "Cheapest", "fastest_within_budget": "Fastest", "startable_now": "Startable now"}


def view(answer: Answer, *, explain: bool, limit: str | None) -> View:
    """The whole result as one view."""
    most = _rows(limit)
    ranked = list(enumerate(answer.found.options, 1))
    shown = _different([(rank, option) for rank, option in ranked if option.eligible])[:most]
    rows = [_row(option, rank, answer) for rank, option in shown]
    sections = [*_purchases(ranked), *_price_only(answer), *_near(answer), *_explained(shown, explain)]
    notes = _notes(answer, len(ranked) - len(rows))
    return View("recommend", body(answer), COLUMNS, rows, notes, records="options", sections=sections)


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


def body(answer: Answer) -> dict[str, Any]:
    """The JSON keys of the result."""
    found = answer.found
    options = [
        option_json(option, rank, answer, (rank - 1) in found.pareto, (rank - 1) in found.ties)
        for rank, option in enumerate(found.options, 1)
    ]
    ranks = {id(option): number for number, option in enumerate(found.options)}
    picks = {
        name: None
        if pick is None
        else options[ranks[id(pick)]]
        if id(pick) in ranks
        else option_json(pick, None, answer)
        for name, pick in found.picks.items()
    }
    return {
        "work": {"amount": answer.subject.amount, "unit": answer.subject.unit, "model": answer.subject.model or None},
        "options": options,
        "picks": picks,
        "advice": None if found.advice is None else dict(found.advice),
        "rejected": [{"option": miss.name, "reason": miss.reason, "wish": miss.wish} for miss in found.rejected],
        "price_only": [option_json(option, None, answer) for option in found.price_only],
        "regret": found.regret,
        "assumed": assumed(answer),
    }


def option_json(
    option: Option, rank: int | None, answer: Answer, pareto: bool = False, tie: bool = False
) -> dict[str, Any]:
    """One entry of `options`."""
    limits, model, setup_s = answer.wishes.limits, answer.subject.model, answer.wishes.besides.setup_s
    return {
        "rank": rank,
        "kind": option.kind,
        "offer": offer_json(option.offer),
        "system": option.system or None,
        "nodes": option.nodes,
        "accelerator": option.accelerator,
        "accelerator_count": option.accelerator_count,
        "memory": memory_json(option.memory),
        "throughput": speed_json(option.speed, model),
        "hours": option.hours,
        "low_hours": option.low_hours,
        "high_hours": option.high_hours,
        "usd": option.usd,
        "low_usd": option.low_usd,
        "high_usd": option.high_usd,
        "usd_per_hour": option.usd_per_hour,
        "usd_per_unit_work": option.usd_per_unit_work,
        "pareto": pareto,
        "tie": tie,
        "meets_deadline": choose.meets_deadline(option, limits),
        "meets_budget": choose.meets_budget(option, limits),
        "effective_spot": option.effective_spot,
        "besides": besides_json(option.besides, setup_s),
        "own": option.own.as_json() if option.own else None,
        "reasons": list(option.reasons),
        "warnings": list(option.warnings),
        "command": option.command or None,
    }


def assumed(answer: Answer) -> dict[str, Any]:
    """What was not said and had to be taken."""
    terms, about = answer.wishes.terms, answer.wishes.interruptions
    found: dict[str, Any] = {
        "own": {key: value for key, value in terms.__dict__.items() if key != "stated_use"},
        "spot": {"checkpoint_s": about.checkpoint_s, "restart_s": about.restart_s},
        "besides": {**answer.wishes.besides.__dict__, "disk_gib": answer.wishes.besides.disk_gib or USUAL_DISK_GIB},
    }
    job = answer.subject.job
    if job is not None and job.shape_known():
        found["memory"] = {"seq": job.seq, "batch": job.batch, "layers": job.layers, "d_model": job.d_model}
    return found


PURCHASE_COLUMNS = (
    Column("rank", "#", right=True),
    Column("option", "System"),
    Column("gpus", "GPUs", keep=8),
    Column("time", "Time", right=True),
    Column("price", "Price", right=True),
    Column("usd", "This work, USD", right=True),
    Column("use", "Pays above use of", right=True),
    Column("month", "Repaid in month", right=True, keep=7),
    Column("versus", "Against", keep=5),
)
COLUMNS = (
    Column("rank", "#", right=True),
    Column("option", "Option"),
    Column("region", "Region", keep=3),
    Column("gpus", "GPUs", keep=8),
    Column("memory", "Memory", keep=4),
    Column("throughput", "Speed", right=True, keep=6),
    Column("basis", "Basis", keep=8),
    Column("time", "Time", right=True),
    Column("between", "80 % between", keep=5),
    Column("usd", "USD", right=True),
    Column("usd_between", "80 % between", right=True, keep=5),
    Column("unit_usd", "USD/unit", right=True, wide=True),
    Column("spot", "Spot, eff. USD/h", right=True, keep=2),
    Column("age", "Price", keep=4),
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
        "usd": money(option.usd),
        "usd_between": f"{money(option.low_usd)} .. {money(option.high_usd)}",
        "unit_usd": "" if option.usd_per_unit_work is None else money(option.usd_per_unit_work),
        "spot": "" if option.effective_spot is None else money(option.effective_spot),
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


def money(value: float) -> str:
    """Dollars; cents only where they matter."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.2f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _notes(answer: Answer, left_out: int) -> list[str]:
    found = answer.found
    notes = [f"{left_out} more options: --limit, or -o json for all."] if left_out > 0 else []
    notes.extend(old_price_notes(found))
    unit = answer.subject.unit
    notes.append(f"Work: {answer.subject.amount:.4g} {unit}; speed in {unit}/s of all GPUs together.")
    for name, pick in found.picks.items():
        if pick is not None:
            cost = f"{show_duration(pick.hours * 3600)}, ${money(pick.usd)}"
            notes.append(f"{PICK_WORDS[name]}: {pick.name} ({cost})")
            notes.extend([f"  {pick.command}"] if pick.command else [])
    best = found.picks.get("cheapest")
    if best is not None and best.warnings:
        notes.append("Mind: " + "; ".join(best.warnings) + ".")
    if found.regret > 0.05:
        notes.append(
            f"If every prediction were wrong at the bad end, the pick could be {found.regret:.0%} dearer than another."
        )
    notes.extend(_advice_notes(found.advice))
    notes.extend(_rent_notes(answer))
    notes.extend(_own_notes(answer))
    return notes


def _rent_notes(answer: Answer) -> list[str]:
    """What is in the sums of rented machines beside their hours."""
    if not any(option.besides and option.besides.total for option in answer.found.options):
        return []
    about = answer.wishes.besides
    setup = f"{show_duration(about.setup_s)} of set-up (--setup)" if about.setup_s else "no set-up (--setup)"
    taken = f"{about.download_gb:g} GB taken home" if about.download_gb else "nothing taken home (--download-gb)"
    disk = f"{about.disk_gib or USUAL_DISK_GIB:g} GiB of disk (--disk-gib) and an address a machine"
    return [f"Renting: with {disk}, {setup}, {taken}."]


def old_price_notes(found: Recommendation) -> list[str]:
    """How many machines that could be started an old price kept out, and the command that brings them back."""
    left_out = {(offer.cloud, offer.instance_type, offer.market) for offer in found.old_priced}
    if not left_out:
        return []
    cure = refresh_command(offer.cloud for offer in found.old_priced)
    asks = f"`{cure}` asks for today's; " if cure else ""
    return [f"Left out: {plural(len(left_out), 'offer')} with prices older than a year; {asks}--stale ranks them."]


def _advice_notes(advice: Mapping[str, Any] | None) -> list[str]:
    if advice is None:
        return []
    rule = f"Rule of thumb for a {advice['profile']} ({advice['stage']}): {advice['rule']}"
    return [rule, f"The numbers: {advice['verdict']}; {advice['why']}."]


def _own_notes(answer: Answer) -> list[str]:
    terms = answer.wishes.terms
    if not any(option.kind == "own" and option.upfront_usd for option in answer.found.options):
        return []
    return [
        f"Owning: {terms.utilisation:.0%} use, {terms.years:g} years, {terms.rate:.0%} a year, resale"
        f" {terms.resale_share:.0%}, ${terms.usd_per_kwh:g}/kWh, servers with space, people and support."
    ]


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
            "price": money(option.upfront_usd),
            "usd": money(option.usd),
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
