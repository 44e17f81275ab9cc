"""`gpucloud down`: remove deployments, and end only when the cloud confirms that nothing bills."""

from __future__ import annotations

from typing import Annotated

import typer

from gpucloud.cli.options import current, narrate
from gpucloud.cli.outside import confirm, context
from gpucloud.cli.views import deployments_view
from gpucloud.core.errors import UsageError
from gpucloud.render.view import show


def down(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Which; the only one by default.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every deployment of this home.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed.")] = False,
) -> None:
    """Remove deployments; safe to repeat, and it wins over a running `up`.

    Ends with 0 when nothing bills any more, with 9 and the names of what may still bill otherwise.
    """
    from gpucloud.core.answers import deployment_json, resource_json
    from gpucloud.core.plan import only_one
    from gpucloud.flows import down as flow

    if names and everything:
        raise UsageError("Names and --all exclude each other.", "Give one of them.")
    with context() as ctx:
        wanted = tuple(names or ()) or (() if everything else (only_one(ctx.journal.present()).name,))
        planned = flow.plan(ctx, wanted, everything)
        doomed = [item for item in planned.deployments if not item.closed]
        if doomed and not dry_run:
            unpulled = [run.id for item in doomed for run in item.runs if run.wants_pull]
            if unpulled:
                narrate(f"Outputs were not pulled yet: {', '.join(unpulled)}.")
            confirm(f"Remove {', '.join(item.name for item in doomed)}?", yes)
        with ctx.waiting(f"{', '.join(item.name for item in doomed)}: removing until the cloud shows nothing"):
            result = None if dry_run else flow.down(ctx, planned)
        shown = planned.deployments if result is None else result.deployments
        view = deployments_view(
            "down",
            [deployment_json(item, ctx.clock()) for item in shown],
            empty="There is nothing to remove.",
            removed=[resource_json(item) for item in result.removed] if result else [],
            remaining=[resource_json(item) for item in (result.remaining if result else ())],
        )
        show(view, current().output)
        if result is not None and result.error is not None:
            raise result.error
