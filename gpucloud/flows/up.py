"""`up`: from a plan to a deployment that is ready, and what is said when the way there is cut short."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpucloud.core.answers import attempts_json
from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.deployments import Deployment, Present
from gpucloud.core.errors import CleanupIncomplete, GpucloudError, Interrupted, StateConflict
from gpucloud.core.events import Draft
from gpucloud.core.names import ID_BYTES, deployment_id
from gpucloud.core.plan import UpPlan, UpRequest, end_of, offer_deadline, plan_up, refuse_stale, standing
from gpucloud.flows import down
from gpucloud.flows.ahead import Ahead
from gpucloud.flows.apply import Cancelled
from gpucloud.flows.context import Context
from gpucloud.flows.guarding import guards_of, outline_of
from gpucloud.flows.interrupts import InterruptedTwice, Interrupts
from gpucloud.flows.journey import Journey, Stopped
from gpucloud.state.journal import JournalError
from gpucloud.state.locks import deployment_lock


@dataclass(frozen=True)
class UpResult:
    """The deployment, ready, and whether it was there before."""

    deployment: Deployment
    existed: bool = False


def plan(ctx: Context, request: UpRequest) -> UpPlan:
    """What `up` would do; needs no credentials and no network. Raises StateConflict for a taken name."""
    now = ctx.clock()
    planned = plan_up(ctx.journal.present(), request, ctx.journal.identity, now)
    if planned.existing is not None:
        return planned
    spec = _draft_spec(request, now)
    provider = ctx.clouds.open(spec.offer.cloud)
    guards, outline = guards_of(provider, spec), outline_of(provider, spec)
    return plan_up(ctx.journal.present(), request, ctx.journal.identity, now, guards, outline)


UNDECIDED = "x" * 8  # where an id will have its random letters


def _draft_spec(request: UpRequest, now: float) -> LaunchSpec:
    offer = request.offers[0]
    return LaunchSpec(
        deployment_id=f"{request.name}-{UNDECIDED}",
        name=request.name,
        attempt=1,
        token="",
        offer=offer,
        nodes=request.nodes,
        tags={},
        public_key="",
        deadline_epoch_s=offer_deadline(request, offer, now),
        idle_s=request.idle_s,
        at_end=end_of(request, offer),
        image=request.image,
        disk_gib=request.disk_gib,
        ssh_from=request.ssh_from,
        options=request.options,
    )


def up(ctx: Context, planned: UpPlan, ahead: Ahead | None = None) -> UpResult:
    """Carry out the plan. Errors: see core.errors; those after a first attempt carry `attempts`.

    `ahead` is what was begun while the plan was on screen.
    """
    name = planned.request.name
    with deployment_lock(ctx.home, name, "up"), Interrupts(ctx.narrate) as interrupts:
        deployment = _begin(ctx, planned)
        quotas = ahead.quotas if ahead is not None else None
        journey = Journey(_sleeping(ctx, interrupts), planned.request, deployment.id, interrupts, quotas)
        try:
            journey.travel()
        except Stopped:
            _after_interrupt(ctx, deployment.id, interrupts)
        except (InterruptedTwice, KeyboardInterrupt):
            raise _interrupted(ctx, deployment.id) from None
        except Cancelled:
            hint = "`gpucloud ls` shows what is left."
            raise StateConflict(f"'{name}' was taken down while it came up.", hint) from None
        except GpucloudError as error:
            _close_if_empty(ctx, deployment.id, error)
            raise _with_attempts(ctx, deployment.id, error) from error
        ready = ctx.journal.present().deployments[deployment.id]
        return UpResult(ready, planned.existing is not None)


def _sleeping(ctx: Context, interrupts: Interrupts) -> Context:
    """With a sleep that a signal ends, unless a test brought its own."""
    return replace(ctx, sleep=interrupts.sleep) if ctx.sleep is time.sleep else ctx


def _begin(ctx: Context, planned: UpPlan) -> Deployment:
    """Write down that the deployment is wanted, or find the one that the plan continues."""
    request, known = planned.request, planned.existing
    new_id = deployment_id(request.name, ctx.random(ID_BYTES))

    def decide(present: Present) -> Sequence[Draft]:
        now = present.named(request.name)
        if known is not None:
            seq = now.last_seq if now is not None and now.id == known.id else -1
            refuse_stale(planned.basis, ctx.journal.identity, seq, request.name)
            return []
        taken = now.last_seq if now is not None and not now.closed else 0
        refuse_stale(planned.basis, ctx.journal.identity, taken, request.name)
        data = {"name": request.name, "asked": dict(request.asked), "request": request.record()}
        return [Draft("deployment_created", new_id, data)]

    present = ctx.journal.transact(decide)
    return present.deployments[known.id if known is not None else new_id]


def _after_interrupt(ctx: Context, identifier: str, interrupts: Interrupts) -> None:
    """The call at hand is finished: remove what exists, or say what is left. Always raises."""
    interrupts.answered()
    now = ctx.journal.present().deployments[identifier]
    try:
        if not ctx.ask_remove(f"Remove what '{now.name}' has so far?"):
            raise _interrupted(ctx, identifier)
        ctx.journal.append(Draft("deployment_cancelled", identifier))
        result = down.finish(ctx, now)
    except (InterruptedTwice, KeyboardInterrupt):
        raise _interrupted(ctx, identifier) from None
    if result.error is not None:
        raise result.error
    raise Interrupted(f"Stopped; '{now.name}' is removed and nothing of it bills.", "Nothing is left to do.")


def _interrupted(ctx: Context, identifier: str) -> Interrupted:
    now = ctx.journal.present().deployments[identifier]
    things = ", ".join(f"{item.kind} {item.id}" for item in standing(now))
    doubt = ", ".join(f"{a.offer.instance_type} in {a.region} (token {a.token})" for a in now.open_attempts)
    exists = "; ".join(part for part in (things, f"perhaps {doubt}" if doubt else "") if part) or "nothing"
    return Interrupted(
        f"Stopped; of '{now.name}' there is: {exists}.",
        f"`gpucloud up {now.name}` continues, `gpucloud down {now.name}` removes it.",
    )


def _close_if_empty(ctx: Context, identifier: str, error: GpucloudError) -> None:
    """A deployment of which nothing was ever sent has failed, so that its name is free again."""

    def decide(present: Present) -> Sequence[Draft]:
        now = present.deployments[identifier]
        if now.phase != "planned" or now.attempts:
            return []
        return [Draft("deployment_failed", identifier, {"code": error.code, "message": error.message})]

    if not isinstance(error, JournalError):
        ctx.journal.transact(decide)


def _with_attempts(ctx: Context, identifier: str, error: GpucloudError) -> GpucloudError:
    """The error with the list of attempts; what may still bill is named even when the journal is stuck."""
    now = ctx.journal.present().deployments[identifier]
    error.details.setdefault("attempts", attempts_json(now))
    if isinstance(error, JournalError) and (now.open_attempts or standing(now)):
        ids = ", ".join([*(item.id for item in standing(now)), *(f"token {a.token}" for a in now.open_attempts)])
        hint = f"{error.hint} Then `gpucloud down {now.name}`."
        return CleanupIncomplete(f"{error.message} '{now.name}' may bill: {ids}.", hint, **error.details)
    return error
