"""`gpucloud pull`: copy files from a machine; nothing here is deleted unless asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gpucloud.cli.options import current
from gpucloud.cli.outside import context, dial
from gpucloud.cli.transfer import COLUMNS, remote_path, report_json
from gpucloud.core.errors import UsageError
from gpucloud.render.view import View, show


def pull(
    name: Annotated[str, typer.Argument(help="Which deployment.")],
    remote: Annotated[
        str, typer.Argument(help="The folder or file there; relative paths start at the work folder.")
    ] = ".",
    local: Annotated[Path, typer.Argument(help="Where to, here.")] = Path(),
    mirror: Annotated[bool, typer.Option("--mirror", help="Delete here what is not there.")] = False,
    checksum: Annotated[bool, typer.Option("--checksum", help="Compare contents, not sizes and times.")] = False,
    node: Annotated[int, typer.Option("--node", metavar="RANK", min=0, help="From which node.")] = 0,
) -> None:
    """Copy REMOTE to LOCAL. Copies only what differs."""
    from gpucloud.core.plan import find_deployment
    from gpucloud.flows.machines import Fleet, usable
    from gpucloud.remote import sync
    from gpucloud.render.progress import ProgressBar

    with context() as ctx:
        deployment = usable(find_deployment(ctx.journal.present(), name))
        if node >= len(deployment.machines):
            raise UsageError(f"'{name}' has no node {node}.", f"Its nodes are 0 to {len(deployment.machines) - 1}.")
        with Fleet(deployment.machines[node : node + 1], dial()) as fleet, ProgressBar(sys.stderr, "pull") as bar:
            source = fleet.nodes[0]
            report = sync.pull(
                source.transport, remote_path(source, remote), local, mirror=mirror, checksum=checksum, progress=bar
            )
    rows = [report_json(node, report)]
    show(View("pull", {"nodes": rows}, COLUMNS, rows), current().output)
