"""Asking the machines what became of runs, and writing it down."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from gpucloud.core.cloud import Resource
from gpucloud.core.deployments import Deployment, Run
from gpucloud.core.errors import GpucloudError
from gpucloud.core.launcher import worst_exit
from gpucloud.core.wire import RUNS_DIR
from gpucloud.flows import companions, run_events
from gpucloud.flows.context import Context
from gpucloud.flows.machines import Dial, Fleet, Node
from gpucloud.remote.runs import RunStatus, signal, status


def run_dir(base_dir: str, number: int) -> str:
    """The run's folder on a machine."""
    return f"{base_dir}/{RUNS_DIR}/{number}"


def command_text(command: str | Sequence[str]) -> str:
    """The command as people read it."""
    return command if isinstance(command, str) else shlex.join(command)


def note_status(ctx: Context, run: Run, states: Mapping[int, RunStatus]) -> Run:
    """Commit what the nodes say of a run: started, ended with the worst exit code, or lost."""
    verdict = judge(states)
    started = [s.started_epoch_s for s in states.values() if s.started_epoch_s is not None]
    if started and run.started_at is None and not any(s.state == "setup" for s in states.values()):
        run = run_events.started(ctx, run, min(started))
    if verdict is None:
        return run
    ended = [s.ended_epoch_s for s in states.values() if s.ended_epoch_s is not None]
    state, code = verdict
    setup_failed = any(s.setup_failed for s in states.values())
    word = "" if state == "exited" else "lost"
    return run_events.ended(ctx, run, code, word, max(ended, default=None), setup_failed)


def judge(states: Mapping[int, RunStatus]) -> tuple[str, int | None] | None:
    """`("exited", worst code)`, `("lost", None)`, or None while a node is still at it."""
    if any(s.state in ("setup", "running") for s in states.values()):
        return None
    if any(s.state in ("lost", "none") for s in states.values()):
        return "lost", None
    # what we ended ourselves does not count: the code of the node that failed does
    return "exited", worst_exit({rank: 0 if s.told_epoch_s else s.exit_code for rank, s in states.items()})


def machines_of(deployment: Deployment, run: Run) -> list[Resource]:
    """The nodes that take part in a run."""
    return list(deployment.machines[: int(run.spec.get("nodes") or len(deployment.machines))])


def refresh(ctx: Context, dial: Dial, deployments: Sequence[Deployment]) -> list[str]:
    """Ask the machines about runs that are open; the sentences say which could not be asked."""
    silent: list[str] = []
    for deployment in deployments:
        waiting = [run for run in deployment.runs if run.open]
        if not waiting or deployment.state != "ready":
            continue
        try:
            _refresh_one(ctx, dial, deployment, waiting)
        except GpucloudError as error:
            silent.append(f"{deployment.name} could not be asked: {error.message}")
    return silent


def _refresh_one(ctx: Context, dial: Dial, deployment: Deployment, waiting: Sequence[Run]) -> None:
    with Fleet(deployment.machines, dial) as fleet:
        answers = {
            node.rank: status(node.transport, [run_dir(node.transport.base_dir, run.number) for run in waiting])
            for node in fleet.nodes
        }
        for run in waiting:
            nodes = int(run.spec.get("nodes") or len(fleet.nodes))
            states = {
                node.rank: answers[node.rank][run_dir(node.transport.base_dir, run.number)]
                for node in fleet.nodes[:nodes]
            }
            if run.state == "syncing" and all(item.state == "none" for item in states.values()):
                if _abandoned(ctx, run):
                    run_events.ended(ctx, run, None, "lost")
                continue
            _end_companions(ctx, fleet.nodes[:nodes], run, states)
            note_status(ctx, run, states)


def _end_companions(ctx: Context, nodes: Sequence[Node], run: Run, states: Mapping[int, RunStatus]) -> None:
    """A detached run that failed on one node is ended on the others by whoever asks how it stands."""
    due = companions.steps_due(states, ctx.clock())
    for step in sorted(set(due.values())):
        told = [node for node in nodes if due.get(node.rank) == step]
        ctx.narrate(f"{run.id} failed on one node. {companions.ending(len(told), step)}")
        for node in told:
            signal(node.transport, run_dir(node.transport.base_dir, run.number), step, others=True)


ABANDONED_S = 3600.0  # a sync that long without a start: its client is gone


def _abandoned(ctx: Context, run: Run) -> bool:
    return ctx.clock() - run.created_at > ABANDONED_S
