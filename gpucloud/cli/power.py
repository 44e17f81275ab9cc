"""`gpucloud stop`, `start` and `extend`: a deployment's power and its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gpucloud.cli.options import current, narrate
from gpucloud.cli.outside import can_ask, confirm, context
from gpucloud.cli.views import deployments_view
from gpucloud.core.errors import StateConflict, UsageError
from gpucloud.render.view import show

if TYPE_CHECKING:
    from gpucloud.core.deployments import Deployment
    from gpucloud.core.plan import ChangePlan

Name = Annotated[str | None, typer.Argument(help="Which deployment; the only one by default.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")]
MaxHours = Annotated[
    str | None, typer.Option("--max-hours", metavar="H", help="The new time limit, as in 6h; 0: none.")
]
NewBudget = Annotated[
    float | None,
    typer.Option("--budget", metavar="USD", min=0, help="A new budget for all of it, what is spent included."),
]


def stop(name: Name = None, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Switch a deployment off and keep its disk; the disk may still cost."""
    from gpucloud.flows import changes

    with context() as ctx:
        planned = changes.plan_stop(ctx, name)
        if not dry_run:
            confirm(f"Stop {planned.deployment.name}?", yes)
        with ctx.waiting(f"{planned.deployment.name}: stopping"):
            done = planned.deployment if dry_run else changes.stop(ctx, planned)
        _show("stop", done, ctx.clock())


def start(
    name: Name = None,
    max_hours: MaxHours = None,
    budget: NewBudget = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Switch a stopped deployment on again, with a new deadline."""
    from gpucloud.core.units import duration_s
    from gpucloud.flows import changes

    with context() as ctx:
        limit = None if max_hours is None else duration_s(max_hours, "--max-hours")
        planned = changes.plan_start(ctx, name, limit, budget)
        if not dry_run:
            confirm(f"Start {planned.deployment.name}?", yes)
        with ctx.waiting(f"{planned.deployment.name}: starting"):
            done = planned.deployment if dry_run else changes.start(ctx, planned)
        _show("start", done, ctx.clock())


def extend(
    words: Annotated[list[str], typer.Argument(metavar="[NAME] TIME", help="How much longer, as in 6h or 90m.")],
    budget: NewBudget = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Give a deployment more time. More than its budget pays for takes --budget, or a yes on a terminal."""
    from gpucloud.core.units import duration_s
    from gpucloud.flows import changes

    if len(words) > 2:
        raise UsageError("`extend` takes a name and a time.", "Write it like `gpucloud extend train 6h`.")
    name, time_text = (words[0], words[1]) if len(words) == 2 else (None, words[0])
    if name is None and time_text[:1].isalpha():
        raise UsageError("How much longer is not said.", f"Write it like `gpucloud extend {time_text} 6h`.")
    seconds = duration_s(time_text, "time")
    if seconds <= 0:
        raise UsageError("The time has to be more than nothing.", "Write it like 6h or 90m.")
    with context() as ctx:
        planned = changes.plan_extend(ctx, name, seconds, budget)
        if planned.overrun is not None:
            narrate(planned.overrun.sentence)
        if not dry_run:
            _agree(planned, time_text, yes)
        with ctx.waiting(f"{planned.deployment.name}: moving its end"):
            done = planned.deployment if dry_run else changes.extend(ctx, planned)
        _show("extend", done, ctx.clock())


def _agree(planned: ChangePlan, time_text: str, yes: bool) -> None:
    """Ask; more than the budget needs a person's yes, or that the new budget is named: `--yes` is not enough."""
    name, over = planned.deployment.name, planned.overrun
    if over is None:
        confirm(f"Let {name} run {time_text} longer?", yes)
        return
    new = f"{over.enough_usd:.2f}"
    if yes and not can_ask():
        raise StateConflict(f"{over.sentence} For that --yes is not enough.", f"Give --budget {new}, or less time.")
    confirm(f"Raise the budget of {name} to {new} USD and let it run {time_text} longer?", yes=False)


def _show(kind: str, deployment: Deployment, now: float) -> None:
    from gpucloud.core.answers import deployment_json

    show(deployments_view(kind, [deployment_json(deployment, now)]), current().output)
