"""The present as a fold over events: one small pure function per kind of event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gpucloud.core.deployments import Deployment, Present
from gpucloud.core.events import Event
from gpucloud.core.fold_attempts import ATTEMPT_CHANGES, Change
from gpucloud.core.fold_deployment import DEPLOYMENT_CHANGES
from gpucloud.core.fold_runs import RUN_CHANGES

CHANGES: Mapping[str, Change] = {**ATTEMPT_CHANGES, **DEPLOYMENT_CHANGES, **RUN_CHANGES}


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
