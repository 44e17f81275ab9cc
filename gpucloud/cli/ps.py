"""`gpucloud ps`: runs and what became of them."""

from __future__ import annotations

from typing import Annotated

import typer

from gpucloud.cli.following import refreshed
from gpucloud.cli.options import current
from gpucloud.cli.outside import context
from gpucloud.cli.views import runs_view
from gpucloud.render.view import show


def ps(
    name: Annotated[str | None, typer.Argument(help="Only the runs of this deployment.")] = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also runs of deployments that are down.")] = False,
) -> None:
    """Runs and their state, newest last; machines are asked about those that are open."""
    from gpucloud.core.answers import run_json
    from gpucloud.core.plan import find_deployment

    with context() as ctx:
        present = ctx.journal.present()
        chosen = [find_deployment(present, name)] if name else list(present.deployments.values())
        refreshed(ctx, chosen)
        present = ctx.journal.present()
        ids = {item.id for item in chosen if everything or name or not item.closed}
        shown = [
            run_json(present.deployments[run.deployment], run, ctx.clock())
            for run in present.runs
            if run.deployment in ids
        ]
        hidden = len(present.runs) - len(shown)
        notes = [f"{hidden} more on deployments that are down: gpucloud ps --all"] if hidden and not name else []
        show(runs_view("ps", shown, notes), current().output)
