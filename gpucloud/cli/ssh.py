"""`gpucloud ssh`: a shell on a machine, and the line that lets plain `ssh NAME` and VS Code in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gpucloud.cli.options import narrate
from gpucloud.cli.outside import context, dial, home
from gpucloud.core.errors import UsageError

USER_CONFIG = Path("~/.ssh/config")


def ssh(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME] [-- ARGS]...", help="The deployment, then a command for it.")
    ] = None,
    node: Annotated[int, typer.Option("--node", metavar="RANK", min=0, help="Which node.")] = 0,
    include: Annotated[
        bool, typer.Option("--include", help="Add our Include line to your SSH configuration; then `ssh NAME` works.")
    ] = False,
) -> None:
    """Open a shell on a machine, or run a command there on a terminal. The exit code is the shell's own.

    Plain `ssh NAME`, scp and VS Code work through the generated configuration, strictly checked.
    """
    if include:
        _include()
        return
    from gpucloud.cli.following import as_ours
    from gpucloud.core.errors import GpucloudError

    name, command = _split(words or [])
    with context() as ctx:
        try:
            code = _session(ctx, name, node, command)
        except GpucloudError as error:
            raise as_ours(error) from None
    raise typer.Exit(code)


def _split(words: list[str]) -> tuple[str | None, list[str]]:
    """The name, and the command after it (with or without `--`)."""
    name = words[0] if words and words[0] != "--" else None
    rest = words[1:] if name else words
    return name, rest[1:] if rest[:1] == ["--"] else rest


def _session(ctx, name: str | None, node: int, command: list[str]) -> int:  # type: ignore[no-untyped-def]
    from gpucloud.core.plan import find_deployment
    from gpucloud.flows.direct import command_line, execute, shell_line
    from gpucloud.flows.machines import endpoint_of, usable
    from gpucloud.remote.shell import interact

    deployment = usable(find_deployment(ctx.journal.present(), name))
    if node >= len(deployment.machines):
        raise UsageError(
            f"'{deployment.name}' has no node {node}.", f"Its nodes are 0 to {len(deployment.machines) - 1}."
        )
    machine = deployment.machines[node]
    if command and not sys.stdin.isatty():
        return execute(dial(), (machine,), command, sys.stdin, sys.stdout.buffer, sys.stderr.buffer)
    connection = dial()(endpoint_of(machine))
    try:
        line = command_line(connection, command) if command else shell_line(connection)
        return int(interact(connection, line))  # type: ignore[arg-type]
    finally:
        connection.close()


def _include() -> None:
    from gpucloud.remote.sshconfig import add_include, include_line

    ours = home().ssh_config
    added = add_include(USER_CONFIG.expanduser(), ours)
    narrate(f"{'Added to' if added else 'Already in'} {USER_CONFIG}: {include_line(ours)}")
