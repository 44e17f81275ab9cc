"""`gpucloud up`: plan, show, confirm, provision; every attempt with its reason."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpucloud.cli.options import current, narrate
from gpucloud.cli.outside import can_ask, confirm, context, home
from gpucloud.cli.views import ATTEMPT_COLUMNS, deployments_view, gpu_words, money
from gpucloud.core.errors import StateConflict, UsageError
from gpucloud.render.view import Column, View, show

if TYPE_CHECKING:
    from gpucloud.core.plan import UpPlan
    from gpucloud.flows.ahead import Ahead
    from gpucloud.flows.context import Context
    from gpucloud.flows.up import UpResult

Gpu = Annotated[
    list[str] | None, typer.Option("--gpu", metavar="GPU[:N]", help="As in A100:8; repeat for alternatives.")
]
Cloud = Annotated[list[str] | None, typer.Option("--cloud", help="Where; repeat or use commas.")]
Region = Annotated[list[str] | None, typer.Option("--region", help="Where there; repeat or use commas.")]
Zone = Annotated[str | None, typer.Option("--zone", help="Only this zone.")]
Market = Annotated[str | None, typer.Option("--market", metavar="on-demand|spot|any", help="How to buy.")]
Spot = Annotated[bool, typer.Option("--spot", help="The same as --market spot.")]
InstanceType = Annotated[str | None, typer.Option("--instance-type", help="Only this type.")]
Nodes = Annotated[int | None, typer.Option("--nodes", metavar="N", help="How many equal machines.")]
Image = Annotated[str | None, typer.Option("--image", help="Another image than the usual one.")]
Disk = Annotated[int | None, typer.Option("--disk-gib", metavar="GIB", help="Size of the disk.")]
MaxHours = Annotated[
    str | None, typer.Option("--max-hours", metavar="H", help="When it ends, whatever runs: 6h, 90m, 0 = never.")
]
Budget = Annotated[float | None, typer.Option("--budget", metavar="USD", help="Ends before it costs more.")]
Idle = Annotated[
    float | None, typer.Option("--idle", metavar="MIN", help="Ends after so many idle minutes; 0 = never.")
]
AtEnd = Annotated[str | None, typer.Option("--at-end", metavar="stop|delete", help="What a guard does at the end.")]
SshFrom = Annotated[str | None, typer.Option("--ssh-from", metavar="CIDR|auto", help="Who may connect.")]
WaitCapacity = Annotated[str | None, typer.Option("--wait-capacity", metavar="TIME", help="Keep trying for so long.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long a machine may take to be ready.")]
Identity = Annotated[str | None, typer.Option("--identity", help="Cloud identity of the machine; none by default.")]
Subnet = Annotated[str | None, typer.Option("--subnet", help="An existing subnet.")]
SecurityGroup = Annotated[str | None, typer.Option("--security-group", help="An existing security group.")]
ResourceGroup = Annotated[str | None, typer.Option("--resource-group", help="An existing resource group.")]
Private = Annotated[bool, typer.Option("--private", help="No public address.")]
SshUser = Annotated[str | None, typer.Option("--ssh-user", help="The image's login user, if not the usual one.")]
Tag = Annotated[list[str] | None, typer.Option("--tag", metavar="K=V", help="A tag of your own; repeat.")]
Setup = Annotated[str | None, typer.Option("--setup", metavar="CMD", help="Run before the first command.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="The task file; gpucloud.yaml by default.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep a machine that never became ready.")]
Alarm = Annotated[bool, typer.Option("--alarm", help="AWS: also a CloudWatch alarm that terminates it a day later.")]
NoGuard = Annotated[bool, typer.Option("--no-guard", help="Go on where no provider-side guard is possible.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan only; needs no credentials.")]


def up(
    name: Annotated[str | None, typer.Argument(help="Its name; made from the folder's by default.")] = None,
    gpu: Gpu = None,
    cloud: Cloud = None,
    region: Region = None,
    zone: Zone = None,
    market: Market = None,
    spot: Spot = False,
    instance_type: InstanceType = None,
    nodes: Nodes = None,
    image: Image = None,
    disk_gib: Disk = None,
    max_hours: MaxHours = None,
    budget: Budget = None,
    idle: Idle = None,
    at_end: AtEnd = None,
    ssh_from: SshFrom = None,
    wait_capacity: WaitCapacity = None,
    timeout: Timeout = "15m",
    identity: Identity = None,
    subnet: Subnet = None,
    security_group: SecurityGroup = None,
    resource_group: ResourceGroup = None,
    private: Private = False,
    ssh_user: SshUser = None,
    tag: Tag = None,
    setup: Setup = None,
    file: File = None,
    keep: Keep = False,
    alarm: Alarm = False,
    no_guard: NoGuard = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Plan, show, confirm and provision. The same name and wishes again: resumes, exit 0.

    Without --cloud the cheapest offer of the clouds with a driver is tried first. Ready means that the
    machine has proved its host key and shows the GPUs that were ordered.
    """
    from gpucloud.cli.wishes import Wishes

    flags = {
        "name": name,
        "gpu": gpu,
        "clouds": cloud,
        "regions": region,
        "market": "spot" if spot else market,
        "nodes": nodes,
        "image": image,
        "disk_gib": disk_gib,
        "max_hours": max_hours,
        "budget_usd": budget,
        "idle_min": idle,
        "at_end": at_end,
        "ssh_from": ssh_from,
        "setup": setup,
        "tags": _pairs(tag or [], "--tag") or None,
    }
    options = {
        "identity": identity,
        "subnet": subnet,
        "security-group": security_group,
        "resource-group": resource_group,
        "private": "yes" if private else None,
        "ssh-user": ssh_user,
        "alarm": "yes" if alarm else None,
        "no-guard": "yes" if no_guard else None,
    }
    wishes = Wishes.of(flags, options, file, zone, instance_type, wait_capacity, timeout, keep)
    with context() as ctx:
        planned = plan(ctx, wishes, dry_run)
        if dry_run:
            show(plan_view(planned), current().output)
            return
        ahead = None
        if planned.existing is None or planned.existing.state != "ready":
            show_plan(planned)
            ahead = begin_ahead(ctx, planned)
            agree(planned, yes)
        result = carry_out(ctx, planned, ahead)
        show(result_view(result, ctx.clock()), current().output)


