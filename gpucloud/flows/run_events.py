"""What becomes of a run, as events: the words a session writes down while it syncs, starts, follows and pulls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpucloud.core.deployments import Deployment, Present, Run
from gpucloud.core.errors import StateConflict, UsageError
from gpucloud.core.events import Draft
from gpucloud.core.names import parse_run, run_id
from gpucloud.flows.context import Context


def create_run(
    ctx: Context, deployment_id: str, command: str, *, pull: Sequence[str] = (), spec: Mapping[str, Any] | None = None
) -> Run:
    """A new run in state `syncing`, its number never used before under that name. `spec` holds no secret.

    StateConflict when the deployment is not ready or being removed.
    """
    number = 0

    def decide(present: Present) -> Sequence[Draft]:
        nonlocal number
        deployment = present.deployments[deployment_id]
        if deployment.state != "ready":
            raise StateConflict(
                f"'{deployment.name}' is {deployment.state.replace('_', ' ')}; nothing can run on it.",
                f"See `gpucloud ls --refresh`; `gpucloud start {deployment.name}` wakes a stopped one.",
            )
        number = present.next_run_number(deployment.name)
        data = {**(spec or {}), "run": number, "command": command, "pull": list(pull)}
        return [Draft("run_created", deployment_id, data)]

    present = ctx.journal.transact(decide)
    return _run(present.deployments[deployment_id], number)


def _run(deployment: Deployment, number: int) -> Run:
    return next(run for run in deployment.runs if run.number == number)


def _note(ctx: Context, run: Run, kind: str, **data: Any) -> Run:
    ctx.journal.append(Draft(kind, run.deployment, {"run": run.number, **data}))
    return _run(ctx.journal.present().deployments[run.deployment], run.number)


def setting_up(ctx: Context, run: Run) -> Run:
    """The user's set-up command runs."""
    return _note(ctx, run, "run_setup")


def started(ctx: Context, run: Run, at: float | None = None) -> Run:
    """The command is about to be started: written before it is, so that a crash leaves a run to ask about."""
    return _note(ctx, run, "run_started", at=ctx.clock() if at is None else at)


def ended(
    ctx: Context,
    run: Run,
    exit_code: int | None,
    state: str = "",
    at: float | None = None,
    setup_failed: bool = False,
) -> Run:
    """It ended; `state` where the code alone does not tell: cancelled, preempted, lost, failed. Once only."""

    def decide(present: Present) -> Sequence[Draft]:
        known = _run(present.deployments[run.deployment], run.number)
        if not known.open:
            return []
        data: dict[str, Any] = {"run": run.number, "exit_code": exit_code, "state": state}
        data["at"] = ctx.clock() if at is None else at
        if setup_failed:
            data["setup_failed"] = True
        return [Draft("run_ended", run.deployment, data)]

    present = ctx.journal.transact(decide)
    return _run(present.deployments[run.deployment], run.number)


def cancel_requested(ctx: Context, run: Run) -> Run:
    """Somebody asked it to end: a bad exit code from now on means cancelled."""
    return _note(ctx, run, "run_cancel_requested")


def pulled(ctx: Context, run: Run) -> Run:
    """Its outputs are here, whole."""
    return _note(ctx, run, "run_pulled")


def find_run(ctx: Context, text: str | None) -> Run:
    """`train/3`, `train` for its newest run, nothing for the newest of all. UsageError when there is none."""
    present = ctx.journal.present()
    if text is None:
        runs = list(present.runs)
        if not runs:
            raise UsageError("There is no run.", "Start one with `gpucloud run CMD`.")
        return runs[-1]
    name, number = parse_run(text)
    runs = [run for run in present.runs if run.name == name and number in (None, run.number)]
    if not runs:
        known = ", ".join(run_id(run.name, run.number) for run in present.runs[-5:])
        raise UsageError(f"There is no run '{text}'.", f"The newest are {known}." if known else "See `gpucloud ps`.")
    return runs[-1]


def unpulled(deployment: Deployment) -> tuple[Run, ...]:
    """Runs whose outputs would be lost with the machine: what keeps `at_end` from deleting it."""
    return tuple(run for run in deployment.runs if run.wants_pull)
