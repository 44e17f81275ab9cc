"""What each event of an attempt changes: the intent, the answer, the looks, the proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gpucloud.core.cloud import Resource
from gpucloud.core.deployments import Attempt, Deployment
from gpucloud.core.events import Event
from gpucloud.core.records import guard_from, offer_from, resource_from

Change = Callable[[Deployment, Event], Deployment]


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


def on_attempt(now: Deployment, event: Event, **changes: Any) -> Deployment:
    """With those fields of the event's attempt changed."""
    number = event.data["attempt"]
    return replace(now, attempts=tuple(replace(a, **changes) if a.number == number else a for a in now.attempts))


def _tried(now: Deployment, event: Event, offer: Mapping[str, Any], outcome: str) -> Deployment:
    places = {key: offer.get(key, "") for key in ("cloud", "region", "zone", "instance_type", "market")}
    line = {**places, "outcome": outcome, "code": event.data.get("code"), "message": event.data.get("message", "")}
    return replace(now, tried=(*now.tried, line))


def attempt_tried(now: Deployment, event: Event, outcome: str) -> Deployment:
    """With a line in the list of what was tried, in the words of the attempt's offer."""
    offer = now.attempt(event.data["attempt"]).offer
    words = {"cloud": offer.cloud, "region": offer.region, "zone": offer.zone, "market": offer.market}
    return _tried(now, event, {**words, "instance_type": offer.instance_type}, outcome)


def _sent_again(now: Deployment, event: Event) -> Deployment:
    return on_attempt(now, event, sent_at=event.at, empty_looks=())


def _launched(now: Deployment, event: Event) -> Deployment:
    resources = tuple(resource_from(item) for item in event.data["resources"])
    states = {item.id: item.state for item in resources}
    return on_attempt(now, event, outcome="made", resources=resources, states=states)


def _refused(now: Deployment, event: Event) -> Deployment:
    data = event.data
    changed = on_attempt(now, event, outcome=data["code"], message=data.get("message", ""), ended_at=event.at)
    return attempt_tried(changed, event, data["code"])


def _ambiguous(now: Deployment, event: Event) -> Deployment:
    changes = {"ambiguous": True, "sent_at": event.at, "message": event.data.get("message", ""), "empty_looks": ()}
    return on_attempt(now, event, **changes)


def _looked(now: Deployment, event: Event) -> Deployment:
    attempt = now.attempt(event.data["attempt"])
    found = tuple(resource_from(item) for item in event.data.get("resources", ()))
    if not found:
        return on_attempt(now, event, empty_looks=(*attempt.empty_looks, event.at))
    known = {item.id: item for item in (*attempt.resources, *found)}
    states = {**attempt.states, **{item.id: item.state for item in found}}
    seen = attempt.seen | {item.id for item in found}
    return on_attempt(now, event, empty_looks=(), seen=seen, resources=tuple(known.values()), states=states)


def _settled(now: Deployment, event: Event) -> Deployment:
    changed = on_attempt(now, event, outcome="settled", ended_at=event.at)
    return attempt_tried(changed, event, "ambiguous")


def _attempt_failed(now: Deployment, event: Event) -> Deployment:
    data = event.data
    message, kept = data.get("message", ""), bool(data.get("kept"))
    changed = on_attempt(now, event, failure=data["code"], message=message, kept=kept)
    return attempt_tried(changed, event, data["code"])


def _attempt_removed(now: Deployment, event: Event) -> Deployment:
    return on_attempt(now, event, outcome="removed", ended_at=event.at)


def _skipped(now: Deployment, event: Event) -> Deployment:
    changed = replace(now, skipped=(*now.skipped, event.data))
    return _tried(changed, event, event.data["offer"], event.data["code"])


def _proved(now: Deployment, event: Event) -> Deployment:
    attempt = now.attempt(event.data["attempt"])
    keys = {**attempt.host_keys, event.data["rank"]: event.data["host_key"]}
    resources = tuple(pinned(item, keys) for item in attempt.resources)
    seen = attempt.seen | {item.id for item in attempt.resources if (item.rank or 0) in keys}
    return on_attempt(now, event, host_keys=keys, resources=resources, seen=seen)


def pinned(resource: Resource, keys: Mapping[int, str]) -> Resource:
    """With the proved host key in its endpoint: an address that changes does not change the key."""
    key = keys.get(resource.rank or 0) if resource.kind == "machine" else None
    if key is None or resource.endpoint is None:
        return resource
    return replace(resource, endpoint=replace(resource.endpoint, host_key=key))


ATTEMPT_CHANGES: Mapping[str, Change] = {
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
}
