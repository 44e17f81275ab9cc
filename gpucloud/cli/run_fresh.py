"""A fresh machine for one run: made for it, and removed once its outputs are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpucloud.cli import provisioning, up_view
from gpucloud.cli.following import run_through
from gpucloud.cli.options import narrate
from gpucloud.cli.wishes import Wishes
from gpucloud.core.errors import GpucloudError

if TYPE_CHECKING:
    from gpucloud.cli.following import Outcome
    from gpucloud.core.deployments import Run
    from gpucloud.flows.context import Context
    from gpucloud.flows.session import RunRequest

FIELDS = ("gpu", "clouds", "regions", "market", "max_hours", "budget_usd", "setup")  # those about the machine
READY_TIMEOUT = "15m"


def wishes_of(flags: Mapping[str, Any], file: Path | None, instance_type: str | None, one_shot: bool) -> Wishes:
    """The wishes for the machine, under a name that no other has. Raises UsageError."""
    import secrets

    about = {key: flags[key] for key in FIELDS}
    wishes = Wishes.of(about, {}, file, None, instance_type, None, READY_TIMEOUT, False)
    name = f"{wishes.name[:24].rstrip('-')}-{secrets.token_hex(2)}"
    return replace(wishes, task=replace(wishes.task, name=name), one_shot=one_shot)


def provision(ctx: Context, wishes: Wishes, yes: bool) -> str:
    """Plan, show, ask and provision; the deployment's name."""
    planned = provisioning.plan(ctx, wishes, dry_run=False)
    up_view.show_plan(planned)
    ahead = provisioning.begin_ahead(ctx, planned)
    provisioning.agree(planned, yes)
    return provisioning.carry_out(ctx, planned, ahead).deployment.name


def run_there(ctx: Context, request: RunRequest, name: str, keep: bool) -> Outcome:
    """Run on the fresh machine; it goes down once the outputs are here, else it is left to its guard, and said."""
    made, error = run_through(ctx, replace(request, deployment=name))
    if not keep and made is not None and _awaits_pull(made):
        narrate(f"{name} is kept: its outputs are not here yet. Remove it with `gpucloud down {name}`.")
    elif not keep:
        error = _take_down(ctx, name) or error
    return made, error


def _awaits_pull(made: Run) -> bool:
    return made.open or (made.wants_pull and made.exit_code is not None)


def _take_down(ctx: Context, name: str) -> GpucloudError | None:
    from gpucloud.flows import down

    try:
        return down.down(ctx, down.plan(ctx, (name,))).error
    except GpucloudError as error:
        return error
