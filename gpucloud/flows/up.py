"""`up`: try the offers in order until one gives machines that prove themselves; every try is an event."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpucloud.core.answers import attempts_json
from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.deployments import ENDED, Attempt, Deployment, Present
from gpucloud.core.errors import (
    AmbiguousError,
    CleanupIncomplete,
    GpucloudError,
    Interrupted,
    StateConflict,
    ThrottledError,
)
from gpucloud.core.events import Draft
from gpucloud.core.failover import RuledOut, goes_on, nothing_started
from gpucloud.core.launches import launch_again, launch_spec
from gpucloud.core.names import ID_BYTES, deployment_id
from gpucloud.core.offers import Offer
from gpucloud.core.plan import Launch, UpPlan, UpRequest, offer_deadline, plan_up, refuse_stale, standing
from gpucloud.core.records import offer_record
from gpucloud.core.units import iso_utc, show_duration
from gpucloud.flows import changes, down
from gpucloud.flows.apply import Cancelled, Interpreter
from gpucloud.flows.context import Context
from gpucloud.flows.guarding import guards_of
from gpucloud.flows.interrupts import InterruptedTwice, Interrupts
from gpucloud.flows.looks import look, note_look
from gpucloud.flows.ready import make_ready
from gpucloud.flows.refresh import refresh_locked
from gpucloud.flows.removal import remove
from gpucloud.state.home import write_private
from gpucloud.state.journal import JournalError
from gpucloud.state.locks import deployment_lock

LAUNCH_TRIES = 3  # sendings of one token when the answer is lost


@dataclass(frozen=True)
class UpResult:
    """The deployment, ready, and whether it was there before."""

    deployment: Deployment
    existed: bool = False


class _Stopped(Exception):
    """The user pressed Ctrl-C: what was being done is finished, and nothing new begins."""


def plan(ctx: Context, request: UpRequest) -> UpPlan:
    """What `up` would do; needs no credentials and no network. Raises StateConflict for a taken name."""
    now = ctx.clock()
    planned = plan_up(ctx.journal.present(), request, ctx.journal.identity, now)
    if planned.existing is not None:
        return planned
    spec = _draft_spec(request, now)
    guards = guards_of(ctx.clouds.open(spec.offer.cloud), spec)
    return plan_up(ctx.journal.present(), request, ctx.journal.identity, now, guards)


def _draft_spec(request: UpRequest, now: float) -> LaunchSpec:
    offer = request.offers[0]
    return LaunchSpec(
        deployment_id="",
        name=request.name,
        attempt=1,
        token="",
        offer=offer,
        nodes=request.nodes,
        tags={},
        public_key="",
        deadline_epoch_s=offer_deadline(request, offer, now),
        idle_s=request.idle_s,
        at_end=request.at_end,
        options=request.options,
    )


def up(ctx: Context, planned: UpPlan) -> UpResult:
    """Carry out the plan. Errors: see core.errors; those after a first attempt carry `attempts`."""
    name = planned.request.name
    with deployment_lock(ctx.home, name, "up"), Interrupts(ctx.narrate) as interrupts:
        deployment = _begin(ctx, planned)
        journey = _Journey(_sleeping(ctx, interrupts), planned.request, deployment.id, interrupts)
        try:
            journey.travel()
        except _Stopped:
            _after_interrupt(ctx, deployment.id, interrupts)
        except (InterruptedTwice, KeyboardInterrupt):
            raise _interrupted(ctx, deployment.id) from None
        except Cancelled:
            hint = "`gpucloud ls` shows what is left."
            raise StateConflict(f"'{name}' was taken down while it came up.", hint) from None
        except GpucloudError as error:
            raise _with_attempts(ctx, deployment.id, error) from error
        ready = ctx.journal.present().deployments[deployment.id]
        return UpResult(ready, planned.existing is not None)


def _sleeping(ctx: Context, interrupts: Interrupts) -> Context:
    """With a sleep that a signal ends, unless a test brought its own."""
    import time

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
    interrupts.reset()
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


def _with_attempts(ctx: Context, identifier: str, error: GpucloudError) -> GpucloudError:
    """The error with the list of attempts; what may still bill is named even when the journal is stuck."""
    now = ctx.journal.present().deployments[identifier]
    error.details.setdefault("attempts", attempts_json(now))
    if isinstance(error, JournalError) and (now.open_attempts or standing(now)):
        ids = ", ".join([*(item.id for item in standing(now)), *(f"token {a.token}" for a in now.open_attempts)])
        hint = f"{error.hint} Then `gpucloud down {now.name}`."
        return CleanupIncomplete(f"{error.message} '{now.name}' may bill: {ids}.", hint, **error.details)
    return error


class _Journey:
    """One `up` under way: the request, the deployment, and what has been ruled out so far."""

    def __init__(self, ctx: Context, request: UpRequest, identifier: str, interrupts: Interrupts) -> None:
        self._ctx, self._request, self._id, self._interrupts = ctx, request, identifier, interrupts
        self._hints: dict[str, str] = {}  # the newest next step for each kind of refusal

    def _now(self) -> Deployment:
        return self._ctx.journal.present().deployments[self._id]

    def _check(self) -> None:
        """`down` wins, and so does the user: asked before and after every effect."""
        if self._now().cancelled:
            raise Cancelled(self._id)
        if self._interrupts.pending:
            raise _Stopped

    def travel(self) -> None:
        """Until it is ready; raises otherwise."""
        state = self._now().state
        if state == "ready":
            state = self._still_ready()
        if state == "ready":
            return
        if state in ("stopped", "starting", "ended_by_guard"):
            changes.start_locked(self._ctx, changes.plan_start(self._ctx, self._request.name))
            return
        if state == "stopping":
            raise StateConflict(f"'{self._request.name}' is being stopped.", "Wait until `gpucloud ls` says stopped.")
        if state in ENDED:
            name = self._request.name
            raise StateConflict(f"'{name}' is {state} by now.", f"Remove it with `gpucloud down {name}` first.")
        if not self._continued():
            self._rounds()
        self._check()

    def _still_ready(self) -> str:
        """What the cloud says of machines that the journal calls ready."""
        refresh_locked(self._ctx, self._id)
        return self._now().state

    def _continued(self) -> bool:
        """Finish what an earlier `up` left behind: unanswered requests first, then unproved machines."""
        for attempt in self._now().open_attempts:
            self._check()
            self._resolve(attempt)
        current = self._now().current
        if current is None or not current.made:
            return False
        if current.failure:  # its removal was cut short
            self._clear(current.number, current.failure, current.message)
            return False
        return self._settle_in(current.number)

    def _rounds(self) -> None:
        """The whole list, again and again while `--wait-capacity` lasts."""
        end = self._ctx.clock() + self._request.wait_capacity_s
        while not self._one_round():
            short = any(line["outcome"] == "capacity" for line in self._now().tried)
            if not short or self._ctx.clock() + self._ctx.waits.capacity > end:
                self._give_up()
            self._ctx.narrate(f"No capacity anywhere; the next round is in {show_duration(self._ctx.waits.capacity)}.")
            self._ctx.sleep(self._ctx.waits.capacity)
            self._check()

    def _give_up(self) -> None:
        error = nothing_started(self._now().tried, self._hints)
        self._fail(error.code, error.message)
        raise error

    def _fail(self, code: str, message: str) -> None:
        self._ctx.journal.append(Draft("deployment_failed", self._id, {"code": code, "message": message}))

    def _one_round(self) -> bool:
        ruled_out = RuledOut()
        for offer in self._request.offers:
            if ruled_out.covers(offer):
                continue
            self._check()
            code = self._try(offer)
            if not code:
                return True
            ruled_out = ruled_out.after(code, offer)
        return False

    def _try(self, offer: Offer) -> str:
        """One offer: empty when it is ready, else the code of what went wrong; errors that end all are raised."""
        try:
            step = self._step(offer)
        except GpucloudError as error:
            return self._skipped(offer, error)
        self._ctx.narrate(f"Asking {_words(offer)} for {self._request.nodes} × {offer.instance_type}.")
        try:
            self._launch(step)
        except JournalError:
            raise  # the journal could not be written: nothing more is begun
        except GpucloudError as error:
            return self._refused(offer, step.spec.attempt, error)
        return "" if self._settle_in(step.spec.attempt) else "bootstrap"

    def _step(self, offer: Offer) -> Launch:
        """The create request of the next attempt, its one-time token safely on the disk."""
        ctx = self._ctx
        identity, number = ctx.clouds.identity(offer.cloud), len(self._now().attempts) + 1
        proof_token = secrets.token_hex(32)
        spec = launch_spec(
            self._request,
            self._id,
            number,
            offer,
            home_id=ctx.home.home_id(),
            identity=identity,
            public_key=ctx.public_key(),
            proof_token=proof_token,
            now=ctx.clock(),
        )
        write_private(ctx.home.proof_file(self._id, number), proof_token.encode())
        guards = guards_of(ctx.clouds.open(offer.cloud), spec)
        return Launch(spec, identity.account, identity.principal, identity.endpoint, guards)

    def _skipped(self, offer: Offer, error: GpucloudError) -> str:
        if not goes_on(error.code):
            raise error
        data = {"offer": offer_record(offer), "code": error.code, "message": error.message}
        self._ctx.journal.append(Draft("attempt_skipped", self._id, data))
        self._ctx.narrate(f"{_words(offer)}: {error.message} {error.hint}")
        self._hints[error.code] = error.hint
        return error.code

    def _refused(self, offer: Offer, number: int, error: GpucloudError) -> str:
        self._ctx.narrate(f"{_words(offer)}: {error.message}")
        attempt = self._now().attempt(number)
        if attempt.open:
            raise self._unsettled(attempt, error)
        self._ctx.home.proof_file(self._id, number).unlink(missing_ok=True)
        self._hints[error.code] = error.hint
        if not goes_on(error.code):
            self._fail(error.code, error.message)
            raise error
        return error.code

    def _unsettled(self, attempt: Attempt, error: GpucloudError) -> GpucloudError:
        when = iso_utc(attempt.conclusive_at(self._ctx.waits.settling, self._ctx.clock()))
        name = self._request.name
        return AmbiguousError(
            f"Whether {_words(attempt.offer)} made the machine is not known: {error.message}",
            f"`gpucloud up {name}` looks again and goes on, `gpucloud down {name}` gives up;"
            f" after {when} a look is conclusive.",
        )

    # ---- one launch

    def _launch(self, step: Launch) -> None:
        """Send the request; wait when throttled, look and send the same token again when unanswered."""
        interpreter = Interpreter(self._ctx, self._id, self._ctx.clouds.open(step.spec.offer.cloud))
        patience, tries = self._ctx.clock() + self._ctx.waits.throttle, 1
        while True:
            try:
                interpreter.carry_out(step)
                return self._check()
            except ThrottledError as error:
                self._wait_or_give_up(step.spec, error, patience)
            except AmbiguousError:
                if self._found(step.spec.attempt):
                    return None
                if tries >= LAUNCH_TRIES:
                    raise
                tries += 1
                self._ctx.sleep(self._ctx.waits.poll)
            step = replace(step, again=True)
            self._check()

    def _wait_or_give_up(self, spec: LaunchSpec, error: ThrottledError, patience: float) -> None:
        if self._ctx.clock() + error.retry_after_s < patience:
            self._ctx.narrate(f"{_words(spec.offer)}: too many requests; again in {error.retry_after_s:g} s.")
            self._ctx.sleep(error.retry_after_s)
            return
        if not self._now().attempt(spec.attempt).ambiguous:
            data = {"attempt": spec.attempt, "code": error.code, "message": error.message}
            self._ctx.journal.append(Draft("attempt_refused", self._id, data))
        raise error

    def _found(self, number: int) -> bool:
        """Whether a look by our tag shows all machines of the attempt."""
        now = note_look(self._ctx, self._id, look(self._ctx, self._now()))
        return now.attempt(number).made

    def _resolve(self, attempt: Attempt) -> None:
        """What became of a request that an earlier process sent: found, settled, or sent again by its token."""
        if not attempt.ambiguous:
            message = "the command that sent it ended before the answer"
            data = {"attempt": attempt.number, "message": message}
            self._ctx.journal.append(Draft("attempt_ambiguous", self._id, data))
        if self._found(attempt.number):
            return
        if self._now().attempt(attempt.number).settled_by(self._ctx.waits.settling):
            self._ctx.journal.append(Draft("attempt_settled", self._id, {"attempt": attempt.number}))
            return
        self._send_again(attempt)

    def _send_again(self, attempt: Attempt) -> None:
        try:
            token = self._ctx.home.proof_file(self._id, attempt.number).read_text()
        except FileNotFoundError:
            raise self._unsettled(attempt, AmbiguousError("its one-time token is gone.")) from None
        self._ctx.clouds.of_account(attempt.cloud, attempt.account)
        spec = launch_again(self._now(), attempt, token)
        step = Launch(spec, attempt.account, attempt.principal, attempt.endpoint, attempt.guards, again=True)
        try:
            self._launch(step)
        except GpucloudError as error:
            raise self._unsettled(self._now().attempt(attempt.number), error) from error

    # ---- machines that exist

    def _settle_in(self, number: int) -> bool:
        """Wait for the proof. False when the machines are useless and removed, so that the next offer is tried."""
        try:
            make_ready(self._ctx, self._id, self._request.ready_timeout_s, self._check)
        except GpucloudError as error:
            self._failed(number, error)
            if error.code not in ("bootstrap", "capacity"):
                raise
            return False
        return True

    def _failed(self, number: int, error: GpucloudError) -> None:
        keep = self._request.keep
        data = {"attempt": number, "code": error.code, "message": error.message, "kept": keep}
        self._ctx.journal.append(Draft("attempt_failed", self._id, data))
        self._ctx.narrate(f"{error.message}{' It is kept.' if keep else ' It is removed.'}")
        if keep:
            self._fail(error.code, error.message)
            raise error
        self._clear(number, error.code, error.message)
        if error.code not in ("bootstrap", "capacity"):
            self._fail(error.code, error.message)

    def _clear(self, number: int, code: str, message: str) -> None:
        """Remove the machines of a failed attempt; CleanupIncomplete when that is not confirmed."""
        removal = remove(self._ctx, self._id)
        if not removal.complete:
            self._fail(code, message)
            raise down.incomplete(self._now(), removal)
        self._ctx.home.proof_file(self._id, number).unlink(missing_ok=True)


def _words(offer: Offer) -> str:
    market = "" if offer.market == "on-demand" else f" ({offer.market})"
    return f"{offer.cloud} {offer.zone or offer.region}{market}"
