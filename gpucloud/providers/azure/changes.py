"""Stopping, starting, extending and opening what is there; each thing fetched again and checked first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpucloud.core.cloud import TAG_DEADLINE, TAG_DEPLOYMENT, TAG_HOME, Resource
from gpucloud.core.errors import BadRequest, StateConflict
from gpucloud.core.tags import is_of
from gpucloud.providers.azure import bodies, schedule
from gpucloud.providers.azure.api import Api
from gpucloud.providers.azure.guards import LONGEST_S, backstop_epoch_s
from gpucloud.providers.azure.machines import machine_of, power_of, state_of
from gpucloud.providers.azure.names import TAG_BACKSTOP, parse_id, same_owner, tags_of
from gpucloud.providers.azure.removal import group_name, set_tags
from gpucloud.providers.ingress import ipv4_networks


def _there(api: Api, resource: Resource) -> Any:
    found = api.get(api.compute.virtual_machines.get, group_name(resource), resource.id, expand="instanceView")
    if found is None:
        raise StateConflict(f"The machine {resource.id} is gone.", "See `gpucloud ls --refresh`.")
    if not is_of(machine_of(found, 22), resource.deployment_id, resource.home_id):
        raise BadRequest(f"The machine {resource.id} does not carry our tags; it is not touched.")
    return found


def stop(api: Api, resource: Resource) -> None:
    """Deallocate: the disk is kept and bills, the machine does not. Also for one whose guest is off already."""
    if power_of(_there(api, resource)) not in ("deallocating", "deallocated"):
        api.accept(api.compute.virtual_machines.begin_deallocate, group_name(resource), resource.id)


def start(api: Api, resource: Resource, deadline: float | None, now: float) -> None:
    """Switch on. The new deallocation is set before it runs."""
    there = _there(api, resource)
    power = power_of(there)
    if power in ("running", "starting"):
        return
    if power == "deallocating":
        raise StateConflict(f"The machine {resource.id} is still being stopped.", "Try again in a minute.")
    _move(api, there, deadline, now)
    api.accept(api.compute.virtual_machines.begin_start, group_name(resource), resource.id)


def extend(api: Api, resource: Resource, deadline: float | None, now: float) -> None:
    """A new deadline, in the tag and at the service that deallocates."""
    there = _there(api, resource)
    if state_of(there) not in ("running", "pending"):
        raise StateConflict(f"The machine {resource.id} does not run.", "See `gpucloud ls --refresh`.")
    _move(api, there, deadline, now)


def _move(api: Api, there: Any, deadline: float | None, now: float) -> None:
    """Set the new deallocation first and call the old one off last: whatever happens between, one of them holds."""
    tags, region = tags_of(there), str(there["location"])
    before = tags.pop(TAG_BACKSTOP, "")
    tags.pop(TAG_DEADLINE, None)
    when = backstop_epoch_s(deadline)
    if deadline is not None and when is not None:
        tags[TAG_DEADLINE] = str(round(deadline))
        if before:
            tags[TAG_BACKSTOP] = _arm(api, there, tags, before, when, now)
    set_tags(api, there, tags)
    operation = schedule.operation_in(before)
    if operation and operation != schedule.operation_in(tags.get(TAG_BACKSTOP, "")):
        schedule.cancel(api, region, operation)
    if before == schedule.DAILY and tags.get(TAG_BACKSTOP) != schedule.DAILY:
        schedule.unset_daily(api, str(there["id"]))


def _arm(api: Api, there: Any, tags: dict[str, str], before: str, when: float, now: float) -> str:
    kind = before.partition(":")[0]
    if kind == schedule.ONCE and when - now > LONGEST_S:
        raise StateConflict("Azure deallocates a machine at most 14 days ahead.", "Extend it by less.")
    if kind == schedule.DAILY and not schedule.fits_a_day(when, now):
        raise StateConflict(
            "The DevTest Labs schedule that ends this machine knows a time of day only, so it must lie within a day.",
            "Extend it by less, or register Microsoft.ComputeSchedule and bring it up anew.",
        )
    identifier = str(there["id"])
    return schedule.arm(api, kind, str(there["location"]), {identifier: tags}, when, now)[identifier]


def allow(api: Api, deployment_id: str, home_id: str, cidrs: Sequence[str], port: int) -> None:
    """Let these networks, and no others, reach SSH. Raises BadRequest where no firewall is ours to change."""
    tag = f"tagName eq '{TAG_DEPLOYMENT}' and tagValue eq '{deployment_id}'"
    wanted = {TAG_DEPLOYMENT: deployment_id, TAG_HOME: home_id}
    found = [
        parse_id(str(item["id"]))
        for item in api.items(api.resources.resources.list, filter=tag)
        if same_owner(item, wanted)
    ]
    firewalls = [words for words in found if words.type == "microsoft.network/networksecuritygroups"]
    if not firewalls:
        hint = "Its machines use a security group of yours, or are gone."
        raise BadRequest(f"There is no firewall of {deployment_id}.", hint)
    rule = bodies.ssh_rule(ipv4_networks(cidrs), port)
    for words in firewalls:
        put = api.network.security_rules.begin_create_or_update
        api.do(put, words.group, words.name, bodies.SSH_RULE, rule)
