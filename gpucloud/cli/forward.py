"""`gpucloud forward`: a machine's port, reachable here until Ctrl-C."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Annotated

import typer

from gpucloud.cli.options import narrate
from gpucloud.cli.outside import context, dial


def forward(
    name: Annotated[str, typer.Argument(help="Which deployment.")],
    ports: Annotated[list[str], typer.Argument(metavar="PORT...", help="8888, or 9000:8888 for 9000 here.")],
    node: Annotated[int, typer.Option("--node", metavar="RANK", min=0, help="Which node.")] = 0,
) -> None:
    """Make ports of a machine (Jupyter, TensorBoard) reachable on this machine's loopback address.

    An open forward counts as use: the machine is not idle meanwhile. A lost connection is made again.
    """
    from gpucloud.core.plan import find_deployment
    from gpucloud.flows.machines import endpoint_of, node_of, usable
    from gpucloud.remote.forward import Forwarding, Lifeline, parse_port

    wanted = [parse_port(text) for text in ports]
    with context() as ctx, ExitStack() as stack:
        deployment = usable(find_deployment(ctx.journal.present(), name))
        endpoint, connect = endpoint_of(node_of(deployment, node)), dial()
        line = stack.enter_context(Lifeline(lambda: connect(endpoint), narrate))  # type: ignore[arg-type, return-value]
        for port in wanted:
            opened = stack.enter_context(Forwarding(line, port))
            narrate(f"http://127.0.0.1:{opened.port} leads to port {port.remote} of {deployment.name}. Ctrl-C ends it.")
        with suppress(KeyboardInterrupt):
            line.hold(lambda: False)
