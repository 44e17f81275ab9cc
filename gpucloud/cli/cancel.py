"""`gpucloud cancel`: end a run, politely at first."""

from __future__ import annotations

from typing import Annotated

import typer

from gpucloud.cli.options import current
from gpucloud.cli.outside import confirm, context, dial
from gpucloud.cli.views import runs_view
from gpucloud.render.view import show


def cancel(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="As in train/3; the newest by default.")] = None,
    grace: Annotated[
        float, typer.Option("--grace", metavar="S", min=0, help="Seconds between interrupt, terminate and kill.")
    ] = 10.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be ended.")] = False,
) -> None:
    """End a run: interrupt, then terminate, then kill. One that has ended already is left as it is."""
    from gpucloud.core.answers import run_json
    from gpucloud.flows.follow import cancel as end
    from gpucloud.flows.machines import usable
    from gpucloud.flows.run_events import find_run

    with context() as ctx:
        found = find_run(ctx, run)
        deployment = ctx.journal.present().deployments[found.deployment]
        if found.open and not dry_run:
            confirm(f"End {found.id} ({found.command})?", yes or not run_is_ambiguous(run))
            found = end(ctx, dial(), usable(deployment), found, grace)
        show(runs_view("cancel", [run_json(deployment, found, ctx.clock())]), current().output)


def run_is_ambiguous(run: str | None) -> bool:
    """Whether the user did not say exactly which run: then it is worth a question."""
    return run is None or "/" not in run
