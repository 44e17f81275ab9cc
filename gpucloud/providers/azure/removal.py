"""Removing things, each fetched again first: nothing of anybody else is touched, not even inside a group of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from gpucloud.core.cloud import TAG_DEPLOYMENT, TAG_HOME, LaunchSpec, Resource
from gpucloud.core.errors import BadRequest
from gpucloud.core.tags import OURS, is_of
from gpucloud.providers.azure import schedule
from gpucloud.providers.azure.api import Api
from gpucloud.providers.azure.bodies import name_of_shared
from gpucloud.providers.azure.errors import Missing
from gpucloud.providers.azure.machines import group_of, machine_of, piece_of
from gpucloud.providers.azure.names import (
    GROUP,
    TAG_GROUP,
    Place,
    disk_name,
    ip_name,
    nic_name,
    nodes_of,
    own_group,
    parse_id,
    same_owner,
    tags_of,
)
from gpucloud.providers.in_parallel import in_parallel

# The order in which a deployment's things can go, and the operations of each kind.
KINDS: Mapping[str, tuple[str, str]] = {
    "interface": ("network", "network_interfaces"),
    "address": ("network", "public_ip_addresses"),
    "disk": ("compute", "disks"),
    "firewall": ("network", "network_security_groups"),
    "node-group": ("network", "application_security_groups"),
    "network": ("network", "virtual_networks"),
}
TOGETHER = (("interface",), ("address", "disk", "firewall", "network"), ("node-group",))
EXTENSION = "/extensions"


def destroy(api: Api, resource: Resource) -> None:
    """Ask Azure to remove it; already gone is success. Raises BadRequest for what is not ours."""
    tags = {TAG_DEPLOYMENT: resource.deployment_id, TAG_HOME: resource.home_id}
    if resource.kind == GROUP:
        return remove_group(api, resource.id, resource.deployment_id, tags, wait=False)
    if resource.kind == "machine":
        return _destroy_machine(api, resource)
    if resource.kind == "schedule":
        there = api.get(api.resources.resources.get_by_id, resource.id, api_version=schedule.DAILY_VERSION)
        if there is not None and _ours(piece_of(there), resource):
            delete = api.resources.resources.begin_delete_by_id
            api.do(delete, resource.id, api_version=schedule.DAILY_VERSION)
        return None
    if resource.kind not in KINDS:
        raise BadRequest(f"azure has no {resource.kind} of gpucloud.")
    words, kind = parse_id(resource.id), _operations(api, resource.kind)
    there = api.get(kind.get, words.group, words.name)
    if there is not None and _ours(piece_of(there), resource):
        _accept(api, kind.begin_delete, words.group, words.name)
    return None


def _destroy_machine(api: Api, resource: Resource) -> None:
    group = group_name(resource)
    there = api.get(api.compute.virtual_machines.get, group, resource.id)
    if there is None or not _ours(machine_of(there, 22), resource):
        return
    if there["properties"].get("provisioningState") != "Deleting":
        _accept(api, api.compute.virtual_machines.begin_delete, group, resource.id, force_deletion=True)


def group_name(resource: Resource) -> str:
    """The resource group that a machine was found in, else the deployment's own."""
    return resource.tags.get(TAG_GROUP) or own_group(resource.deployment_id)


def _ours(now: Resource | None, chosen: Resource) -> bool:
    if now is None or not is_of(now, chosen.deployment_id, chosen.home_id):
        raise BadRequest(f"The {chosen.kind} {chosen.name or chosen.id} does not carry our tags; it is not touched.")
    return True


def _operations(api: Api, kind: str) -> Any:
    client, name = KINDS[kind]
    return getattr(getattr(api, client), name)


def _accept(api: Api, operation: Any, *words: Any, **named: Any) -> None:
    try:
        api.accept(operation, *words, **named)
    except Missing:
        return


