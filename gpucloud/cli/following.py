"""From a request or a run to its exit code: follow the log, ask about open runs, show the run, end with its code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from gpucloud.cli.options import current, narrate
from gpucloud.cli.outside import ask, can_ask, dial
from gpucloud.cli.views import runs_view
from gpucloud.core.errors import CleanupIncomplete, GpucloudError, HostError
from gpucloud.render.view import show

if TYPE_CHECKING:
    from gpucloud.core.deployments import Deployment, Run
    from gpucloud.flows.context import Context
    from gpucloud.flows.follow import Follower
    from gpucloud.flows.session import RunRequest

    Outcome = tuple[Run | None, GpucloudError | None]  # the run, and the error of ours if there was one

OURS_FAILED = 125  # the exit code when the command's own cannot be trusted


def follower(ctx: Context, wait: bool = True) -> Follower:
    """Follows to stdout, or to stderr when stdout is for the JSON object."""
    from gpucloud.flows.follow import Follower

    stream = (sys.stderr if current().output == "json" else sys.stdout).buffer

    def sink(data: bytes) -> None:
        stream.write(data)
        stream.flush()

    def leave(question: str) -> bool:
        return can_ask() and ask(question, default=True)

    return Follower(ctx, dial(), sink, leave, wait)


def run_through(ctx: Context, request: RunRequest) -> Outcome:
    """Sync, run and follow."""
    from gpucloud.flows import session
    from gpucloud.render.progress import ProgressBar

    before = {run.id for run in ctx.journal.present().runs}
    try:
        with ProgressBar(sys.stderr, "sync", enabled=None if not current().quiet else False) as progress:
            return session.run(ctx, dial(), request, follower(ctx), progress), None
    except GpucloudError as error:
        made = [run for run in ctx.journal.present().runs if run.id not in before]
        return (made[-1] if made else None), error


def refreshed(ctx: Context, deployments: list[Deployment]) -> None:
    """Ask the machines about open runs; say which could not be asked."""
    from gpucloud.flows import runs

    for sentence in runs.refresh(ctx, dial(), deployments):
        narrate(sentence)


def finish(ctx: Context, made: Run | None, error: GpucloudError | None) -> NoReturn:
    """Show the run and end with its code, or with 125 when something of ours failed."""
    from gpucloud.core.answers import run_json
    from gpucloud.flows.session import setup_failure

    if made is not None:
        deployment = ctx.journal.present().deployments[made.deployment]
        _show(run_json(deployment, made, ctx.clock()), made)
    if error is None and made is not None and made.setup_failed:
        error = setup_failure(made)
    if error is not None:
        raise as_ours(error)
    raise typer.Exit(exit_code_of(made))


def _show(body: dict[str, Any], made: Run) -> None:
    if current().output != "table":
        show(runs_view("run", [body]), current().output)
    elif made.open:
        narrate(f"{made.id} runs. Follow it with `gpucloud logs {made.id} -f`.")
    elif made.exit_code is not None:
        narrate(f"{made.id} {made.state}, exit code {made.exit_code}.")


def as_ours(error: GpucloudError) -> GpucloudError:
    """Errors of the machine or of its removal end `run`, `exec` and `wait` with 125: the code is not known."""
    if isinstance(error, (HostError, CleanupIncomplete)):
        error.exit_code = OURS_FAILED
    return error


def exit_code_of(made: Run | None) -> int:
    """The command's own code; 0 for one that was left running on request."""
    if made is None or made.open:
        return 0
    return OURS_FAILED if made.exit_code is None else made.exit_code
