"""Looking at the clouds: what is there of a deployment, and what an empty look is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gpucloud.core.cloud import Resource, Scan
from gpucloud.core.deployments import Attempt, Deployment, Present
from gpucloud.core.errors import CredentialsError, GpucloudError
from gpucloud.core.events import Draft
from gpucloud.core.records import resource_record
from gpucloud.core.tags import is_of
from gpucloud.flows.at_once import at_once
from gpucloud.flows.context import Context

Place = tuple[str, str]  # cloud, region


@dataclass(frozen=True)
class Look:
    """What was found of one deployment; `unscanned` are the used regions that did not answer, with why."""

    found: tuple[Resource, ...] = ()
    scanned: frozenset[Place] = field(default_factory=frozenset)
    unscanned: Mapping[Place, str] = field(default_factory=dict)
    refused: CredentialsError | None = None

    def answered(self, attempt: Attempt) -> bool:
        """Whether the region of that attempt was really asked."""
        return (attempt.cloud, attempt.region) in self.scanned

    def of_attempt(self, attempt: Attempt) -> tuple[Resource, ...]:
        """What was found where that attempt was sent to, and does not belong to another one."""
        return tuple(
            item
            for item in self.found
            if (item.cloud, item.region) == (attempt.cloud, attempt.region) and item.attempt in (None, attempt.number)
        )


def look(ctx: Context, deployment: Deployment) -> Look:
    """Ask every region where a request of this deployment was ever sent, all clouds at once."""
    found: list[Resource] = []
    scanned: set[Place] = set()
    unscanned: dict[Place, str] = {}
    refused = None
    places = list(deployment.places.items())

    def find(place: tuple[tuple[str, str], Sequence[str]]) -> Scan:
        (cloud, account), regions = place
        return ctx.clouds.of_account(cloud, account).find(deployment.id, regions)

    answers = at_once(find, places, ctx.waits.cloud)
    for ((cloud, _), regions), answer in zip(places, answers, strict=True):
        try:
            scan = answer.get()
        except GpucloudError as error:
            refused = error if isinstance(error, CredentialsError) else refused
            unscanned.update({(cloud, region): error.message for region in regions})
            continue
        found += _ours(ctx, deployment.id, scan)
        scanned |= {(cloud, region) for region in scan.scanned}
        silent = [region for region in regions if region not in scan.scanned]
        unscanned.update({(cloud, region): scan.unscanned.get(region, "not asked") for region in silent})
    return Look(tuple(found), frozenset(scanned), unscanned, refused)


def _ours(ctx: Context, deployment_id: str, scan: Scan) -> list[Resource]:
    home_id = ctx.home.home_id()
    return [r for r in scan.resources if r.state != "gone" and is_of(r, deployment_id, home_id)]


def note_look(ctx: Context, deployment_id: str, seen: Look) -> Deployment:
    """Write down what the look says about requests that were never answered; returns the deployment after."""

    def decide(present: Present) -> Sequence[Draft]:
        deployment = present.deployments[deployment_id]
        return [draft for attempt in deployment.attempts for draft in _notes(ctx, deployment, attempt, seen)]

    return ctx.journal.transact(decide).deployments[deployment_id]


def _notes(ctx: Context, deployment: Deployment, attempt: Attempt, seen: Look) -> list[Draft]:
    """Only looks that bring the settling forward are kept: the first empty one, and the one that settles."""
    if not seen.answered(attempt) or not (attempt.open or (attempt.made and not attempt.visible)):
        return []
    found = seen.of_attempt(attempt)
    if found:
        return _found_notes(deployment, attempt, found)
    now, rule = ctx.clock(), ctx.waits.settling
    if attempt.empty_looks and now < attempt.conclusive_at(rule, now):
        return []
    return [Draft("attempt_looked", deployment.id, {"attempt": attempt.number, "resources": []})]


def _found_notes(deployment: Deployment, attempt: Attempt, found: Sequence[Resource]) -> list[Draft]:
    records = [resource_record(item) for item in found]
    data = {"attempt": attempt.number, "resources": records}
    machines = [item for item in found if item.kind == "machine"]
    known = {item.id for item in attempt.resources}
    if attempt.open and len(machines) >= attempt.nodes:
        return [Draft("attempt_launched", deployment.id, data), Draft("attempt_looked", deployment.id, data)]
    if attempt.visible and known >= {item.id for item in found}:
        return []
    return [Draft("attempt_looked", deployment.id, data)]
