"""`gc`: every region of every usable cloud, for what carries our tags and no live deployment owns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gpucloud.core.answers import orphan_json, resource_json
from gpucloud.core.cloud import Identity, Resource, Scan
from gpucloud.core.errors import CleanupIncomplete, GpucloudError
from gpucloud.core.names import owner_hash
from gpucloud.core.offers import places_of
from gpucloud.core.plan import Destroy, removal_order
from gpucloud.core.tags import classify, collectable
from gpucloud.flows.apply import Interpreter
from gpucloud.flows.at_once import at_once
from gpucloud.flows.context import Context
from gpucloud.flows.looks import Place
from gpucloud.flows.pace import Pace
from gpucloud.state.journal import JournalError


@dataclass(frozen=True)
class Orphan:
    """Something at a cloud, the class it is in, and whether `--yes` removes it."""

    resource: Resource
    word: str
    goes: bool


@dataclass(frozen=True)
class GcPlan:
    """What was found. `scanned` are the regions that answered; `unscanned` say why they did not."""

    orphans: tuple[Orphan, ...] = ()
    scanned: tuple[Place, ...] = ()
    unscanned: Mapping[Place, str] = field(default_factory=dict)
    used: frozenset[Place] = frozenset()  # where the journal says that a request was ever sent

    @property
    def doomed(self) -> tuple[Resource, ...]:
        """What `--yes` removes."""
        return tuple(removal_order([orphan.resource for orphan in self.orphans if orphan.goes]))


@dataclass(frozen=True)
class GcResult:
    """The plan, what is gone, what is not, and the error to end with, if any."""

    plan: GcPlan
    removed: tuple[Resource, ...] = ()
    remaining: tuple[Resource, ...] = ()
    error: GpucloudError | None = None

    def as_json(self) -> dict[str, Any]:
        """The fields of the outward contract."""
        return {
            "orphans": [orphan_json(orphan.resource, orphan.word) for orphan in self.plan.orphans],
            "removed": [resource_json(item) for item in self.removed],
            "remaining": [resource_json(item) for item in self.remaining],
            "scanned": [{"cloud": cloud, "region": region} for cloud, region in self.plan.scanned],
            "unscanned": [
                {"cloud": cloud, "region": region or None, "reason": why}
                for (cloud, region), why in self.plan.unscanned.items()
            ],
        }


def plan_gc(
    ctx: Context, named: Collection[str] = (), *, clouds: Sequence[str] = (), all_homes: bool = False
) -> GcPlan:
    """Look everywhere. `named` are ids of resources or deployments to remove whoever's they are."""
    sweep_tokens(ctx)
    wanted = tuple(clouds) or ctx.clouds.usual()
    used = _used(ctx, wanted)
    identities, scans = _scan_all(ctx, wanted)
    found = GcPlan(used=used)
    for cloud, scan in scans.items():
        found = _with(ctx, found, identities.get(cloud), cloud, scan, named, all_homes)
    return found


def sweep_tokens(ctx: Context) -> None:
    """Delete one-time tokens of deployments that are not live: nothing can prove itself with them any more.

    The files are listed before the journal is read, so that of an `up` that begins now is never among them.
    """
    files = {path: path.name.removeprefix("proof-").rpartition("-")[0] for path in ctx.home.keys.glob("proof-*")}
    live = {deployment.id for deployment in ctx.journal.present().live}
    for path, deployment_id in files.items():
        if deployment_id not in live:
            path.unlink(missing_ok=True)


def _used(ctx: Context, clouds: Sequence[str]) -> frozenset[Place]:
    present = ctx.journal.present()
    attempts = [attempt for item in present.deployments.values() for attempt in item.attempts]
    mine = [attempt for attempt in attempts if attempt.cloud in clouds and attempt.reached]
    return frozenset((attempt.cloud, place) for attempt in mine for place in places_of(attempt.region))


def _scan_all(ctx: Context, clouds: Sequence[str]) -> tuple[dict[str, Identity], dict[str, Scan | str]]:
    """All clouds at once; one that cannot be asked at all, or not in time, gives the reason in words."""

    def scan(cloud: str) -> tuple[Identity, Scan]:
        return ctx.clouds.identity(cloud), ctx.clouds.open(cloud).find(None)

    answers = dict(zip(clouds, at_once(scan, clouds, ctx.waits.cloud), strict=True))
    found = {cloud: answer.value for cloud, answer in answers.items() if answer.value is not None}
    identities = {cloud: identity for cloud, (identity, _) in found.items()}
    scans: dict[str, Scan | str] = {cloud: seen for cloud, (_, seen) in found.items()}
    return identities, {**scans, **{cloud: why(answers[cloud].error) for cloud in clouds if cloud not in found}}


def why(error: Exception | None) -> str:
    """The reason why a cloud was not asked, in one sentence; what is no error of a cloud is a bug and raised."""
    if error is not None and not isinstance(error, (GpucloudError, ImportError)):
        raise error
    return getattr(error, "message", str(error))


