"""`gpucloud wait`: until a run has ended, then with its exit code."""

from __future__ import annotations

from typing import Annotated

import typer

from gpucloud.cli.following import finish
from gpucloud.cli.outside import context, dial


def wait(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="As in train/3; the newest by default.")] = None,
    pull: Annotated[bool, typer.Option("--pull/--no-pull", help="Fetch its outputs when it has ended.")] = True,
) -> None:
    """Wait for a run, fetch its outputs, and return its exit code."""
    from gpucloud.core.errors import GpucloudError
    from gpucloud.flows.follow import Follower
    from gpucloud.flows.machines import readable
    from gpucloud.flows.run_events import find_run
    from gpucloud.flows.session import pull_outputs

    with context() as ctx:
        found, error = find_run(ctx, run), None
        try:
            if found.open:
                deployment = readable(ctx.journal.present().deployments[found.deployment])
                reader = Follower(ctx, dial(), lambda data: None)
                reader.only_reads = True
                found = reader.follow(deployment, found)
            if pull and found.wants_pull and not ctx.journal.present().deployments[found.deployment].closed:
                deployment = readable(ctx.journal.present().deployments[found.deployment])
                found = pull_outputs(ctx, dial(), deployment, found)
        except GpucloudError as caught:
            error = caught
        finish(ctx, found, error)
