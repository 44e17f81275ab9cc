"""The way from wishes to machines that `up` and `run --gpu` share: plan, look ahead, ask, provision."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gpucloud.cli.options import current
from gpucloud.cli.outside import can_ask, confirm, home
from gpucloud.cli.views import ATTEMPT_COLUMNS, money
from gpucloud.core.errors import GpucloudError, StateConflict
from gpucloud.render.view import View, show

if TYPE_CHECKING:
    from gpucloud.cli.wishes import Wishes
    from gpucloud.core.plan import UpPlan
    from gpucloud.flows.ahead import Ahead
    from gpucloud.flows.context import Context
    from gpucloud.flows.up import UpResult


def plan(ctx: Context, wishes: Wishes, dry_run: bool) -> UpPlan:
    """The plan for these wishes."""
    from gpucloud.flows import up as flow

    return flow.plan(ctx, wishes.request(ctx, dry_run))


def begin_ahead(ctx: Context, planned: UpPlan) -> Ahead:
    """Load the libraries and ask the quotas while the plan is being read."""
    from gpucloud.flows.ahead import Ahead

    return Ahead(ctx, planned.order)


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


def carry_out(ctx: Context, planned: UpPlan, ahead: Ahead | None = None) -> UpResult:
    """Provision; a failure shows its attempts before the error."""
    from gpucloud.flows import up as flow

    try:
        with ctx.waiting(f"{planned.request.name}: provisioning"):
            return flow.up(ctx, planned, ahead)
    except GpucloudError as error:
        tries = error.details.get("attempts")
        if tries and current().output != "json":
            show(View("up", {}, ATTEMPT_COLUMNS, tries), "table", sys.stderr)
        raise
