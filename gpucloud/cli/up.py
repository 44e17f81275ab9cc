"""`gpucloud up`: plan, show, confirm, provision; every attempt with its reason."""

from __future__ import annotations

from typing import Annotated

import typer

from gpucloud.cli import provisioning, up_view, up_words
from gpucloud.cli.options import current
from gpucloud.cli.outside import context
from gpucloud.core.errors import UsageError
from gpucloud.render.view import show


def up(
    name: Annotated[str | None, typer.Argument(help="Its name; made from the folder's by default.")] = None,
    gpu: up_words.Gpu = None,
    cloud: up_words.Cloud = None,
    region: up_words.Region = None,
    zone: up_words.Zone = None,
    market: up_words.Market = None,
    spot: up_words.Spot = False,
    instance_type: up_words.InstanceType = None,
    nodes: up_words.Nodes = None,
    image: up_words.Image = None,
    disk_gib: up_words.Disk = None,
    max_hours: up_words.MaxHours = None,
    budget: up_words.Budget = None,
    idle: up_words.Idle = None,
    at_end: up_words.AtEnd = None,
    ssh_from: up_words.SshFrom = None,
    wait_capacity: up_words.WaitCapacity = None,
    timeout: up_words.Timeout = "15m",
    identity: up_words.Identity = None,
    subnet: up_words.Subnet = None,
    security_group: up_words.SecurityGroup = None,
    resource_group: up_words.ResourceGroup = None,
    private: up_words.Private = False,
    ssh_user: up_words.SshUser = None,
    tag: up_words.Tag = None,
    setup: up_words.Setup = None,
    file: up_words.File = None,
    keep: up_words.Keep = False,
    alarm: up_words.Alarm = False,
    no_guard: up_words.NoGuard = False,
    yes: up_words.Yes = False,
    dry_run: up_words.DryRun = False,
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
        planned = provisioning.plan(ctx, wishes, dry_run)
        if dry_run:
            show(up_view.plan_view(planned, current().output), current().output)
            return
        ahead = None
        if planned.existing is None or planned.existing.state != "ready":
            up_view.show_plan(planned)
            ahead = provisioning.begin_ahead(ctx, planned)
            provisioning.agree(planned, yes)
        result = provisioning.carry_out(ctx, planned, ahead)
        show(up_view.result_view(result, ctx.clock()), current().output)


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{option} {text} is not KEY=VALUE.", f"Write it like {option} team=vision.")
        pairs[key] = value
    return pairs
