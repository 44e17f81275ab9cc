"""What each event of a deployment as a whole changes: ready, stopped, started, seen, gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gpucloud.core.deployments import Attempt, Deployment, Run
from gpucloud.core.events import Event
from gpucloud.core.fold_attempts import Change, attempt_tried, on_attempt, pinned
from gpucloud.core.records import guard_from, resource_from


def _ready(now: Deployment, event: Event) -> Deployment:
    first = now.ready_at if now.ready_at is not None else event.at
    states = _all_running(now, event)
    changed = on_attempt(now, event, seen=frozenset(states), states=states)
    if any(line["outcome"] == "ready" for line in now.tried):
        return replace(changed, phase="ready")
    return replace(attempt_tried(changed, event, "ready"), phase="ready", ready_at=first)


def _all_running(now: Deployment, event: Event) -> dict[str, str]:
    return {item.id: "running" for item in now.attempt(event.data["attempt"]).resources}


def _failed(now: Deployment, event: Event) -> Deployment:
    ended = None if any(a.open or a.made for a in now.attempts) else event.at
    words = {"failure": event.data["code"], "message": event.data.get("message", "")}
    return replace(now, phase="failed", billing_ended=ended, **words)


def _cancelled(now: Deployment, event: Event) -> Deployment:
    return replace(now, phase="destroying", cancelled=True)


def _down(now: Deployment, event: Event) -> Deployment:
    ended = now.billing_ended if now.billing_ended is not None else event.at
    attempts = tuple(_closed(attempt, ended) for attempt in now.attempts)
    runs = tuple(_lost(run, ended) for run in now.runs)
    return replace(now, phase="down", billing_ended=ended, attempts=attempts, runs=runs)


def _closed(attempt: Attempt, at: float) -> Attempt:
    if not (attempt.open or attempt.made):
        return attempt
    ended = attempt.ended_at if attempt.ended_at is not None else at
    return replace(attempt, outcome="removed" if attempt.made else "settled", ended_at=ended)


def _lost(run: Run, at: float) -> Run:
    return replace(run, state="lost", ended_at=at) if run.open else run


def _stop_requested(now: Deployment, event: Event) -> Deployment:
    return replace(now, phase="stopping")


def _stopped(now: Deployment, event: Event) -> Deployment:
    runs = tuple(replace(r, state="cancelled", ended_at=event.at) if r.open else r for r in now.runs)
    return replace(_with_state(now, "stopped"), phase="stopped", pauses=_paused(now, event.at), runs=runs)


def _paused(now: Deployment, at: float) -> tuple[tuple[float, float | None], ...]:
    return now.pauses if now.pauses and now.pauses[-1][1] is None else (*now.pauses, (at, None))


def _resumed(now: Deployment, at: float) -> tuple[tuple[float, float | None], ...]:
    open_pause = bool(now.pauses) and now.pauses[-1][1] is None
    return (*now.pauses[:-1], (now.pauses[-1][0], at)) if open_pause else now.pauses


def _with_state(now: Deployment, state: str) -> Deployment:
    current = now.current
    if current is None:
        return now
    states = {item.id: state for item in current.resources if item.kind == "machine"}
    return replace(
        now,
        attempts=tuple(
            replace(a, states={**a.states, **states}) if a.number == current.number else a for a in now.attempts
        ),
    )


def _start_requested(now: Deployment, event: Event) -> Deployment:
    """Billing is counted from the intent: the machine may run from now on."""
    deadline = event.data.get("deadline_epoch_s", now.deadline_at)
    billed = _billed_again(_budgeted(_guarded(now, event), event), event.at)
    return replace(billed, phase="starting", deadline_at=deadline)


def _billed_again(now: Deployment, at: float) -> Deployment:
    """The pause is over, and an end that a look had found was none."""
    number = now.current.number if now.current else 0
    attempts = tuple(replace(a, ended_at=None) if a.number == number else a for a in now.attempts)
    return replace(now, pauses=_resumed(now, at), attempts=attempts)


def _started(now: Deployment, event: Event) -> Deployment:
    changed = _with_state(now, "running")
    return replace(changed, phase="ready")


def _extended(now: Deployment, event: Event) -> Deployment:
    return replace(_budgeted(_guarded(now, event), event), deadline_at=event.data.get("deadline_epoch_s"))


def _allowed(now: Deployment, event: Event) -> Deployment:
    return replace(now, allowed=tuple(event.data.get("cidrs", ())))


def _budgeted(now: Deployment, event: Event) -> Deployment:
    if "budget_usd" not in event.data:
        return now
    return replace(now, request={**now.request, "budget_usd": event.data["budget_usd"]})


def _guarded(now: Deployment, event: Event) -> Deployment:
    if "guards" not in event.data or now.current is None:
        return now
    guards, number = tuple(guard_from(item) for item in event.data["guards"]), now.current.number
    return replace(now, attempts=tuple(replace(a, guards=guards) if a.number == number else a for a in now.attempts))


def _seen(now: Deployment, event: Event) -> Deployment:
    """What a look at the cloud found. `ended_at` is when the bill of the machines ended, where they are gone."""
    data = event.data
    attempt = now.attempt(data["attempt"])
    states = data.get("states", {})
    shown = {key for key, state in states.items() if state != "gone"} | {r["id"] for r in data.get("resources", ())}
    seen = attempt.seen | shown
    changed = on_attempt(now, event, states={**attempt.states, **states}, seen=seen)
    if data.get("resources"):
        changed = _endpoints(changed, event)
    if data.get("verdict"):
        changed = replace(changed, phase=data["verdict"])
        changed = _ended(changed, event)
    if data.get("ended_at") is not None:
        changed = on_attempt(changed, event, ended_at=data["ended_at"])
    if data.get("nothing_left"):
        changed = replace(changed, billing_ended=data.get("ended_at") or event.at)
    return changed


def _endpoints(now: Deployment, event: Event) -> Deployment:
    seen = {item["id"]: resource_from(item) for item in event.data["resources"]}
    attempt = now.attempt(event.data["attempt"])
    known = {item.id: item for item in attempt.resources}
    resources = tuple(pinned(item, attempt.host_keys) for item in {**known, **seen}.values())
    return on_attempt(now, event, resources=resources)


def _ended(now: Deployment, event: Event) -> Deployment:
    """Machines that ended by themselves take their runs with them; stopped ones stop costing."""
    stopped_at = event.data.get("ended_at") or event.at
    if event.data["verdict"] == "ready":  # somebody else switched it on again
        return _billed_again(now, event.at)
    pauses = _paused(now, stopped_at)
    word = "preempted" if event.data["verdict"] == "preempted" else "lost"
    runs = tuple(replace(r, state=word, ended_at=stopped_at) if r.open else r for r in now.runs)
    return replace(now, pauses=pauses, runs=runs)


def _noted(now: Deployment, event: Event) -> Deployment:
    """Facts that only the history needs (requests and refusals of a removal, ingress)."""
    return now


DEPLOYMENT_CHANGES: Mapping[str, Change] = {
    "deployment_ready": _ready,
    "deployment_failed": _failed,
    "deployment_cancelled": _cancelled,
    "destroy_requested": _noted,
    "destroy_accepted": _noted,
    "destroy_failed": _noted,
    "stop_requested": _stop_requested,
    "stop_accepted": _noted,
    "stopped": _stopped,
    "start_requested": _start_requested,
    "start_accepted": _noted,
    "started": _started,
    "extend_requested": _noted,
    "extended": _extended,
    "allow_requested": _noted,
    "allowed": _allowed,
    "nodes_seen": _seen,
    "deployment_down": _down,
}
