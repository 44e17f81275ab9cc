"""The one interpreter of plan steps: the intent is committed, then the effect, then what came of it.

Nothing else in gpucloud calls a cloud's verbs that change something. A step of `up` is not even announced
once `down` has written its cancel event, because announcement and check are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from gpucloud.core.cloud import CanAllow, CanExtend, CanStop, Provider, Resource
from gpucloud.core.deployments import Present
from gpucloud.core.errors import REFUSALS, BootstrapError, GpucloudError, ThrottledError, UsageError
from gpucloud.core.events import Draft
from gpucloud.core.launches import launch_record
from gpucloud.core.plan import Allow, Destroy, Extend, Launch, Start, Step, Stop
from gpucloud.core.records import guard_record, offer_record, resource_record
from gpucloud.flows.context import Context

# Errors with which a driver says that nothing is left of the request: refused, or made, useless and rolled back.
NOTHING_LEFT = (*REFUSALS, BootstrapError)


class Cancelled(Exception):
    """`down` has spoken: whatever was being done stops here."""


class Interpreter:
    """Carries out steps on one deployment at one cloud."""

    def __init__(
        self,
        ctx: Context,
        deployment_id: str,
        provider: Provider,
        *,
        heeds_cancel: bool = True,
        first: Callable[[], None] | None = None,
    ) -> None:
        """`first` is a part of the effect that is no cloud's: after the intent, before the provider's part."""
        self._ctx, self._id, self._provider = ctx, deployment_id, provider
        self._heeds_cancel, self._first = heeds_cancel, first

    def carry_out(self, step: Step) -> Any:
        """Do one step; its answer is the driver's. Errors are journaled before they are raised.

        A step that the cloud cannot do at all is refused before anything is written.
        """
        if type(step) in _ABILITIES:
            _able(self._provider, *_ABILITIES[type(step)])
        self._commit(_intent(step))
        try:
            if self._first is not None:
                self._first()
            answer = _EFFECTS[type(step)](self._provider, self._id, step)
        except GpucloudError as error:
            self._note_failure(step, error)
            raise
        self._ctx.journal.append(*(self._draft(*item) for item in _result(step, answer)))
        return answer

    def _commit(self, intent: tuple[str, Mapping[str, Any]]) -> None:
        def decide(present: Present) -> Sequence[Draft]:
            if self._heeds_cancel and present.deployments[self._id].cancelled:
                raise Cancelled(self._id)
            return [self._draft(*intent)]

        self._ctx.journal.transact(decide)

    def _draft(self, kind: str, data: Mapping[str, Any]) -> Draft:
        return Draft(kind, self._id, data)

    def _note_failure(self, step: Step, error: GpucloudError) -> None:
        self._ctx.journal.transact(lambda present: self._failure(present, step, error))

    def _failure(self, present: Present, step: Step, error: GpucloudError) -> Sequence[Draft]:
        if isinstance(step, Launch):
            doubtful = present.deployments[self._id].attempt(step.spec.attempt).ambiguous
            return [self._draft(*item) for item in _launch_failure(step, error, doubtful)]
        if isinstance(step, Destroy):
            data = {"resource": resource_record(step.resource), "code": error.code, "message": error.message}
            return [self._draft("destroy_failed", data)]
        return []


def _launch_failure(step: Launch, error: GpucloudError, doubtful: bool) -> list[tuple[str, Mapping[str, Any]]]:
    """A refusal settles the attempt, unless an earlier sending of the same token was never answered."""
    data = {"attempt": step.spec.attempt, "code": error.code, "message": error.message}
    if isinstance(error, ThrottledError):
        return []  # the same token is sent again, or given up by `up`
    if isinstance(error, NOTHING_LEFT) and not doubtful:
        return [("attempt_refused", data)]
    return [("attempt_ambiguous", data)]


# ---- intents


def _intent(step: Step) -> tuple[str, Mapping[str, Any]]:
    return _INTENTS[type(step)](step)


def _launch_intent(step: Launch) -> tuple[str, Mapping[str, Any]]:
    if step.again:
        return "attempt_sent_again", {"attempt": step.spec.attempt}
    spec = step.spec
    return "attempt_opened", {
        "attempt": spec.attempt,
        "token": spec.token,
        "cloud": spec.offer.cloud,
        "account": step.account,
        "principal": step.principal,
        "endpoint": step.endpoint,
        "region": spec.offer.region,
        "zone": spec.offer.zone,
        "offer": offer_record(spec.offer),
        "nodes": spec.nodes,
        "deadline_epoch_s": spec.deadline_epoch_s,
        "guards": [guard_record(guard) for guard in step.guards],
        "launch": launch_record(spec),
    }


def _change_data(step: Start | Extend) -> Mapping[str, Any]:
    data = {"deadline_epoch_s": step.deadline_epoch_s, "guards": [guard_record(guard) for guard in step.guards]}
    return data if step.budget_usd is None else {**data, "budget_usd": step.budget_usd}


_INTENTS: Mapping[type, Callable[[Any], tuple[str, Mapping[str, Any]]]] = {
    Launch: _launch_intent,
    Destroy: lambda step: ("destroy_requested", {"resource": resource_record(step.resource)}),
    Stop: lambda step: ("stop_requested", {}),
    Start: lambda step: ("start_requested", _change_data(step)),
    Extend: lambda step: ("extend_requested", _change_data(step)),
    Allow: lambda step: ("allow_requested", {"cidrs": list(step.cidrs)}),
}


# ---- effects


def _launch(provider: Provider, deployment_id: str, step: Launch) -> Sequence[Resource]:
    return provider.launch(step.spec)


def _destroy(provider: Provider, deployment_id: str, step: Destroy) -> None:
    provider.destroy(step.resource)


def _stop(provider: Provider, deployment_id: str, step: Stop) -> None:
    able = cast(CanStop, provider)
    for resource in step.resources:
        able.stop(resource)


def _start(provider: Provider, deployment_id: str, step: Start) -> None:
    able = cast(CanStop, provider)
    for resource in step.resources:
        able.start(resource, step.deadline_epoch_s)


def _extend(provider: Provider, deployment_id: str, step: Extend) -> None:
    able = cast(CanExtend, provider)
    for resource in step.resources:
        able.extend(resource, step.deadline_epoch_s)


def _allow(provider: Provider, deployment_id: str, step: Allow) -> None:
    cast(CanAllow, provider).allow(deployment_id, step.cidrs)


def _able(provider: Provider, ability: type, words: str) -> None:
    if not isinstance(provider, ability):
        raise UsageError(f"The cloud '{provider.name}' cannot {words}.", "`gpucloud down` always works.")


_ABILITIES: Mapping[type, tuple[type, str]] = {
    Stop: (CanStop, "stop machines"),
    Start: (CanStop, "start machines"),
    Extend: (CanExtend, "move a deadline"),
    Allow: (CanAllow, "change who may connect"),
}


_EFFECTS: Mapping[type, Callable[[Provider, str, Any], Any]] = {
    Launch: _launch,
    Destroy: _destroy,
    Stop: _stop,
    Start: _start,
    Extend: _extend,
    Allow: _allow,
}


# ---- results


def _result(step: Step, answer: Any) -> list[tuple[str, Mapping[str, Any]]]:
    if isinstance(step, Launch):
        resources = [resource_record(item) for item in answer]
        return [("attempt_launched", {"attempt": step.spec.attempt, "resources": resources})]
    return [_RESULTS[type(step)](step)]


_RESULTS: Mapping[type, Callable[[Any], tuple[str, Mapping[str, Any]]]] = {
    Destroy: lambda step: ("destroy_accepted", {"resource": resource_record(step.resource)}),
    Stop: lambda step: ("stop_accepted", {}),
    Start: lambda step: ("start_accepted", {}),
    Extend: lambda step: ("extended", _change_data(step)),
    Allow: lambda step: ("allowed", {"cidrs": list(step.cidrs)}),
}
