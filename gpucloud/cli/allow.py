"""`gpucloud allow`: open SSH to a new address, and to no other."""

from __future__ import annotations

from typing import Annotated

import typer

from gpucloud.cli.options import current
from gpucloud.cli.outside import confirm, context
from gpucloud.cli.views import deployments_view
from gpucloud.render.view import show


def allow(
    name: Annotated[str, typer.Argument(help="Which deployment.")],
    address: Annotated[
        str, typer.Argument(metavar="[CIDR|auto]", help="The address; `auto` asks for this machine's.")
    ] = "auto",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
) -> None:
    """Let SSH in from a new address, for example after your own has changed."""
    from gpucloud.cli.address import ssh_from
    from gpucloud.core.answers import deployment_json
    from gpucloud.flows import changes

    with context() as ctx:
        cidrs = ssh_from(address)
        planned = changes.plan_allow(ctx, name, cidrs)
        if not dry_run:
            confirm(f"Open SSH of {name} to {', '.join(cidrs)}?", yes)
        deployment = planned.deployment if dry_run else changes.allow(ctx, planned)
        show(deployments_view("allow", [deployment_json(deployment, ctx.clock())]), current().output)
