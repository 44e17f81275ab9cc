"""`gpucloud forward`: a machine's port, reachable here until Ctrl-C."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Annotated

import typer

from gpucloud.cli.options import narrate
from gpucloud.cli.outside import context, dial
from gpucloud.core.errors import Unreachable


def forward(
    name: Annotated[str, typer.Argument(help="Which deployment.")],
    ports: Annotated[list[str], typer.Argument(metavar="PORT...", help="8888, or 9000:8888 for 9000 here.")],
    node: Annotated[int, typer.Option("--node", metavar="RANK", min=0, help="Which node.")] = 0,
) -> None:
    """Make ports of a machine (Jupyter, TensorBoard) reachable on this machine's loopback address.

    An open forward counts as use: the machine is not idle meanwhile.
    """
    from gpucloud.core.plan import find_deployment
    from gpucloud.flows.machines import Fleet, usable
    from gpucloud.remote.connection import Connection
    from gpucloud.remote.forward import Forwarding, parse_port

    wanted = [parse_port(text) for text in ports]
    with context() as ctx, ExitStack() as stack:
        deployment = usable(find_deployment(ctx.journal.present(), name))
        fleet = stack.enter_context(Fleet(deployment.machines[node : node + 1], dial()))
        connection = fleet.nodes[0].transport
        assert isinstance(connection, Connection)
        for port in wanted:
            opened = stack.enter_context(Forwarding(connection, port))
            narrate(f"http://127.0.0.1:{opened.port} leads to port {port.remote} of {deployment.name}. Ctrl-C ends it.")
        _until_interrupted(connection)


def _until_interrupted(connection: object) -> None:
    try:
        while connection.transport.is_active():  # type: ignore[attr-defined]
            time.sleep(0.5)
    except KeyboardInterrupt:
        return
    raise Unreachable("The connection to the machine was lost.", "Repeat the command.")
