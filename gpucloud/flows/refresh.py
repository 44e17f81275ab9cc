"""What became of a deployment: a look at its cloud, judged and written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpucloud.core.cloud import Endpoint
from gpucloud.core.deployments import Deployment, Present
from gpucloud.core.errors import StateConflict
from gpucloud.core.events import Draft
from gpucloud.core.records import resource_record
from gpucloud.core.verdicts import judge
from gpucloud.flows.context import Context
from gpucloud.flows.looks import Look, Place, look, note_look
from gpucloud.flows.recover import ask_lost_runs
from gpucloud.state.locks import deployment_lock, holder


def refresh_one(ctx: Context, deployment_id: str) -> Mapping[Place, str]:
    """Ask the cloud what became of one deployment and write it down; the used regions that did not answer.

    A deployment on which another command is at work is left to that command.
    """
    deployment = ctx.journal.present().deployments[deployment_id]
    try:
        with deployment_lock(ctx.home, deployment.name, "ls"):
            return refresh_locked(ctx, deployment_id)
    except StateConflict as error:
        if holder(ctx.home, deployment.name):
            return {}
        raise error


def refresh_locked(ctx: Context, deployment_id: str) -> Mapping[Place, str]:
    """`refresh_one` for a caller that holds the lock."""
    _doubt_open_attempts(ctx, deployment_id)
    seen = look(ctx, ctx.journal.present().deployments[deployment_id])
    note_look(ctx, deployment_id, seen)
    _settle(ctx, deployment_id)
    ctx.journal.transact(lambda present: _seen(ctx, present, deployment_id, seen))
    now = ctx.journal.present().deployments[deployment_id]
    if now.lease_over and ctx.dial is not None:
        ask_lost_runs(ctx, ctx.dial, now)
    return seen.unscanned


def _doubt_open_attempts(ctx: Context, deployment_id: str) -> None:
    """Nobody holds the lock, so the command that sent an unanswered request is gone."""

    def decide(present: Present) -> Sequence[Draft]:
        waiting = [a for a in present.deployments[deployment_id].open_attempts if not a.ambiguous]
        message = "the command that sent it ended before the answer"
        return [Draft("attempt_ambiguous", deployment_id, {"attempt": a.number, "message": message}) for a in waiting]

    ctx.journal.transact(decide)


def _settle(ctx: Context, deployment_id: str) -> None:
    def decide(present: Present) -> Sequence[Draft]:
        now = present.deployments[deployment_id]
        done = [a for a in now.open_attempts if a.settled_by(ctx.waits.settling)]
        return [Draft("attempt_settled", deployment_id, {"attempt": attempt.number}) for attempt in done]

    ctx.journal.transact(decide)


def _seen(ctx: Context, present: Present, deployment_id: str, seen: Look) -> Sequence[Draft]:
    deployment = present.deployments[deployment_id]
    attempt = deployment.current
    if attempt is None or not (attempt.made and attempt.visible and seen.answered(attempt)):
        return _nothing_under_way(deployment)
    found = {item.id: item for item in seen.of_attempt(attempt)}
    states = {key: item.state for key, item in found.items() if item.kind == "machine"}
    known = {item.id: item for item in deployment.machines}
    gone = {key: "gone" for key in known if key not in states}
    verdict = judge(deployment, attempt, states, ctx.clock())
    nothing_left = not seen.found and not seen.unscanned and not deployment.open_attempts
    moved = [item for key, item in found.items() if key in known and _moved(known[key].endpoint, item.endpoint)]
    changed = {**states, **gone} != {key: attempt.states.get(key) for key in known}
    if not (verdict.phase or verdict.ended_at or nothing_left or changed or moved):
        return []
    data = {
        "attempt": attempt.number,
        "states": {**states, **gone},
        "verdict": verdict.phase,
        "ended_at": verdict.ended_at,
        "nothing_left": nothing_left,
        "resources": [resource_record(item) for item in moved],
    }
    return [Draft("nodes_seen", deployment_id, data)]


def _moved(before: Endpoint | None, now: Endpoint | None) -> bool:
    return now is not None and (before is None or (before.host, before.port) != (now.host, now.port))


def _nothing_under_way(deployment: Deployment) -> Sequence[Draft]:
    """An `up` that was killed before it had anything, or whose only request is settled, has failed."""
    if deployment.phase not in ("planned", "creating") or deployment.open_attempts:
        return []
    if any(attempt.made for attempt in deployment.attempts):
        return []
    data = {"code": "ambiguous", "message": "The command ended before a machine was made."}
    return [Draft("deployment_failed", deployment.id, data)]
