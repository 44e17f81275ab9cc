"""`gpucloud cost`: what was spent, by deployment and run."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Annotated

import typer

from gpucloud.cli.options import current
from gpucloud.cli.outside import context
from gpucloud.cli.views import money, words
from gpucloud.core.errors import UsageError
from gpucloud.render.view import Column, View, show

COLUMNS = (
    Column("deployment", "Deployment"),
    Column("run", "Run"),
    Column("kind", "What", write=words),
    Column("hours", "Hours", right=True, write=lambda value: f"{value:.3f}"),
    Column("usd_per_hour", "USD/h", right=True, write=money),
    Column("price_observed_on", "Price of"),
    Column("usd", "USD", right=True, write=money),
)


def cost(
    name: Annotated[str | None, typer.Argument(help="Only this deployment.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Since a date (2026-11-01) or for so long (7d).")
    ] = None,
) -> None:
    """What was spent, by deployment and run, with the price used and its date."""
    from gpucloud.core.answers import cost_json
    from gpucloud.core.plan import find_deployment
    from gpucloud.flows.cost import cost as bill

    with context() as ctx:
        if name:
            name = find_deployment(ctx.journal.present(), name).name
        body = cost_json(bill(ctx, since_epoch_s(since) if since else None, name))
    total = body["total_usd"]
    notes = [f"Total: {money(total)} USD." if total is not None else "Total: unknown, a price is missing."]
    show(View("cost", body, COLUMNS, body["items"], notes, "Nothing was spent.", "items"), current().output)


def since_epoch_s(text: str) -> float:
    """A date or a time as epoch seconds, or a duration before now."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        from gpucloud.core.units import duration_s

        try:
            return time.time() - duration_s(text, "--since", bare="d")
        except UsageError:
            raise UsageError(f"--since {text} is neither a date nor a duration.", "Write 2026-11-01 or 7d.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