def set_tags(api: Api, machine: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """The tags of a machine, whole."""
    if tags_of(machine) == dict(tags):
        return
    words = parse_id(str(machine["id"]))
    api.do(api.compute.virtual_machines.begin_update, words.group, words.name, {"tags": dict(tags)})


# ---- a whole group


def remove_group(api: Api, group: str, deployment_id: str, tags: Mapping[str, str], *, wait: bool) -> None:
    """Remove the deployment's own group. Where strangers have put something into it, only what is ours goes.

    Raises BadRequest for a group that is not the deployment's.
    """
    groups = api.resources.resource_groups
    there = api.get(groups.get, group)
    if there is None:
        return
    found = group_of(there, api.subscription)
    if not is_of(found, deployment_id, tags.get(TAG_HOME, "")) or group != own_group(deployment_id):
        raise BadRequest(f"The resource group {group} does not carry our tags; it is not touched.")
    inside = api.items(api.resources.resources.list_by_resource_group, group)
    if any(not _belongs(item, deployment_id, tags) for item in inside):
        return _empty(api, there, inside, deployment_id, tags)
    try:
        if wait:
            api.do(groups.begin_delete, group)
        elif found.state != "stopping":
            api.accept(groups.begin_delete, group)
    except Missing:
        return


def _belongs(item: Mapping[str, Any], deployment_id: str, tags: Mapping[str, str]) -> bool:
    """Ours by its tags; an OS disk by its name, because it is Azure that makes it; and what is part of a machine."""
    if same_owner(item, tags):
        return True
    kind, name = str(item.get("type") or "").lower(), str(item.get("name") or "")
    return kind.endswith(EXTENSION) or (kind == "microsoft.compute/disks" and name.startswith(f"{deployment_id}-"))


def _empty(
    api: Api, group: Mapping[str, Any], inside: Sequence[Mapping[str, Any]], deployment_id: str, tags: Mapping[str, str]
) -> None:
    """Take what is ours out of a group that strangers use too, and leave the group to them, without our tags."""
    name, machines = str(group["name"]), api.compute.virtual_machines
    ours = [parse_id(str(item["id"])) for item in inside if _belongs(item, deployment_id, tags)]
    vms = [words.name for words in ours if words.type == "microsoft.compute/virtualmachines"]
    in_parallel([partial(_gone, api, machines.begin_delete, name, vm, force_deletion=True) for vm in vms])
    pieces = {kind: [piece for piece in map(piece_of, inside) if piece and piece.kind == kind] for kind in KINDS}
    for kinds in TOGETHER:
        chosen = [
            (kind, piece.name) for kind in kinds for piece in pieces[kind] if piece.name in {w.name for w in ours}
        ]
        in_parallel([partial(_gone, api, _operations(api, kind).begin_delete, name, piece) for kind, piece in chosen])
    in_parallel([partial(schedule.unset_daily, api, _vm_id(api, name, vm)) for vm in vms])
    left = {key: value for key, value in tags_of(group).items() if key not in OURS}
    api.call(api.resources.resource_groups.update, name, {"tags": left})


def _vm_id(api: Api, group: str, name: str) -> str:
    return api.scope(f"/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}")


# ---- one attempt's things in the user's group


def remove_pieces(api: Api, spec: LaunchSpec, place: Place) -> None:
    """Remove what an attempt has made in a group of the user's, and wait until it is gone."""
    nodes, shared = nodes_of(spec), name_of_shared(spec)
    machines = api.compute.virtual_machines
    in_parallel([partial(_remove, api, machines, place.group, node, spec, force_deletion=True) for node in nodes])
    names = {
        "interface": [nic_name(node) for node in nodes],
        "address": [ip_name(node) for node in nodes],
        "disk": [disk_name(node) for node in nodes],
        **{kind: [shared] for kind in ("firewall", "node-group", "network")},
    }
    for kinds in TOGETHER:
        chosen = [(kind, name) for kind in kinds for name in names[kind]]
        in_parallel([partial(_remove, api, _operations(api, kind), place.group, name, spec) for kind, name in chosen])
    in_parallel([partial(schedule.unset_daily, api, _vm_id(api, place.group, node)) for node in nodes])


def _remove(api: Api, kind: Any, group: str, name: str, spec: LaunchSpec, **named: Any) -> None:
    there = api.get(kind.get, group, name)
    if there is not None and _belongs(there, spec.deployment_id, spec.tags):
        _gone(api, kind.begin_delete, group, name, **named)


def _gone(api: Api, operation: Any, *words: Any, **named: Any) -> None:
    """Removed, and waited for."""
    try:
        api.do(operation, *words, **named)
    except Missing:
        return
