"""The present as a fold over events: one small pure function per kind of event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from gpucloud.core.cloud import Resource
from gpucloud.core.deployments import Attempt, Deployment, Present, Run
from gpucloud.core.events import Event
from gpucloud.core.records import guard_from, offer_from, resource_from

Change = Callable[[Deployment, Event], Deployment]


def fold(events: Iterable[Event], start: Present | None = None) -> Present:
    """What is, given everything that happened (after `start`). Kinds of a newer version change nothing."""
    before = start or Present()
    deployments, last = dict(before.deployments), before.last_seq
    for event in events:
        last = event.seq
        known = deployments.get(event.deployment)
        if event.kind == "deployment_created":
            deployments[event.deployment] = _created(event)
        elif known is not None and event.kind in CHANGES:
            deployments[event.deployment] = replace(CHANGES[event.kind](known, event), last_seq=event.seq)
    return Present(deployments, last)


def _created(event: Event) -> Deployment:
    data = event.data
    return Deployment(
        id=event.deployment,
        name=data["name"],
        created_at=event.at,
        asked=data.get("asked", {}),
        request=data.get("request", {}),
        last_seq=event.seq,
    )


# ---- attempts


def _attempt_opened(now: Deployment, event: Event) -> Deployment:
    data = event.data
    attempt = Attempt(
        number=data["attempt"],
        token=data["token"],
        account=data["account"],
        principal=data.get("principal", ""),
        offer=offer_from(data["offer"]),
        nodes=data["nodes"],
        opened_at=event.at,
        sent_at=event.at,
        deadline_at=data.get("deadline_epoch_s"),
        endpoint=data.get("endpoint", ""),
        launch=data.get("launch", {}),
        guards=tuple(guard_from(item) for item in data.get("guards", ())),
    )
    known = (*now.attempts, attempt)
    return replace(now, attempts=known, phase="creating", deadline_at=attempt.deadline_at, failure="", message="")


def _on_attempt(now: Deployment, event: Event, **changes: Any) -> Deployment:
    number = event.data["attempt"]
    return replace(now, attempts=tuple(replace(a, **changes) if a.number == number else a for a in now.attempts))


def _tried(now: Deployment, event: Event, offer: Mapping[str, Any], outcome: str) -> Deployment:
    places = {key: offer.get(key, "") for key in ("cloud", "region", "zone", "instance_type", "market")}
    line = {**places, "outcome": outcome, "code": event.data.get("code"), "message": event.data.get("message", "")}
    return replace(now, tried=(*now.tried, line))


def _attempt_tried(now: Deployment, event: Event, outcome: str) -> Deployment:
    offer = now.attempt(event.data["attempt"]).offer
    words = {"cloud": offer.cloud, "region": offer.region, "zone": offer.zone, "market": offer.market}
    return _tried(now, event, {**words, "instance_type": offer.instance_type}, outcome)


def _sent_again(now: Deployment, event: Event) -> Deployment:
    return _on_attempt(now, event, sent_at=event.at, empty_looks=())


def _launched(now: Deployment, event: Event) -> Deployment:
    resources = tuple(resource_from(item) for item in event.data["resources"])
    states = {item.id: item.state for item in resources}
    return _on_attempt(now, event, outcome="made", resources=resources, states=states)


def _refused(now: Deployment, event: Event) -> Deployment:
    data = event.data
    changed = _on_attempt(now, event, outcome=data["code"], message=data.get("message", ""), ended_at=event.at)
    return _attempt_tried(changed, event, data["code"])


def _ambiguous(now: Deployment, event: Event) -> Deployment:
    changes = {"ambiguous": True, "sent_at": event.at, "message": event.data.get("message", ""), "empty_looks": ()}
    return _on_attempt(now, event, **changes)


def _looked(now: Deployment, event: Event) -> Deployment:
    attempt = now.attempt(event.data["attempt"])
    found = tuple(resource_from(item) for item in event.data.get("resources", ()))
    if not found:
        return _on_attempt(now, event, empty_looks=(*attempt.empty_looks, event.at))
    known = {item.id: item for item in (*attempt.resources, *found)}
    states = {**attempt.states, **{item.id: item.state for item in found}}
    seen = attempt.seen | {item.id for item in found}
    return _on_attempt(now, event, empty_looks=(), seen=seen, resources=tuple(known.values()), states=states)


def _settled(now: Deployment, event: Event) -> Deployment:
    changed = _on_attempt(now, event, outcome="settled", ended_at=event.at)
    return _attempt_tried(changed, event, "ambiguous")


def _attempt_failed(now: Deployment, event: Event) -> Deployment:
    data = event.data
    message, kept = data.get("message", ""), bool(data.get("kept"))
    changed = _on_attempt(now, event, failure=data["code"], message=message, kept=kept)
    return _attempt_tried(changed, event, data["code"])


def _attempt_removed(now: Deployment, event: Event) -> Deployment:
    return _on_attempt(now, event, outcome="removed", ended_at=event.at)


def _skipped(now: Deployment, event: Event) -> Deployment:
    changed = replace(now, skipped=(*now.skipped, event.data))
    return _tried(changed, event, event.data["offer"], event.data["code"])


def _proved(now: Deployment, event: Event) -> Deployment:
    attempt = now.attempt(event.data["attempt"])
    keys = {**attempt.host_keys, event.data["rank"]: event.data["host_key"]}
    resources = tuple(_pinned(item, keys) for item in attempt.resources)
    seen = attempt.seen | {item.id for item in attempt.resources if (item.rank or 0) in keys}
    return _on_attempt(now, event, host_keys=keys, resources=resources, seen=seen)


def _pinned(resource: Resource, keys: Mapping[int, str]) -> Resource:
    """With the proved host key in its endpoint: an address that changes does not change the key."""
    key = keys.get(resource.rank or 0) if resource.kind == "machine" else None
    if key is None or resource.endpoint is None:
        return resource
    return replace(resource, endpoint=replace(resource.endpoint, host_key=key))


# ---- the deployment as a whole


def _ready(now: Deployment, event: Event) -> Deployment:
    first = now.ready_at if now.ready_at is not None else event.at
    states = _all_running(now, event)
    changed = _on_attempt(now, event, seen=frozenset(states), states=states)
    if any(line["outcome"] == "ready" for line in now.tried):
        return replace(changed, phase="ready")
    return replace(_attempt_tried(changed, event, "ready"), phase="ready", ready_at=first)


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
    changed = _on_attempt(now, event, states={**attempt.states, **states}, seen=seen)
    if data.get("resources"):
        changed = _endpoints(changed, event)
    if data.get("verdict"):
        changed = replace(changed, phase=data["verdict"])
        changed = _ended(changed, event)
    if data.get("ended_at") is not None:
        changed = _on_attempt(changed, event, ended_at=data["ended_at"])
    if data.get("nothing_left"):
        changed = replace(changed, billing_ended=data.get("ended_at") or event.at)
    return changed


def _endpoints(now: Deployment, event: Event) -> Deployment:
    seen = {item["id"]: resource_from(item) for item in event.data["resources"]}
    attempt = now.attempt(event.data["attempt"])
    known = {item.id: item for item in attempt.resources}
    resources = tuple(_pinned(item, attempt.host_keys) for item in {**known, **seen}.values())
    return _on_attempt(now, event, resources=resources)


def _ended(now: Deployment, event: Event) -> Deployment:
    """Machines that ended by themselves take their runs with them; stopped ones stop costing."""
    stopped_at = event.data.get("ended_at") or event.at
    if event.data["verdict"] == "ready":  # somebody else switched it on again
        return _billed_again(now, event.at)
    pauses = _paused(now, stopped_at)
    word = "preempted" if event.data["verdict"] == "preempted" else "lost"
    runs = tuple(replace(r, state=word, ended_at=stopped_at) if r.open else r for r in now.runs)
    return replace(now, pauses=pauses, runs=runs)


# ---- runs


def _run_created(now: Deployment, event: Event) -> Deployment:
    data = event.data
    run = Run(data["run"], now.id, now.name, data["command"], "syncing", event.at, spec=data)
    return replace(now, runs=(*now.runs, run))


def _on_run(now: Deployment, event: Event, **changes: Any) -> Deployment:
    number = event.data["run"]
    return replace(now, runs=tuple(replace(r, **changes) if r.number == number else r for r in now.runs))


def _run_setup(now: Deployment, event: Event) -> Deployment:
    return _on_run(now, event, state="setup")


def _run_started(now: Deployment, event: Event) -> Deployment:
    return _on_run(now, event, state="running", started_at=event.data.get("at", event.at))


def _run_ended(now: Deployment, event: Event) -> Deployment:
    code = event.data.get("exit_code")
    asked = any(run.number == event.data["run"] and run.cancelled for run in now.runs)
    state = event.data.get("state") or ("succeeded" if code == 0 else "cancelled" if asked else "failed")
    ended_at, setup_failed = event.data.get("at", event.at), bool(event.data.get("setup_failed"))
    return _on_run(now, event, state=state, exit_code=code, ended_at=ended_at, setup_failed=setup_failed)


def _run_cancel_requested(now: Deployment, event: Event) -> Deployment:
    return _on_run(now, event, cancelled=True)


def _run_pulled(now: Deployment, event: Event) -> Deployment:
    return _on_run(now, event, pulled=True)


def _noted(now: Deployment, event: Event) -> Deployment:
    """Facts that only the history needs (requests and refusals of a removal, ingress)."""
    return now


CHANGES: Mapping[str, Change] = {
    "attempt_opened": _attempt_opened,
    "attempt_sent_again": _sent_again,
    "attempt_launched": _launched,
    "attempt_refused": _refused,
    "attempt_ambiguous": _ambiguous,
    "attempt_looked": _looked,
    "attempt_settled": _settled,
    "attempt_failed": _attempt_failed,
    "attempt_removed": _attempt_removed,
    "attempt_skipped": _skipped,
    "node_proved": _proved,
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
    "run_created": _run_created,
    "run_setup": _run_setup,
    "run_started": _run_started,
    "run_cancel_requested": _run_cancel_requested,
    "run_ended": _run_ended,
    "run_pulled": _run_pulled,
}
