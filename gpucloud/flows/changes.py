"""`stop`, `start`, `extend` and `allow`: one step on machines that are there, then its confirmation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import cast

from gpucloud.core.budget import left_usd, overrun
from gpucloud.core.cloud import Guard, LaunchSpec
from gpucloud.core.deployments import Attempt, Deployment
from gpucloud.core.errors import CleanupIncomplete, StateConflict, ThrottledError, UsageError, WaitTimeout
from gpucloud.core.events import Draft
from gpucloud.core.guards import DEFAULT_MAX_S, deadline_epoch_s, default_guards
from gpucloud.core.launches import launch_again
from gpucloud.core.plan import Allow, ChangePlan, Extend, Start, Stop, find_deployment, plan_change, refuse_stale
from gpucloud.core.records import resource_record
from gpucloud.flows.apply import Interpreter
from gpucloud.flows.context import Context
from gpucloud.flows.deadlines import move_inside
from gpucloud.flows.guarding import guards_of
from gpucloud.flows.looks import Look, look
from gpucloud.flows.pace import Pace
from gpucloud.flows.ready import greet_all, reachable
from gpucloud.flows.recover import ask_lost_runs
from gpucloud.state.locks import deployment_lock

RUNNING = ("ready",)


def plan_stop(ctx: Context, name: str | None) -> ChangePlan:
    """Switch off, disk kept."""
    deployment = find_deployment(ctx.journal.present(), name)
    allowed = ("ready", "stopping", "stopped")
    return plan_change(deployment, Stop(deployment.machines), ctx.journal.identity, allowed, "stopped")


def plan_start(
    ctx: Context, name: str | None, max_s: float | None = None, budget_usd: float | None = None
) -> ChangePlan:
    """Switch on again, with a new deadline: `max_s` from now (0 = none), else what `up` was given.

    `budget_usd` is a new budget for all of it; a budget that is used up is refused.
    """
    deployment = find_deployment(ctx.journal.present(), name)
    deadline = _new_deadline(ctx, deployment, max_s, budget_usd)
    step = Start(deployment.machines, deadline, _guards(ctx, deployment, deadline), budget_usd)
    allowed = ("stopped", "starting", "ended_by_guard", "ready", *_down_but_there(deployment))
    return plan_change(deployment, step, ctx.journal.identity, allowed, "started")


def _down_but_there(deployment: Deployment) -> tuple[str, ...]:
    """A lost deployment whose machines still exist (a local one after a restart of this computer) can be started."""
    states = [deployment.current.states.get(item.id) for item in deployment.machines] if deployment.current else []
    return ("lost",) if states and all(state == "failed" for state in states) else ()


def _new_deadline(ctx: Context, deployment: Deployment, max_s: float | None, budget_usd: float | None) -> float | None:
    now, request, current = ctx.clock(), deployment.request, deployment.current
    limit = request.get("max_s", DEFAULT_MAX_S) if max_s is None else max_s
    budget = request.get("budget_usd") if budget_usd is None else budget_usd
    left = left_usd(deployment, now, budget)
    if left == 0 and deployment.state != "ready" and not (current and current.most_usd_per_hour == 0):
        raise StateConflict(
            f"The budget of '{deployment.name}', {budget:,.2f} USD, is used up.",
            f"`gpucloud start {deployment.name} --budget USD` gives it a new one; what is spent already counts.",
        )
    return deadline_epoch_s(now, limit, left, current.most_usd_per_hour if current else None)


def plan_extend(ctx: Context, name: str | None, seconds: float, budget_usd: float | None = None) -> ChangePlan:
    """Move the deadline by that much; a deadline in the past counts as now.

    Where the budget (`budget_usd` is a new one) does not pay for that, the plan has an `overrun`, and carrying
    it out raises the budget to what does. A new budget that is still too small is a UsageError.
    """
    deployment = find_deployment(ctx.journal.present(), name)
    if deployment.deadline_at is None and deployment.state in RUNNING:
        raise StateConflict(f"'{deployment.name}' has no deadline to extend.", "It runs until `gpucloud down`.")
    deadline = max(ctx.clock(), deployment.deadline_at or 0.0) + seconds
    known = deployment.request.get("budget_usd")
    over = overrun(deployment, deadline, ctx.clock(), known if budget_usd is None else budget_usd)
    if over is not None and budget_usd is not None:
        raise UsageError(over.sentence, f"Give at least --budget {over.enough_usd:.2f}, or less time.")
    raised = over.enough_usd if over is not None else budget_usd
    step = Extend(deployment.machines, deadline, _guards(ctx, deployment, deadline), raised)
    planned = plan_change(deployment, step, ctx.journal.identity, RUNNING, "extended")
    return replace(planned, overrun=over)


def plan_allow(ctx: Context, name: str | None, cidrs: Sequence[str]) -> ChangePlan:
    """Open SSH to these addresses, and to no others."""
    deployment = find_deployment(ctx.journal.present(), name)
    return plan_change(deployment, Allow(tuple(cidrs)), ctx.journal.identity, RUNNING, "opened to an address")


def _guards(ctx: Context, deployment: Deployment, deadline: float | None) -> tuple[Guard, ...]:
    attempt = deployment.current
    if attempt is None or not attempt.launch:
        idle_s, at_end = deployment.request.get("idle_s"), deployment.request.get("at_end") or "stop"
        return default_guards(deadline, idle_s, at_end)
    spec: LaunchSpec = replace(launch_again(deployment, attempt, ""), deadline_epoch_s=deadline)
    return guards_of(ctx.clouds.open(attempt.cloud), spec)


def stop(ctx: Context, planned: ChangePlan) -> Deployment:
    """Stop, and wait until the cloud says that nothing but the disk bills. CleanupIncomplete otherwise."""
    with _locked(ctx, planned, "stop"):
        if planned.deployment.state != "stopped":
            _carry_out(ctx, planned)
            _until_stopped(ctx, planned.deployment.id)
    return _now(ctx, planned)


def start(ctx: Context, planned: ChangePlan) -> Deployment:
    """Start, and wait until every node answers with the host key it had."""
    with _locked(ctx, planned, "start"):
        start_locked(ctx, planned)
    return _now(ctx, planned)


def start_locked(ctx: Context, planned: ChangePlan) -> None:
    """`start` for a caller that holds the lock."""
    if planned.deployment.state == "ready":
        return
    _carry_out(ctx, planned)
    _until_running(ctx, planned.deployment.id)
    deployment = _now(ctx, planned)
    if reachable(ctx, _attempt(deployment)):
        greet_all(ctx, deployment, ctx.waits.change)
        move_inside(ctx, deployment, deployment.deadline_at, planned.deployment.deadline_at)
        ctx.readiness.remember(deployment.name, deployment.id, deployment.machines)
    ctx.journal.append(Draft("started", deployment.id))
    if ctx.dial is not None and reachable(ctx, _attempt(deployment)):
        ask_lost_runs(ctx, ctx.dial, _now(ctx, planned))


def extend(ctx: Context, planned: ChangePlan) -> Deployment:
    """Move the deadline in every machine, then at the provider. Unreachable: a machine keeps its old end."""
    step, before = cast(Extend, planned.step), planned.deployment.deadline_at
    with _locked(ctx, planned, "extend"):
        _carry_out(ctx, planned, lambda: move_inside(ctx, _now(ctx, planned), step.deadline_epoch_s, before))
    return _now(ctx, planned)


def allow(ctx: Context, planned: ChangePlan) -> Deployment:
    """Change who may connect."""
    with _locked(ctx, planned, "allow"):
        _carry_out(ctx, planned)
    return _now(ctx, planned)


def _locked(ctx: Context, planned: ChangePlan, verb: str) -> AbstractContextManager[None]:
    return deployment_lock(ctx.home, planned.deployment.name, verb)


def _carry_out(ctx: Context, planned: ChangePlan, first: Callable[[], None] | None = None) -> None:
    deployment = _now(ctx, planned)
    refuse_stale(planned.basis, ctx.journal.identity, deployment.last_seq, deployment.name)
    attempt = _attempt(deployment)
    provider = ctx.clouds.of_account(attempt.cloud, attempt.account)
    Interpreter(ctx, deployment.id, provider, first=first).carry_out(planned.step)


def _now(ctx: Context, planned: ChangePlan) -> Deployment:
    return ctx.journal.present().deployments[planned.deployment.id]


def _attempt(deployment: Deployment) -> Attempt:
    attempt = deployment.current
    if attempt is None:
        raise StateConflict(f"'{deployment.name}' has no machines.", "See `gpucloud ls --refresh`.")
    return attempt


def _until_stopped(ctx: Context, deployment_id: str) -> None:
    seen = _until(ctx, deployment_id, ("stopped", "gone", "preempted"), needs_address=False)
    if seen is None:
        name = ctx.journal.present().deployments[deployment_id].name
        message = f"'{name}' is not confirmed to be stopped; it may still bill."
        raise CleanupIncomplete(message, f"Run `gpucloud stop {name}` again.")
    ctx.journal.append(Draft("stopped", deployment_id))


def _until_running(ctx: Context, deployment_id: str) -> None:
    deployment = ctx.journal.present().deployments[deployment_id]
    attempt = _attempt(deployment)
    seen = _until(ctx, deployment_id, ("running",), needs_address=reachable(ctx, attempt))
    if seen is None:
        hint = f"`gpucloud start {deployment.name}` tries again."
        raise WaitTimeout(f"'{deployment.name}' did not start in time.", hint)
    found = seen.of_attempt(attempt)
    states = {item.id: item.state for item in found if item.kind == "machine"}
    records = [resource_record(item) for item in found]
    ctx.journal.append(
        Draft("nodes_seen", deployment_id, {"attempt": attempt.number, "states": states, "resources": records})
    )


def _until(ctx: Context, deployment_id: str, wanted: Sequence[str], needs_address: bool) -> Look | None:
    """The first look in which every machine is as wanted, None when that takes too long."""
    pace, end = Pace(ctx), ctx.clock() + ctx.waits.change
    while ctx.clock() < end:
        wait_s = 0.0
        deployment = ctx.journal.present().deployments[deployment_id]
        try:
            seen = look(ctx, deployment)
        except ThrottledError as error:
            seen, wait_s = Look(), error.retry_after_s
        if _all_as_wanted(deployment, seen, wanted, needs_address):
            return seen
        pace.pause(wait_s)
    return None


def _all_as_wanted(deployment: Deployment, seen: Look, wanted: Sequence[str], needs_address: bool) -> bool:
    attempt = _attempt(deployment)
    if not seen.answered(attempt):
        return False
    found = {item.id: item for item in seen.found}
    states = [found[m.id].state if m.id in found else "gone" for m in deployment.machines]
    addressed = all(m.id in found and found[m.id].endpoint for m in deployment.machines)
    return all(state in wanted for state in states) and (addressed or not needs_address)
