"""One create request, sent until it is answered: throttling, lost answers, and what an earlier process left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.deployments import Attempt, Deployment
from gpucloud.core.errors import AmbiguousError, GpucloudError, ThrottledError
from gpucloud.core.events import Draft
from gpucloud.core.launches import launch_again
from gpucloud.core.offers import Offer
from gpucloud.core.plan import Launch
from gpucloud.core.units import iso_utc
from gpucloud.flows.apply import Interpreter
from gpucloud.flows.context import Context
from gpucloud.flows.looks import look, note_look
from gpucloud.flows.pace import Pace
from gpucloud.state.journal import JournalError

LAUNCH_TRIES = 3  # sendings of one token when the answer is lost


def offer_words(offer: Offer) -> str:
    """`aws us-east-1a (spot)`; `local` where cloud and place have one name."""
    market = "" if offer.market == "on-demand" else f" ({offer.market})"
    return f"{' '.join(dict.fromkeys((offer.cloud, offer.zone or offer.region)))}{market}"


def unsettled(ctx: Context, name: str, attempt: Attempt, error: GpucloudError) -> GpucloudError:
    """What to end with when nobody knows whether machines were made, and when that is known."""
    when = iso_utc(attempt.conclusive_at(ctx.waits.settling, ctx.clock()))
    return AmbiguousError(
        f"Whether {offer_words(attempt.offer)} made the machine is not known: {error.message}",
        f"`gpucloud up {name}` looks again and goes on, `gpucloud down {name}` gives up;"
        f" after {when} a look is conclusive.",
    )


class Sending:
    """Sends the requests of one deployment. `check` is called before every sending and may raise."""

    def __init__(self, ctx: Context, deployment_id: str, check: Callable[[], None]) -> None:
        self._ctx, self._id, self._check = ctx, deployment_id, check

    def _now(self) -> Deployment:
        return self._ctx.journal.present().deployments[self._id]

    def launch(self, step: Launch) -> None:
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
            self._ctx.narrate(f"{offer_words(spec.offer)}: too many requests; again in {error.retry_after_s:g} s.")
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

    def settled(self, attempt: Attempt, end: float) -> bool:
        """Look, less and less often, until the attempt is settled; False when its machines turn up, or at `end`."""
        rule, pace = self._ctx.waits.settling, Pace(self._ctx)
        certain = attempt.conclusive_at(rule, self._ctx.clock())
        end = min(end, certain + 2 * rule.gap_s)  # parts that were made without a machine keep it open for ever
        words = f"looking until it is certain, at {iso_utc(certain)}"
        self._ctx.narrate(f"{offer_words(attempt.offer)} never answered; {words}.")
        while self._ctx.clock() <= end:
            self._check()
            if self._found(attempt.number):
                return False
            if self._now().attempt(attempt.number).settled_by(rule):
                self._ctx.journal.append(Draft("attempt_settled", self._id, {"attempt": attempt.number}))
                return True
            pace.pause()
        return False

    def resolve(self, attempt: Attempt) -> None:
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
            error = AmbiguousError("its one-time token is gone.")
            raise unsettled(self._ctx, self._now().name, attempt, error) from None
        self._ctx.clouds.of_account(attempt.cloud, attempt.account)
        spec = launch_again(self._now(), attempt, token)
        step = Launch(spec, attempt.account, attempt.principal, attempt.endpoint, attempt.guards, again=True)
        try:
            self.launch(step)
        except JournalError:
            raise
        except GpucloudError as error:
            now = self._now()
            raise unsettled(self._ctx, now.name, now.attempt(attempt.number), error) from error
