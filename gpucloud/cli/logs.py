"""`gpucloud logs`: the log of a run, from the machine that has it."""

from __future__ import annotations

from typing import Annotated

import typer

from gpucloud.cli.following import as_ours, follower
from gpucloud.cli.outside import context


def logs(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="As in train/3; the newest by default.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    offset: Annotated[int, typer.Option("--from", metavar="BYTE", min=0, help="Begin at this byte.")] = 0,
) -> None:
    """The log of a run, byte by byte as the command wrote it; Ctrl-C leaves the command running."""
    from gpucloud.core.errors import GpucloudError
    from gpucloud.flows.machines import readable
    from gpucloud.flows.run_events import find_run

    with context() as ctx:
        found = find_run(ctx, run)
        deployment = readable(ctx.journal.present().deployments[found.deployment])
        reader = follower(ctx, wait=follow)
        reader.only_reads = True
        try:
            reader.follow(deployment, found, offset)
        except GpucloudError as error:
            raise as_ours(error) from None
