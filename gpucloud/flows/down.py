"""`down`: written down first, so that it wins over a running `up`; finished when the cloud has confirmed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from gpucloud.core.cloud import Resource
from gpucloud.core.deployments import Deployment, Present
from gpucloud.core.errors import (
    CleanupIncomplete,
    CredentialsError,
    GpucloudError,
    Interrupted,
    StateConflict,
    WaitTimeout,
)
from gpucloud.core.events import Draft
from gpucloud.core.plan import DownPlan, plan_down, standing, unknown_name
from gpucloud.core.units import iso_utc
from gpucloud.flows.adopt import adopt
from gpucloud.flows.at_once import Answer, at_once
from gpucloud.flows.context import Context
from gpucloud.flows.removal import Removal, remove
from gpucloud.state.locks import deployment_lock


@dataclass(frozen=True)
class DownResult:
    """The deployments afterwards, what was removed, what may still bill, and the error to end with, if any."""

    deployments: tuple[Deployment, ...] = ()
    removed: tuple[Resource, ...] = ()
    remaining: tuple[Resource, ...] = ()
    error: GpucloudError | None = None


def plan(ctx: Context, names: Sequence[str], everything: bool = False) -> DownPlan:
    """What would be removed. Names that the journal does not know are looked for at the clouds, by our tags."""
    planned = plan_down(ctx.journal.present(), names, everything)
    if not (planned.unknown or everything):
        return planned
    found = adopt(ctx, planned.unknown, everything)
    if found.missing:
        raise _not_found(ctx, found.missing[0], found.unscanned)
    if not found.adopted:
        return planned
    return plan_down(ctx.journal.present(), names, everything)


def _not_found(ctx: Context, name: str, unscanned: Mapping[str, str]) -> GpucloudError:
    error = unknown_name(ctx.journal.present(), name)
    regions = [f"{place} ({why.rstrip('.')})" for place, why in unscanned.items() if " " in place]
    clouds = [place for place in unscanned if " " not in place]
    if regions:
        error.hint += f" Not asked: {', '.join(regions)}."
    if clouds:
        error.hint += f" Not asked: {', '.join(clouds)} (`gpucloud check` says why)."
    return error


def down(ctx: Context, planned: DownPlan) -> DownResult:
    """Remove them all; one that fails does not keep the others."""
    for deployment in planned.deployments:
        _cancel(ctx, deployment.id)
    try:
        results = _down_all(ctx, planned.deployments)
    except KeyboardInterrupt:
        raise _interrupted(ctx, planned) from None
    return DownResult(
        deployments=tuple(item for result in results for item in result.deployments),
        removed=tuple(item for result in results for item in result.removed),
        remaining=tuple(item for result in results for item in result.remaining),
        error=worst([result.error for result in results if result.error is not None]),
    )


def _down_all(ctx: Context, deployments: Sequence[Deployment]) -> list[DownResult]:
    """All at once, so that a cloud that hangs keeps only its own; one that is late may still bill."""
    if len(deployments) == 1:
        return [_down_one(ctx, deployments[0])]
    limit_s = ctx.waits.lock + ctx.waits.destroy + 2 * ctx.waits.cloud
    answers = at_once(lambda deployment: _down_one(ctx, deployment), deployments, limit_s)
    return [_or_late(ctx, deployment, answer) for deployment, answer in zip(deployments, answers, strict=True)]


def _or_late(ctx: Context, deployment: Deployment, answer: Answer[DownResult]) -> DownResult:
    error = answer.error
    if error is None or not isinstance(error, GpucloudError):
        return answer.get()
    now = ctx.journal.present().deployments[deployment.id]
    if not isinstance(error, WaitTimeout):
        return DownResult((now,), error=error)
    things = ", ".join(f"{item.kind} {item.id}" for item in standing(now))
    words = f"'{now.name}' could not be removed in time and may still bill: {things or 'nothing that is known'}."
    late = CleanupIncomplete(words, f"Run `gpucloud down {now.name}` again.")
    return DownResult((now,), remaining=standing(now), error=late)


def _interrupted(ctx: Context, planned: DownPlan) -> Interrupted:
    now = [ctx.journal.present().deployments[item.id] for item in planned.deployments]
    things = [f"{thing.kind} {thing.id}" for item in now for thing in standing(item)]
    names = " ".join(item.name for item in now if not item.closed)
    return Interrupted(
        f"Stopped while removing; this may still bill: {', '.join(things) or 'nothing'}.",
        f"`gpucloud down {names}` goes on." if names else "Nothing is left to do.",
    )


def worst(errors: Sequence[GpucloudError]) -> GpucloudError | None:
    """The error that the command ends with: what may still bill comes first."""
    return max(errors, key=lambda error: error.exit_code, default=None)


def _cancel(ctx: Context, deployment_id: str) -> None:
    def decide(present: Present) -> Sequence[Draft]:
        known = present.deployments[deployment_id]
        return [] if known.phase == "down" or known.cancelled else [Draft("deployment_cancelled", deployment_id)]

    ctx.journal.transact(decide)


def _down_one(ctx: Context, deployment: Deployment) -> DownResult:
    with ExitStack() as stack:
        _wait_for_up(ctx, deployment, stack)
        return finish(ctx, deployment)


def finish(ctx: Context, deployment: Deployment) -> DownResult:
    """Remove a cancelled deployment; the caller holds its lock."""
    known = ctx.journal.present().deployments[deployment.id]
    removal = Removal() if known.phase == "down" else remove(ctx, deployment.id)
    if removal.complete:
        clear_traces(ctx, deployment)
        if known.phase != "down":
            ctx.journal.append(Draft("deployment_down", deployment.id))
    now = ctx.journal.present().deployments[deployment.id]
    error = None if removal.complete else incomplete(now, removal)
    return DownResult((now,), removal.removed, removal.remaining, error)


def _wait_for_up(ctx: Context, deployment: Deployment, stack: ExitStack) -> None:
    """Let a running `up` see the cancel event and let go. If it does not, removal goes ahead all the same:
    whatever it may still send leaves an open attempt, and an open attempt is never called gone."""

    def waiting(holder: str) -> None:
        ctx.narrate(f"Waiting for {holder} to let go of {deployment.name}.")

    lock = deployment_lock(ctx.home, deployment.name, "down", ctx.waits.lock, waiting)
    try:
        stack.enter_context(lock)
    except StateConflict as error:
        ctx.narrate(f"{error.message} Going ahead without it.")


def clear_traces(ctx: Context, deployment: Deployment) -> None:
    """Remove what this home kept for it: one-time tokens, and its lines in the SSH files."""
    for left in ctx.home.keys.glob(f"proof-{deployment.id}-*"):
        left.unlink(missing_ok=True)
    ctx.readiness.forget(deployment.name, deployment.id)


def incomplete(deployment: Deployment, removal: Removal) -> GpucloudError:
    """What to end with when a removal is not confirmed: what may still bill, and when doubt ends."""
    if removal.refused is not None:
        words = f"{removal.refused.message} {_what_may_bill(deployment, removal)}"
        return CredentialsError(words, removal.refused.hint)
    return CleanupIncomplete(_what_may_bill(deployment, removal), _when(deployment, removal))


def _what_may_bill(deployment: Deployment, removal: Removal) -> str:
    if removal.remaining:
        things = ", ".join(f"{item.kind} {item.id} in {item.region}" for item in removal.remaining)
        why = f" ({'; '.join(removal.failures)})" if removal.failures else ""
        return f"Of '{deployment.name}' this may still bill: {things}{why}."
    if removal.unscanned:
        places = ", ".join(f"{cloud} {region} ({why})" for (cloud, region), why in removal.unscanned.items())
        return f"Of '{deployment.name}' something may still bill where nobody could look: {places}."
    tries = ", ".join(f"{a.offer.instance_type} in {a.cloud} {a.region}" for a in removal.doubtful)
    return f"Whether '{deployment.name}' got {tries} is not known yet: the request was never answered."


def _when(deployment: Deployment, removal: Removal) -> str:
    again = f"Run `gpucloud down {deployment.name}` again"
    if removal.conclusive_at is None:
        return f"{again}."
    return f"{again} after {iso_utc(removal.conclusive_at)}: then a look is conclusive."
