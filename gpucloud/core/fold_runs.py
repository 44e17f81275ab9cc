"""What each event of a run changes: from the sync to its end, and what was brought home."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gpucloud.core.deployments import Deployment, Run
from gpucloud.core.events import Event
from gpucloud.core.fold_attempts import Change


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


RUN_CHANGES: Mapping[str, Change] = {
    "run_created": _run_created,
    "run_setup": _run_setup,
    "run_started": _run_started,
    "run_cancel_requested": _run_cancel_requested,
    "run_ended": _run_ended,
    "run_pulled": _run_pulled,
}