def plan(ctx: Context, wishes: Any, dry_run: bool) -> UpPlan:
    """The plan for these wishes."""
    from gpucloud.flows import up as flow

    return flow.plan(ctx, wishes.request(ctx, dry_run))


def begin_ahead(ctx: Context, planned: UpPlan) -> Ahead:
    """Load the libraries and ask the quotas while the plan is being read."""
    from gpucloud.flows.ahead import Ahead

    return Ahead(ctx, planned.order)


def carry_out(ctx: Context, planned: UpPlan, ahead: Ahead | None = None) -> UpResult:
    """Provision; a failure shows its attempts before the error."""
    from gpucloud.core.errors import GpucloudError
    from gpucloud.flows import up as flow

    try:
        with ctx.waiting(f"{planned.request.name}: provisioning"):
            return flow.up(ctx, planned, ahead)
    except GpucloudError as error:
        tries = error.details.get("attempts")
        if tries and current().output != "json":
            show(View("up", {}, ATTEMPT_COLUMNS, tries), "table", sys.stderr)
        raise


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{option} {text} is not KEY=VALUE.", f"Write it like {option} team=vision.")
        pairs[key] = value
    return pairs


def show_plan(planned: UpPlan) -> None:
    """The plan in words on stderr: the end first, then where, what and how much at worst."""
    from gpucloud.render.view import terminal_width, wrapped

    for line in plan_lines(planned):
        narrate(wrapped(line, terminal_width(sys.stderr)))


