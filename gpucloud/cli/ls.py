"""`gpucloud ls`: what there is, what it costs, and when it ends."""

from __future__ import annotations

from typing import Annotated

import typer

from gpucloud.cli.options import current
from gpucloud.cli.outside import context
from gpucloud.cli.views import deployments_view, money
from gpucloud.render.view import show


def ls(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the clouds what became of them.")] = False,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also those that are down.")] = False,
) -> None:
    """Deployments: state, hourly price, spent so far, time left.

    Shows what the journal knows; `--refresh` asks the clouds and machines that this home used.
    """
    from gpucloud.flows.ls import ls as listing

    with context() as ctx:
        with ctx.waiting("asking the clouds and machines"):
            found = listing(ctx, tuple(names or ()), refresh=refresh, everything=everything)
        view = deployments_view("ls", found.as_json(ctx.clock()), guard_notes(found.as_json(ctx.clock())))
        show(view, current().output)
        if found.error is not None:
            raise found.error


def guard_notes(deployments: list[dict[str, object]]) -> list[str]:
    """Under the table: what ends each live deployment, and what that survives."""
    notes = []
    for item in deployments:
        if item["billing_ended"]:
            continue
        if item["state"] in ("stopped", "ended_by_guard") and item["stopped_usd_per_hour"]:
            notes.append(f"{item['name']}: is off; its disk costs {money(item['stopped_usd_per_hour'])} USD/h.")
        for guard in item["guards"]:  # type: ignore[attr-defined]
            survives = ", ".join(guard["survives"]).replace("_", " ")
            when = f" at {guard['ends_at']}" if guard["ends_at"] else ""
            tail = f" (survives: {survives})" if survives else ""
            notes.append(
                f"{item['name']}: {guard['kind'].replace('_', ' ')}: {guard['action'].replace('_', ' ')}{when}{tail}"
            )
    return notes
