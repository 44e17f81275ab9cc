"""The way from wanted to ready: what an earlier `up` left, then offer after offer until one works out."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from gpucloud.core.deployments import ENDED, Attempt, Deployment
from gpucloud.core.errors import GpucloudError, StateConflict
from gpucloud.core.events import Draft
from gpucloud.core.failover import goes_on, nothing_started
from gpucloud.core.launches import launch_spec
from gpucloud.core.offers import Offer
from gpucloud.core.plan import Launch, UpRequest
from gpucloud.core.records import offer_record
from gpucloud.core.units import show_duration
from gpucloud.flows import changes, down
from gpucloud.flows.ahead import Quotas, ask_quotas
from gpucloud.flows.apply import Cancelled
from gpucloud.flows.choosing import Choosing
from gpucloud.flows.context import Context
from gpucloud.flows.deadlines import introduce
from gpucloud.flows.guarding import guards_of
from gpucloud.flows.interrupts import Interrupts
from gpucloud.flows.ready import make_ready
from gpucloud.flows.refresh import refresh_locked
from gpucloud.flows.removal import remove
from gpucloud.flows.sending import Sending, offer_words, unsettled
from gpucloud.render.text import plural
from gpucloud.state.home import write_private
from gpucloud.state.journal import JournalError


class Stopped(Exception):
    """The user pressed Ctrl-C: what was being done is finished, and nothing new begins."""


class Journey:
    """One `up` under way: the request, the deployment, and what has been ruled out so far."""

    def __init__(
        self,
        ctx: Context,
        request: UpRequest,
        identifier: str,
        interrupts: Interrupts,
        quotas: Callable[[], Quotas] | None = None,
    ) -> None:
        self._ctx, self._request, self._id, self._interrupts = ctx, request, identifier, interrupts
        self._quotas = quotas  # asked ahead; used once
        self._end = ctx.clock() + request.wait_capacity_s
        self._sending = Sending(ctx, identifier, self._check)
        self._hints: dict[str, str] = {}  # the newest next step for each kind of refusal

    def _now(self) -> Deployment:
        return self._ctx.journal.present().deployments[self._id]

    def _check(self) -> None:
        """`down` wins, and so does the user: asked before and after every effect."""
        if self._now().cancelled:
            raise Cancelled(self._id)
        if self._interrupts.pending:
            raise Stopped

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
            self._sending.resolve(attempt)
        current = self._now().current
        if current is None or not current.made:
            return False
        if current.failure:  # its removal was cut short
            self._clear(current.number, current.failure, current.message)
            return False
        return not self._settle_in(current.number)

    def _rounds(self) -> None:
        """The whole list, again and again while `--wait-capacity` lasts."""
        while not self._one_round():
            short = any(line["outcome"] == "capacity" for line in self._now().tried)
            if not short or self._ctx.clock() + self._ctx.waits.capacity > self._end:
                self._give_up()
            pause, left = show_duration(self._ctx.waits.capacity), show_duration(self._end - self._ctx.clock())
            self._ctx.narrate(f"No capacity anywhere; the next round is in {pause}, the last one in {left}.")
            self._ctx.status(f"no capacity anywhere; the next round is {pause} after the last")
            self._ctx.sleep(self._ctx.waits.capacity)
            self._check()

    def _give_up(self) -> None:
        error = nothing_started(self._now().tried, self._hints)
        self._fail(error.code, error.message)
        raise error

    def _fail(self, code: str, message: str) -> None:
        self._ctx.journal.append(Draft("deployment_failed", self._id, {"code": code, "message": message}))

    def _one_round(self) -> bool:
        choosing = Choosing(self._ctx, self._id, self._request, self._told(), self._skipped)
        for offer in choosing.offers():
            self._check()
            code = self._try(offer)
            if not code:
                return True
            choosing.refused(code, offer)
        return False

    def _told(self) -> Quotas:
        """The quotas as the clouds tell them: what was asked ahead, from the second round on asked again."""
        ask, self._quotas = self._quotas, None
        return ask() if ask is not None else ask_quotas(self._ctx, self._request.offers)

    def _machines(self, offer: Offer) -> str:
        """`2 × p4d.24xlarge`; on this computer the type says nothing that the cloud does not."""
        count = self._request.nodes
        return plural(count, "machine") if offer.instance_type == offer.cloud else f"{count} × {offer.instance_type}"

    def _try(self, offer: Offer) -> str:
        """One offer: empty when it is ready, else the code of what went wrong; errors that end all are raised."""
        try:
            step = self._step(offer)
        except GpucloudError as error:
            return self._skipped(offer, error)
        self._ctx.narrate(f"Asking {offer_words(offer)} for {self._machines(offer)}.")
        try:
            self._sending.launch(step)
        except JournalError:
            raise  # the journal could not be written: nothing more is begun
        except GpucloudError as error:
            return self._refused(offer, step.spec.attempt, error)
        return self._settle_in(step.spec.attempt)

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
        if not goes_on(error.code, clouds_left=any(other.cloud != offer.cloud for other in self._request.offers)):
            raise error
        data = {"offer": offer_record(offer), "code": error.code, "message": error.message}
        self._ctx.journal.append(Draft("attempt_skipped", self._id, data))
        self._ctx.narrate(f"{offer_words(offer)}: {error.message} {error.hint}")
        self._hints[error.code] = error.hint
        return error.code

    def _refused(self, offer: Offer, number: int, error: GpucloudError) -> str:
        self._ctx.narrate(f"{offer_words(offer)}: {error.message}")
        attempt = self._now().attempt(number)
        if attempt.open:
            return self._waited_out(attempt, error)
        self._ctx.home.proof_file(self._id, number).unlink(missing_ok=True)
        self._hints[error.code] = error.hint
        if not goes_on(error.code):
            self._fail(error.code, error.message)
            raise error
        return error.code

    def _waited_out(self, attempt: Attempt, error: GpucloudError) -> str:
        """Nobody knows what became of the request: while `--wait-capacity` lasts, look until that is certain.

        Empty when its machines turned up and are ready; `ambiguous` when it is settled that nothing was made.
        """
        if attempt.conclusive_at(self._ctx.waits.settling, self._ctx.clock()) > self._end:
            raise unsettled(self._ctx, self._request.name, attempt, error)
        if self._sending.settled(attempt, self._end):
            self._ctx.home.proof_file(self._id, attempt.number).unlink(missing_ok=True)
            return "ambiguous"
        if self._now().attempt(attempt.number).open:
            raise unsettled(self._ctx, self._request.name, attempt, error)
        return self._settle_in(attempt.number)

    # ---- machines that exist

    def _settle_in(self, number: int) -> str:
        """Wait for the proof: empty when ready, else why the machines were useless and are removed."""
        try:
            make_ready(self._ctx, self._id, self._request.ready_timeout_s, self._check)
        except JournalError:
            raise
        except GpucloudError as error:
            self._failed(number, error)
            if error.code not in ("bootstrap", "capacity"):
                raise
            return error.code
        introduce(self._ctx, self._now())
        return ""

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
