"""`gpucloud pull`: copy files from a machine; nothing here is deleted unless asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gpucloud.cli.options import current
from gpucloud.cli.outside import context, dial
from gpucloud.cli.transfer import COLUMNS, remote_path, report_json
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
    nodes: Annotated[
        str | None,
        typer.Option("--nodes", metavar="all|N", help="From several nodes at once, into LOCAL/0, LOCAL/1 and so on."),
    ] = None,
) -> None:
    """Copy REMOTE to LOCAL. Copies only what differs."""
    from gpucloud.core.plan import find_deployment
    from gpucloud.flows.machines import Fleet, Node, chosen, node_of, readable
    from gpucloud.flows.session import on_all
    from gpucloud.remote import sync
    from gpucloud.render.progress import ProgressBar

    reports: dict[int, Any] = {}
    with context() as ctx:
        deployment = readable(find_deployment(ctx.journal.present(), name))
        machines = chosen(deployment, nodes) if nodes is not None else (node_of(deployment, node),)
        with Fleet(machines, dial()) as fleet, ProgressBar(sys.stderr, "pull") as bar:

            def fetch(source: Node) -> None:
                target = local if nodes is None else local / str(source.rank)
                target.parent.mkdir(parents=True, exist_ok=True)
                reports[source.rank] = sync.pull(
                    source.transport,
                    remote_path(source, remote),
                    target,
                    mirror=mirror,
                    checksum=checksum,
                    progress=bar if source is fleet.nodes[0] else None,
                )

            on_all(fleet.nodes, fetch)
    rows = [report_json(rank, reports[rank]) for rank in sorted(reports)]
    show(View("pull", {"nodes": rows}, COLUMNS, rows), current().output)
