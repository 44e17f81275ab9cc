"""After a guard has stopped a machine and somebody has started it again, or a lease has ended: what became of the
runs that it took along."""

from __future__ import annotations

from collections.abc import Sequence

from gpucloud.core.deployments import Deployment, Present, Run
from gpucloud.core.errors import GpucloudError
from gpucloud.core.events import Draft
from gpucloud.flows.context import Context
from gpucloud.flows.machines import Dial, Fleet
from gpucloud.flows.runs import judge, machines_of, run_dir
from gpucloud.remote.runs import RunStatus, status


def ask_lost_runs(ctx: Context, dial: Dial, deployment: Deployment) -> None:
    """Ask the machines for the exit codes of runs that count as lost; what they do not know stays lost."""
    lost = [run for run in deployment.runs if run.state == "lost" and run.started_at is not None]
    if not lost:
        return
    try:
        told = _ask(dial, deployment, lost)
    except GpucloudError as error:
        ctx.narrate(f"What became of {', '.join(run.id for run in lost)} is not known: {error.message}")
        return
    for run, states in zip(lost, told, strict=True):
        _note(ctx, run, states)


def _ask(dial: Dial, deployment: Deployment, lost: Sequence[Run]) -> list[dict[int, RunStatus]]:
    with Fleet(deployment.machines, dial) as fleet:
        answers = {
            node.rank: status(node.transport, [run_dir(node.transport.base_dir, run.number) for run in lost])
            for node in fleet.nodes
        }
        folders = {node.rank: node.transport.base_dir for node in fleet.nodes}
    ranks = {run.number: [machine.rank or 0 for machine in machines_of(deployment, run)] for run in lost}
    return [
        {rank: answers[rank][run_dir(folders[rank], run.number)] for rank in ranks[run.number] if rank in answers}
        for run in lost
    ]


def _note(ctx: Context, run: Run, states: dict[int, RunStatus]) -> None:
    verdict = judge(states) if states else None
    if verdict is None or verdict[0] != "exited":
        return
    ended = [state.ended_epoch_s for state in states.values() if state.ended_epoch_s is not None]
    data = {"run": run.number, "exit_code": verdict[1], "at": max(ended, default=run.ended_at)}

    def decide(present: Present) -> Sequence[Draft]:
        known = next(r for r in present.deployments[run.deployment].runs if r.number == run.number)
        return [Draft("run_ended", run.deployment, data)] if known.state == "lost" else []

    ctx.journal.transact(decide)
    ctx.narrate(f"{run.id} had ended with exit code {verdict[1]} before the end.")