def plan_lines(planned: UpPlan) -> list[str]:
    """First when it ends; then the offers in order, the guards, and the worst case."""
    from datetime import datetime

    from gpucloud.core.guards import first_line
    from gpucloud.core.units import iso_utc

    request, first = planned.request, planned.order[0]
    deadline = datetime.fromtimestamp(planned.deadline_at) if planned.deadline_at is not None else None
    lines = [f"{request.name}: {first_line(datetime.fromtimestamp(planned.made_at), deadline, request.name)}"]
    lines.append(f"  1. {offer_words(first, request.nodes)}")
    lines += [f"  {number}. {offer_words(offer, request.nodes)}" for number, offer in enumerate(planned.order[1:5], 2)]
    if len(planned.order) > 5:
        lines.append(f"  … and {len(planned.order) - 5} more offers if those have no capacity")
    for guard in planned.guards:
        when = f" at {iso_utc(guard.ends_epoch_s)}" if guard.ends_epoch_s else ""
        survives = f", survives: {', '.join(guard.survives).replace('_', ' ')}" if guard.survives else ""
        lines.append(f"  guard {guard.kind.replace('_', ' ')}: {guard.action.replace('_', ' ')}{when}{survives}")
    lines += outline_lines(planned)
    if request.ssh_from:
        lines.append(f"  SSH from {', '.join(request.ssh_from)}")
    worst = "nothing bounds the bill" if planned.worst_case_usd is None else f"{money(planned.worst_case_usd)} USD"
    lines.append(f"  at worst: {worst}")
    return [*lines, *_old_price_lines(planned)]


def _old_price_lines(planned: UpPlan) -> list[str]:
    """A warning where the first offer's price says little about today's bill, with the command that cures it."""
    from gpucloud.core.offers import refresh_command
    from gpucloud.core.query import has_old_price

    if not has_old_price(planned.order[0]):
        return []
    cure = refresh_command([planned.order[0].cloud])
    asks = f"; `{cure}` asks for today's" if cure else ""
    return [f"  mind: no fitting offer has a price younger than a year, the bill may differ{asks}"]


def outline_lines(planned: UpPlan) -> list[str]:
    """Image, login and everything that will be made, where the driver of the first offer tells."""
    outline = planned.outline
    lines = [f"  image {outline.image}"] if outline.image else []
    if outline.ssh_user:
        lines.append(f"  login as {outline.ssh_user}")
    if outline.notes or outline.image:
        lines.append(f"  makes {', '.join(f'{kind} {name}'.strip() for kind, name in outline.resources)}")
    return [*lines, *(f"  {note}" for note in outline.notes)]


def offer_words(offer: Any, nodes: int) -> str:
    """One offer as a phrase."""
    from gpucloud.core.query import has_old_price

    gpus = gpu_words({"accelerator_count": offer.accelerator_count, "accelerator": offer.accelerator})
    place = " ".join(dict.fromkeys(part for part in (offer.cloud, offer.zone or offer.region) if part))
    price = "price unknown" if offer.usd_per_hour is None else f"{money(offer.usd_per_hour * nodes)} USD/h"
    many = f"{nodes} x " if nodes > 1 else ""
    dated = f", price of {offer.observed_on}" if offer.observed_on else ""
    dated += ", older than a year" if dated and has_old_price(offer) else ""
    return f"{many}{offer.instance_type} ({gpus or 'no GPU'}) {offer.market} in {place}, {price}{dated}"


def agree(planned: UpPlan, yes: bool) -> None:
    """Ask; a price above the cap needs a person's yes, `--yes` is not enough."""
    from gpucloud.cli.taskfile import cap_usd_per_hour

    cap, price = cap_usd_per_hour(home().config_file), planned.usd_per_hour
    if price is not None and price > cap and yes:
        if not can_ask():
            raise StateConflict(
                f"{money(price)} USD/h is above the cap of {money(cap)} USD/h, for which --yes is not enough.",
                "Raise max_usd_per_hour in config.yaml, or answer on a terminal.",
            )
        yes = False
    confirm(f"Provision {planned.request.name}?", yes)


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
)


def plan_view(planned: UpPlan) -> View:
    """The plan for `--dry-run`."""
    from gpucloud.core.answers import up_plan_json

    body = dict(up_plan_json(planned))
    rows = [{**item, "gpus": gpu_words(item)} for item in body["order"]]
    return View("up", {"plan": body}, PLAN_COLUMNS, rows, plan_lines(planned))


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
