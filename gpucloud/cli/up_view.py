"""How a plan and what came of it are shown: the plan's lines for people, the tables, and the JSON's fields."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpucloud.cli import tones
from gpucloud.cli.options import narrate
from gpucloud.cli.views import deployments_view, gpu_words, money
from gpucloud.render.text import plural
from gpucloud.render.view import Column, View

if TYPE_CHECKING:
    from gpucloud.core.offers import Offer
    from gpucloud.core.plan import UpPlan
    from gpucloud.flows.up import UpResult

SHOWN_OFFERS = 5  # the rest is counted

PLAN_COLUMNS = (
    Column("cloud", "Cloud"),
    Column("region", "Region"),
    Column("zone", "Zone"),
    Column("instance_type", "Type"),
    Column("gpus", "GPUs"),
    Column("market", "Market"),
    Column("nodes", "Nodes", right=True),
    Column("usd_per_hour", "USD/h", right=True, write=money),
    Column("observed_on", "Price of"),
    Column("remark", "Remark", tone=tones.of_remark),
)


def show_plan(planned: UpPlan) -> None:
    """The plan in words on stderr: the end first, then where, what and how much at worst."""
    from gpucloud.render.paint import painter
    from gpucloud.render.terminal import terminal_width
    from gpucloud.render.view import wrapped

    ending, *lines = plan_lines(planned, _offer_lines(planned))
    narrate(painter(sys.stderr)(ending, "title"))
    for line in lines:
        narrate(wrapped(line, terminal_width(sys.stderr)))


def plan_lines(planned: UpPlan, offers: Sequence[str]) -> list[str]:
    """First when it ends; then the offers in order, the guards, and the worst case."""
    lines = [_ending_line(planned), *offers, *_guard_lines(planned), *_outline_lines(planned)]
    return [*lines, *_ssh_lines(planned), _worst_line(planned), *_old_price_lines(planned)]


def _ssh_lines(planned: UpPlan) -> list[str]:
    """Who may connect."""
    nets = ["this computer's own address" if net == "auto" else net for net in planned.request.ssh_from]
    return [f"  SSH from {', '.join(nets)}"] if nets else []


def _worst_line(planned: UpPlan) -> str:
    """What the first offer costs at worst, and where others are dearer, that they are."""
    from gpucloud.core.guards import usd_per_hour

    if planned.worst_case_usd is None:
        return "  at worst: nothing bounds the bill"
    first, dearest = usd_per_hour(planned.order[0], planned.request.nodes), planned.usd_per_hour
    line = f"  at worst: {money(planned.worst_case_usd)} USD"
    if first is None or dearest is None or dearest <= first:
        return line
    return f"{line} with the first offer; the dearest costs {money(dearest)} USD/h instead of {money(first)}"


def _ending_line(planned: UpPlan) -> str:
    from datetime import datetime

    from gpucloud.core.guards import first_line

    name = planned.request.name
    deadline = datetime.fromtimestamp(planned.deadline_at) if planned.deadline_at is not None else None
    return f"{name}: {first_line(datetime.fromtimestamp(planned.made_at), deadline, name)}"


def _offer_lines(planned: UpPlan) -> list[str]:
    nodes, shown = planned.request.nodes, planned.order[:SHOWN_OFFERS]
    lines = [f"  {number}. {offer_line(offer, nodes)}" for number, offer in enumerate(shown, 1)]
    return [*lines, *_more_line(planned, len(shown))]


def _more_line(planned: UpPlan, shown: int, how: str = "") -> list[str]:
    hidden = len(planned.order) - shown
    return [f"  … and {plural(hidden, 'more offer')} if those have no capacity{how}"] if hidden > 0 else []


def _guard_lines(planned: UpPlan) -> list[str]:
    from gpucloud.cli.guard_words import guard_phrase

    now, idle_s = planned.made_at, planned.request.idle_s
    return [
        f"  guard: {guard_phrase(guard.kind, guard.action, guard.ends_epoch_s, guard.survives, now, idle_s)}"
        for guard in planned.guards
    ]


def _outline_lines(planned: UpPlan) -> list[str]:
    """Image, login and everything that will be made, where the driver of the first offer tells."""
    outline = planned.outline
    lines = [f"  image {outline.image}"] if outline.image else []
    if outline.ssh_user:
        lines.append(f"  login as {outline.ssh_user}")
    if outline.notes or outline.image:
        lines.append(f"  makes {', '.join(f'{kind} {name}'.strip() for kind, name in outline.resources)}")
    return [*lines, *(f"  {note}" for note in outline.notes)]


def offer_line(offer: Offer, nodes: int) -> str:
    """One offer as a phrase."""
    gpus = gpu_words({"accelerator_count": offer.accelerator_count, "accelerator": offer.accelerator})
    place = " ".join(dict.fromkeys(part for part in (offer.cloud, offer.zone or offer.region) if part))
    price = "price unknown" if offer.usd_per_hour is None else f"{money(offer.usd_per_hour * nodes)} USD/h"
    many = f"{nodes} x " if nodes > 1 else ""
    dated = f", price of {offer.observed_on}" if offer.observed_on else ""
    dated += f", {_age_words(offer)}" if dated and _age_words(offer) else ""
    return f"{many}{offer.instance_type} ({gpus or 'no GPU'}) {offer.market} in {place}, {price}{dated}"


def _age_words(offer: Offer) -> str:
    from gpucloud.core.query import has_old_price

    return "older than a year" if has_old_price(offer) else ""


def _old_price_lines(planned: UpPlan) -> list[str]:
    """A warning where the first offer's price says little about today's bill, with the command that cures it."""
    from gpucloud.core.offers import refresh_command
    from gpucloud.core.query import has_old_price

    if not has_old_price(planned.order[0]):
        return []
    cure = refresh_command([planned.order[0].cloud])
    asks = f"; `{cure}` asks for today's" if cure else ""
    return [f"  mind: no fitting offer has a price younger than a year, the bill may differ{asks}"]


def plan_view(planned: UpPlan, output: str) -> View:
    """The plan for `--dry-run`: the offers in a table, of which a person reads the first few, then the rest of it."""
    from gpucloud.core.answers import up_plan_json

    body = dict(up_plan_json(planned))
    rows = [
        {**item, "gpus": gpu_words(item), "remark": _age_words(offer)}
        for item, offer in zip(body["order"], planned.order, strict=True)
    ]
    rows = rows[:SHOWN_OFFERS] if output == "table" else rows
    more = _more_line(planned, len(rows), " (-o wide shows all)")
    again = "  Nothing was made: leave out --dry-run to be shown this and asked."
    return View("up", {"plan": body}, PLAN_COLUMNS, rows, [*more, *plan_lines(planned, ()), again])


def result_view(result: UpResult, now: float) -> View:
    """What came of it."""
    from gpucloud.core.answers import attempts_json, deployment_json

    deployment = result.deployment
    view = deployments_view("up", [deployment_json(deployment, now)], attempts=attempts_json(deployment))
    failed = [line for line in attempts_json(deployment) if line["outcome"] != "ready"]
    notes = [
        f"Tried before: {line['cloud']} {line['region']} {line['instance_type']}: {line['message']}" for line in failed
    ]
    notes.append(f"Next: gpucloud run --on {deployment.name} CMD   or   gpucloud ssh {deployment.name}")
    return view._replace(notes=notes)