def _with(
    ctx: Context,
    plan: GcPlan,
    identity: Identity | None,
    cloud: str,
    scan: Scan | str,
    named: Collection[str],
    all_homes: bool,
) -> GcPlan:
    if isinstance(scan, str) or identity is None:
        places = [place for place in plan.used if place[0] == cloud] or [(cloud, "")]
        return replace(plan, unscanned={**plan.unscanned, **dict.fromkeys(places, str(scan))})
    plan = replace(plan, unscanned={**plan.unscanned, **_elsewhere(ctx, cloud, identity)})
    owner = identity.owner or owner_hash(f"{identity.cloud}:{identity.account}:{identity.principal}")
    orphans = [_orphan(ctx, owner, item, named, all_homes) for item in scan.resources if item.state != "gone"]
    silent = {(cloud, region): why for region, why in scan.unscanned.items()}
    missed = {p: "not asked" for p in plan.used if p[0] == cloud and p[1] not in scan.scanned and p not in silent}
    return replace(
        plan,
        orphans=(*plan.orphans, *(orphan for orphan in orphans if orphan is not None)),
        scanned=(*plan.scanned, *((cloud, region) for region in scan.scanned)),
        unscanned={**plan.unscanned, **silent, **missed},
    )


def _elsewhere(ctx: Context, cloud: str, identity: Identity) -> dict[Place, str]:
    """Where live deployments are that other credentials than the present ones have made."""
    return {
        (cloud, region): f"made with account {account}, but the credentials now are for {identity.account}"
        for deployment in ctx.journal.present().live
        for (of, account), regions in deployment.places.items()
        if of == cloud and account != identity.account
        for region in regions
    }


def _orphan(ctx: Context, owner: str, item: Resource, named: Collection[str], all_homes: bool) -> Orphan | None:
    live = {deployment.id: deployment.deadline_at for deployment in ctx.journal.present().live}
    now = ctx.clock()
    word = classify(item, ctx.home.home_id(), owner, live, now)
    return Orphan(item, word, collectable(word, item, now, named, all_homes)) if word else None


def gc(ctx: Context, plan: GcPlan) -> GcResult:
    """Remove what the plan says, each thing found again with the same tags first, and confirm it."""
    removed, remaining = _clear(ctx, plan.doomed)
    return GcResult(plan, removed, remaining, _error(plan, remaining))


def listed(plan: GcPlan) -> GcResult:
    """The result of only looking."""
    return GcResult(plan, error=_error(plan, ()))


def _clear(ctx: Context, doomed: Sequence[Resource]) -> tuple[tuple[Resource, ...], tuple[Resource, ...]]:
    pace, end = Pace(ctx), ctx.clock() + ctx.waits.destroy
    asked: set[str] = set()
    while True:
        there = _again(ctx, doomed)
        for thing in there:
            if thing.id not in asked and _destroyed(ctx, thing):
                asked.add(thing.id)
        if not there or ctx.clock() >= end:
            ids = {thing.id for thing in there}
            return tuple(r for r in doomed if r.id not in ids), tuple(there)
        pace.pause()


def _again(ctx: Context, doomed: Sequence[Resource]) -> list[Resource]:
    """Fetched again by id: only what still has the tags it was chosen for. Silent regions count as there."""
    groups: dict[tuple[str, str, str], list[Resource]] = {}
    for thing in doomed:
        groups.setdefault((thing.cloud, thing.deployment_id, thing.region), []).append(thing)
    there: list[Resource] = []

    def find(group: tuple[str, str, str]) -> Scan:
        cloud, deployment_id, region = group
        return ctx.clouds.open(cloud).find(deployment_id, (region,))

    answers = at_once(find, list(groups), ctx.waits.cloud)
    for ((_, _, region), things), answer in zip(groups.items(), answers, strict=True):
        try:
            scan = answer.get()
        except GpucloudError:
            there += things
            continue
        found = {item.id: item for item in scan.resources if item.state != "gone"}
        if region not in scan.scanned:
            there += things
        there += [found[t.id] for t in things if t.id in found and _same(t, found[t.id]) and region in scan.scanned]
    return removal_order(there)


def _same(chosen: Resource, found: Resource) -> bool:
    return (chosen.deployment_id, chosen.home_id, chosen.kind) == (found.deployment_id, found.home_id, found.kind)


def _destroyed(ctx: Context, thing: Resource) -> bool:
    try:
        provider = ctx.clouds.of_account(thing.cloud, thing.account)
        Interpreter(ctx, thing.deployment_id, provider, heeds_cancel=False).carry_out(Destroy(thing))
    except JournalError:
        raise
    except GpucloudError as error:
        ctx.narrate(f"{thing.kind} {thing.id}: {error.message}")
        return False
    return True


def _error(plan: GcPlan, remaining: Sequence[Resource]) -> GpucloudError | None:
    if remaining:
        things = ", ".join(f"{item.kind} {item.id} in {item.region}" for item in remaining)
        return CleanupIncomplete(f"This may still bill: {things}.", "Run `gpucloud gc --yes` again.")
    silent = sorted(place for place in plan.unscanned if place in plan.used)
    if silent:
        places = ", ".join(f"{cloud} {region} ({plan.unscanned[cloud, region]})" for cloud, region in silent)
        return CleanupIncomplete(f"Used before, but not asked now: {places}.", "Run `gpucloud gc` again later.")
    return None
