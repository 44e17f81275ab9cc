"""`gpucloud ls`: what there is, what it costs, and when it ends."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from gpucloud.cli.guard_words import guard_phrase
from gpucloud.cli.options import current
from gpucloud.cli.outside import context
from gpucloud.cli.views import deployments_view, money
from gpucloud.render.view import show

OFF = ("stopped", "ended_by_guard")  # what lives in the machine does not act now


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
        now = ctx.clock()
        rows = found.as_json(now)
        view = deployments_view("ls", rows, guard_notes(rows, now))
        show(view, current().output)
        if found.error is not None:
            raise found.error


def guard_notes(deployments: list[dict[str, Any]], now: float) -> list[str]:
    """Under the table: what ends each live deployment, and which failures that survives. `now` in epoch seconds."""
    notes = []
    for item in deployments:
        if item["billing_ended"]:
            continue
        if item["state"] in OFF and item["stopped_usd_per_hour"]:
            notes.append(f"{item['name']}: is off; its disk costs {money(item['stopped_usd_per_hour'])} USD/h.")
        acting = [guard for guard in item["guards"] if item["state"] not in OFF or guard["kind"] == "provider"]
        notes.extend(f"{item['name']}: {_phrase(guard, now)}" for guard in acting)
    return notes


def _phrase(guard: dict[str, Any], now: float) -> str:
    ends = guard["ends_at"] and datetime.fromisoformat(guard["ends_at"].replace("Z", "+00:00")).timestamp()
    return guard_phrase(guard["kind"], guard["action"], ends, guard["survives"], now)
