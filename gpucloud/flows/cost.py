"""`cost`: what was spent, by deployment and run."""

from __future__ import annotations

from gpucloud.core.cost import CostItem, cost_items
from gpucloud.flows.context import Context


def cost(ctx: Context, since: float | None = None, name: str | None = None) -> list[CostItem]:
    """The bill of every deployment, oldest first; `since` in epoch seconds leaves out what was before."""
    now = ctx.clock()
    chosen = [d for d in ctx.journal.present().deployments.values() if name in (None, d.name, d.id)]
    return [line for deployment in chosen for line in cost_items(deployment, now, since)]
