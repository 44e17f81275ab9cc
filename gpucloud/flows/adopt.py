"""Taking back what only the clouds still know of, by our tags: a lost `state.db` must not lose a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gpucloud.core.cloud import Resource, Scan
from gpucloud.core.deployments import Present
from gpucloud.core.errors import GpucloudError
from gpucloud.core.events import Draft
from gpucloud.core.names import is_deployment_id, name_of
from gpucloud.core.offers import Offer
from gpucloud.core.records import offer_record, resource_record
from gpucloud.core.tags import deadline_of, is_of
from gpucloud.flows.at_once import at_once
from gpucloud.flows.context import Context


@dataclass(frozen=True)
class Adoption:
    """Ids that are in the journal again, asked names that nobody knows, clouds and regions not asked."""

    adopted: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unscanned: Mapping[str, str] = field(default_factory=dict)


def adopt(ctx: Context, names: Sequence[str], everything: bool) -> Adoption:
    """Look at every usable cloud for deployments of this home that the journal does not know."""
    found, unscanned = _scan(ctx)
    known = ctx.journal.present().deployments
    wanted = {
        identifier: things
        for identifier, things in found.items()
        if identifier not in known and (everything or {identifier, name_of(identifier)} & set(names))
    }
    for identifier, things in wanted.items():
        ctx.journal.transact(lambda present, i=identifier, t=things: _drafts(present, i, t))  # type: ignore[misc]
    reached = {name_of(identifier) for identifier in wanted} | set(wanted)
    return Adoption(tuple(wanted), tuple(name for name in names if name not in reached), unscanned)


def _scan(ctx: Context) -> tuple[dict[str, list[Resource]], dict[str, str]]:
    found: dict[str, list[Resource]] = {}
    unscanned: dict[str, str] = {}
    home_id = ctx.home.home_id()
    clouds = ctx.clouds.usual()

    def find(cloud: str) -> Scan:
        ctx.clouds.identity(cloud)
        return ctx.clouds.open(cloud).find(None)

    for cloud, answer in zip(clouds, at_once(find, clouds, ctx.waits.cloud), strict=True):
        try:
            scan = answer.get()
        except (GpucloudError, ImportError) as error:
            unscanned[cloud] = getattr(error, "message", str(error))
            continue
        unscanned.update({f"{cloud} {region}": why for region, why in scan.unscanned.items()})
        for item in scan.resources:
            identifier = item.deployment_id
            if item.state != "gone" and is_deployment_id(identifier) and is_of(item, identifier, home_id):
                found.setdefault(identifier, []).append(item)
    return found, unscanned


def _drafts(present: Present, identifier: str, things: Sequence[Resource]) -> Sequence[Draft]:
    """The events that make a found deployment known again; each place it was found in is an attempt."""
    if identifier in present.deployments:
        return []
    created = Draft("deployment_created", identifier, {"name": name_of(identifier), "asked": {"adopted": True}})
    places: dict[tuple[str, str, str], list[Resource]] = {}
    for thing in things:
        places.setdefault((thing.cloud, thing.account, thing.region), []).append(thing)
    attempts = [
        draft
        for number, group in enumerate(places.values(), start=1)
        for draft in _attempt_drafts(identifier, number, group)
    ]
    return [created, *attempts]


def _attempt_drafts(identifier: str, number: int, things: Sequence[Resource]) -> list[Draft]:
    first = next((item for item in things if item.kind == "machine"), things[0])
    offer = Offer(
        cloud=first.cloud,
        instance_type=first.instance_type,
        accelerator="",
        accelerator_count=0,
        region=first.region,
        zone=first.zone,
        market=first.market or "on-demand",
    )
    records = [resource_record(item) for item in things]
    opened = {
        "attempt": number,
        "token": "",
        "account": first.account,
        "offer": offer_record(offer),
        "nodes": max(1, sum(item.kind == "machine" for item in things)),
        "deadline_epoch_s": deadline_of(first),
    }
    data = {"attempt": number, "resources": records}
    kinds = (("attempt_opened", opened), ("attempt_launched", data), ("attempt_looked", data))
    return [Draft(kind, identifier, record) for kind, record in kinds]
