"""What the states of its machines at the cloud mean for a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpucloud.core.deployments import Attempt, Deployment

SETTLED_PHASES = (
    "ready",
    "stopping",
    "stopped",
    "starting",
    "creating",
    "preempted",
    "ended_by_guard",
    "lost",
    "failed",
)


@dataclass(frozen=True)
class Verdict:
    """`phase` is empty when nothing changed; `ended_at` is when its machines stopped billing, as far as known."""

    phase: str = ""
    ended_at: float | None = None


def judge(deployment: Deployment, attempt: Attempt, states: Mapping[str, str], now: float) -> Verdict:
    """Compare what should be with `states` (id → state) from a complete look; absent machines are gone."""
    expected = [item.id for item in deployment.machines]
    if not expected or deployment.phase not in SETTLED_PHASES:
        return Verdict()
    found = {identifier: states.get(identifier, "gone") for identifier in expected}
    if set(found.values()) & {"preempted", "gone", "failed"}:
        return _ended(deployment, attempt, found, now)
    if all(state == "stopped" for state in found.values()):
        return _stopped(deployment, now)
    woken = deployment.phase in ("stopped", "ended_by_guard") and set(found.values()) == {"running"}
    return Verdict("ready") if woken else Verdict()


def _stopped(deployment: Deployment, now: float) -> Verdict:
    """Stopped because we asked, or because a guard in the machine did it."""
    if deployment.phase in ("stopped", "ended_by_guard", "failed", "starting"):
        return Verdict()
    if deployment.phase == "stopping":
        return Verdict("stopped", now)
    return Verdict("ended_by_guard", _end(deployment, now))


def _ended(deployment: Deployment, attempt: Attempt, found: Mapping[str, str], now: float) -> Verdict:
    gone = all(state == "gone" for state in found.values())
    if deployment.phase in ("preempted", "ended_by_guard", "lost", "failed"):
        return Verdict("", _end(deployment, now)) if gone and attempt.ended_at is None else Verdict()
    return Verdict(_why(deployment, attempt, found, now), _end(deployment, now))


def _why(deployment: Deployment, attempt: Attempt, found: Mapping[str, str], now: float) -> str:
    if "preempted" in found.values():
        return "preempted"
    if deployment.deadline_at is not None and now >= deployment.deadline_at:
        return "ended_by_guard"
    if attempt.offer.market == "spot":
        return "preempted"
    by_idleness = bool(attempt.launch.get("idle_s")) and attempt.launch.get("at_end") == "delete"
    return "ended_by_guard" if by_idleness else "lost"


def _end(deployment: Deployment, now: float) -> float:
    deadline = deployment.deadline_at
    return now if deadline is None else min(now, deadline)
