"""`gpucloud push`: make a folder on a machine what it is here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gpucloud.cli.options import current
from gpucloud.cli.outside import context, dial
from gpucloud.cli.transfer import COLUMNS, remote_path, report_json
from gpucloud.render.view import View, show


def push(
    name: Annotated[str, typer.Argument(help="Which deployment.")],
    local: Annotated[Path, typer.Argument(help="The folder or file here.")],
    remote: Annotated[str, typer.Argument(help="Where on the machine; relative paths start at the work folder.")] = ".",
    exclude: Annotated[
        list[str], typer.Option("--exclude", metavar="P", help="Gitignore pattern of what stays here; repeat.")
    ] = [],  # noqa: B006
    keep_extra: Annotated[bool, typer.Option("--keep-extra", help="Delete nothing on the machine.")] = False,
    checksum: Annotated[bool, typer.Option("--checksum", help="Compare contents, not sizes and times.")] = False,
    nodes: Annotated[str, typer.Option("--nodes", metavar="all|N", help="To how many nodes.")] = "all",
) -> None:
    """Make REMOTE's contents exactly LOCAL's: what is not here is deleted there."""
    from gpucloud.core.plan import find_deployment
    from gpucloud.flows.machines import Fleet, Node, chosen, usable
    from gpucloud.flows.session import on_all
    from gpucloud.remote import sync
    from gpucloud.render.progress import ProgressBar

    reports: dict[int, Any] = {}
    with context() as ctx:
        deployment = usable(find_deployment(ctx.journal.present(), name))
        with Fleet(chosen(deployment, nodes), dial()) as fleet, ProgressBar(sys.stderr, "push") as bar:

            def send(node: Node) -> None:
                reports[node.rank] = sync.push(
                    node.transport,
                    local,
                    remote_path(node, remote),
                    sync.SyncRules(exclude=tuple(exclude)),
                    bar if node.rank == 0 else None,
                    keep_extra=keep_extra,
                    checksum=checksum,
                )

            on_all(fleet.nodes, send)
    rows = [report_json(rank, reports[rank]) for rank in sorted(reports)]
    show(View("push", {"nodes": rows}, COLUMNS, rows), current().output)
