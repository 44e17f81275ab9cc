"""`gpucloud exec`: a command on a machine, its output here, its exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gpucloud.cli.following import as_ours
from gpucloud.cli.outside import context, dial
from gpucloud.core.errors import UsageError


def exec_(
    words: Annotated[list[str], typer.Argument(metavar="NAME -- CMD...", help="The deployment, then the command.")],
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Give the command a terminal.")] = False,
    nodes: Annotated[
        str | None, typer.Option("--nodes", metavar="all|N", help="On how many nodes; the first by default.")
    ] = None,
) -> None:
    """Run a command in the machine's work folder, not detached: its input and output are here.

    One word is shell text, several words are passed on as they are. The exit code is the command's own.
    """
    from gpucloud.core.errors import GpucloudError
    from gpucloud.core.plan import find_deployment
    from gpucloud.flows.direct import execute
    from gpucloud.flows.machines import chosen, usable

    name, command = words[0], [word for number, word in enumerate(words[1:]) if number or word != "--"]
    if not command:
        raise UsageError("There is no command.", f"Write it like `gpucloud exec {name} -- nvidia-smi`.")
    with context() as ctx:
        deployment = usable(find_deployment(ctx.journal.present(), name))
        machines = chosen(deployment, nodes or 1)
        try:
            code = execute(dial(), machines, command, sys.stdin, sys.stdout.buffer, sys.stderr.buffer, tty)
        except GpucloudError as error:
            raise as_ours(error) from None
    raise typer.Exit(code)
