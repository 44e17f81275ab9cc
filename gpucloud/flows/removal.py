"""Removing everything of one deployment, and not believing it before the cloud confirms it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gpucloud.core.cloud import Resource
from gpucloud.core.deployments import Attempt, Deployment
from gpucloud.core.errors import CredentialsError, GpucloudError
from gpucloud.core.events import Draft
from gpucloud.core.plan import Destroy, removal_order
from gpucloud.flows.apply import Interpreter
from gpucloud.flows.context import Context
from gpucloud.flows.looks import Look, Place, look, note_look
from gpucloud.flows.pace import Pace
from gpucloud.state.journal import JournalError


@dataclass(frozen=True)
class Removal:
    """What is gone, what may still bill, which used regions could not be asked, and when doubt ends."""

    removed: tuple[Resource, ...] = ()
    remaining: tuple[Resource, ...] = ()
    unscanned: dict[Place, str] = field(default_factory=dict)
    doubtful: tuple[Attempt, ...] = ()
    unseen: frozenset[str] = frozenset()  # ids that the cloud acknowledged but has never shown
    conclusive_at: float | None = None
    refused: CredentialsError | None = None
    failures: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not (self.remaining or self.unscanned or self.doubtful)


class _Bulldozer:
    """The loop's memory: when each thing was last asked to go, and what was ever seen."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.asked: dict[str, float] = {}
        self.seen: dict[str, Resource] = {}
        self.failures: dict[str, str] = {}

    def ask_all(self, deployment: Deployment, things: Sequence[Resource]) -> None:
        for thing in removal_order(things):
            self.seen[thing.id] = thing
            if self._ctx.clock() - self.asked.get(thing.id, float("-inf")) >= self._ctx.waits.destroy_again:
                self._ask(deployment, thing)

    def _ask(self, deployment: Deployment, thing: Resource) -> None:
        try:
            provider = self._ctx.clouds.of_account(thing.cloud, thing.account)
            Interpreter(self._ctx, deployment.id, provider, heeds_cancel=False).carry_out(Destroy(thing))
        except JournalError:
            raise
        except GpucloudError as error:
            self.failures[thing.id] = f"{thing.kind} {thing.id}: {error.message}"
        else:
            self.failures.pop(thing.id, None)
            self.asked[thing.id] = self._ctx.clock()


def remove(ctx: Context, deployment_id: str) -> Removal:
    """Destroy what the journal and the cloud know of, until a look finds nothing and no request is in doubt.

    Ends with what remains when `waits.destroy` is over, or when only time can settle what is in doubt and
    that is longer than `waits.settle`.
    """
    begun = ctx.clock()
    bulldozer, pace, end = _Bulldozer(ctx), Pace(ctx), begun + ctx.waits.destroy
    while True:
        deployment = ctx.journal.present().deployments[deployment_id]
        seen = look(ctx, deployment)
        deployment = note_look(ctx, deployment_id, seen)
        things = _still_there(ctx, deployment, seen, bulldozer)
        bulldozer.ask_all(deployment, things)
        state = _state(ctx, deployment, seen, things, bulldozer)
        if state.complete or ctx.clock() >= end or _hopeless(ctx, state, begun):
            return _written(ctx, deployment, state)
        if things:
            ctx.status(f"{deployment.name}: the cloud still shows {', '.join(f'{t.kind} {t.id}' for t in things)}")
        pace.pause()


def _still_there(ctx: Context, deployment: Deployment, seen: Look, bulldozer: _Bulldozer) -> list[Resource]:
    """What the look found, and what the journal knows of as long as no look can have shown that it is gone."""
    found = {item.id: item for item in seen.found}
    for attempt in deployment.attempts:
        if attempt.made or attempt.open:
            missing = [item for item in attempt.resources if item.id not in found]
            found.update({r.id: r for r in missing if not _gone(ctx, attempt, r, seen, bulldozer)})
    return list(found.values())


def _gone(ctx: Context, attempt: Attempt, thing: Resource, seen: Look, bulldozer: _Bulldozer) -> bool:
    if not seen.answered(attempt):
        return False
    if thing.id in attempt.seen:
        return True
    return thing.id in bulldozer.asked and attempt.settled_by(ctx.waits.settling)


def _state(
    ctx: Context, deployment: Deployment, seen: Look, things: Sequence[Resource], bulldozer: _Bulldozer
) -> Removal:
    there = {item.id for item in things}
    rule, now = ctx.waits.settling, ctx.clock()
    doubtful = tuple(a for a in deployment.attempts if a.open and not a.settled_by(rule))
    unseen = [a for a in deployment.attempts if a.made and not a.visible and not a.settled_by(rule)]
    times = [attempt.conclusive_at(rule, now) for attempt in (*doubtful, *unseen)]
    return Removal(
        removed=tuple(item for key, item in bulldozer.seen.items() if key not in there),
        remaining=tuple(things),
        unscanned=dict(seen.unscanned),
        doubtful=doubtful,
        unseen=frozenset(item.id for attempt in unseen for item in attempt.resources),
        conclusive_at=max(times, default=None),
        refused=seen.refused,
        failures=tuple(bulldozer.failures.values()),
    )


def _hopeless(ctx: Context, state: Removal, begun: float) -> bool:
    """Whether waiting here cannot help: no credentials, regions that stay silent, or doubt that lasts too long."""
    if state.refused is not None:
        return True
    asked = [item for item in state.remaining if (item.cloud, item.region) not in state.unscanned]
    if any(item.id not in state.unseen for item in asked):
        return False
    if state.unscanned:
        return ctx.clock() - begun >= ctx.waits.silent
    return state.conclusive_at is not None and state.conclusive_at - ctx.clock() > ctx.waits.settle


def _written(ctx: Context, deployment: Deployment, state: Removal) -> Removal:
    """Write down which attempts are settled now."""
    doubt = {attempt.number for attempt in state.doubtful}
    there = {(item.cloud, item.region) for item in state.remaining} | set(state.unscanned)
    drafts = []
    for attempt in deployment.attempts:
        if (attempt.cloud, attempt.region) in there or attempt.number in doubt:
            continue
        if attempt.made:
            drafts.append(Draft("attempt_removed", deployment.id, {"attempt": attempt.number}))
        elif attempt.open:
            drafts.append(Draft("attempt_settled", deployment.id, {"attempt": attempt.number}))
    if drafts:
        ctx.journal.append(*drafts)
    return state
