"""Everything of ours in one subscription: by tag, and where the name tells where to look, by name as well.

The index of tags may lag behind by minutes; a deployment's own resource group is asked for by its name, and the
machines in it through Microsoft.Compute itself. A group of ours stands for everything in it but its machines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gpucloud.core.cloud import TAG_DEPLOYMENT, Resource, Scan
from gpucloud.core.errors import CredentialsError, GpucloudError
from gpucloud.providers.azure.api import SUBSCRIPTIONS_VERSION, Api
from gpucloud.providers.azure.errors import Missing
from gpucloud.providers.azure.machines import group_of, machine_of, piece_of
from gpucloud.providers.azure.names import own_group, parse_id, tags_of
from gpucloud.providers.in_parallel import outcomes


def find(api: Api, deployment_id: str | None, regions: Sequence[str], ssh_port: int) -> Scan:
    """A list that fails silences every region: nobody can tell which of them holds something."""
    tag = f"tagName eq '{TAG_DEPLOYMENT}'" + (f" and tagValue eq '{deployment_id}'" if deployment_id else "")
    jobs: list[Callable[[], Any]] = [
        lambda: list(regions) or all_regions(api),
        lambda: _groups(api, tag, deployment_id),
        lambda: api.items(api.resources.resources.list, filter=tag, expand="createdTime"),
    ]
    asked, groups, tagged = outcomes(jobs)
    failed = next((item for item in (asked, groups, tagged) if isinstance(item, GpucloudError)), None)
    if failed is not None and (isinstance(failed, CredentialsError) or isinstance(asked, GpucloudError)):
        raise failed
    if failed is None:
        found = _things(api, groups, tagged, deployment_id, ssh_port)
        if isinstance(found, GpucloudError):
            failed = found
    if failed is not None:
        return Scan(unscanned=dict.fromkeys(asked, failed.message))
    wanted = [item for item in found if item.region in asked and deployment_id in (None, item.deployment_id)]
    return Scan(tuple(wanted), tuple(asked))


def all_regions(api: Api) -> list[str]:
    """The physical regions that the subscription may use."""
    known = api.ask("GET", api.scope("/locations"), SUBSCRIPTIONS_VERSION)["value"]
    return [
        str(item["name"]) for item in known if (item.get("metadata") or {}).get("regionType", "Physical") == "Physical"
    ]


def _groups(api: Api, tag: str, deployment_id: str | None) -> list[dict[str, Any]]:
    """The resource groups that are a deployment's own: they carry our tags and the name that we give them."""
    kind = api.resources.resource_groups
    found = {item["name"]: item for item in api.items(kind.list, filter=tag)}
    if deployment_id:
        own = api.get(kind.get, own_group(deployment_id))
        found.pop(own_group(deployment_id), None)
        if own is not None:
            found[own["name"]] = own
    return [item for item in found.values() if item["name"] == own_group(tags_of(item).get(TAG_DEPLOYMENT, ""))]


def _things(
    api: Api,
    groups: Sequence[Mapping[str, Any]],
    tagged: Sequence[Mapping[str, Any]],
    deployment_id: str | None,
    port: int,
) -> Any:
    """The resources, or the error that one of the looks ended with."""
    own = {str(item["name"]).lower() for item in groups}
    lists = outcomes([partial(_machine_ids, api, str(item["name"])) for item in groups])
    elsewhere = [item for item in tagged if parse_id(str(item["id"])).group.lower() not in own]
    machines = {str(item["id"]).lower(): item for found in lists if isinstance(found, list) for item in found}
    machines.update({str(item["id"]).lower(): item for item in elsewhere if _is_machine(item)})
    ours = [str(item["id"]) for item in machines.values() if TAG_DEPLOYMENT in tags_of(item)]
    looks = outcomes([partial(_look, api, one, port, bool(deployment_id)) for one in ours])
    failed = next((item for item in (*lists, *looks) if isinstance(item, GpucloudError)), None)
    if failed is not None:
        return failed
    pieces = [piece_of(item) for item in elsewhere if not _is_machine(item)]
    found = [group_of(item, api.subscription) for item in groups]
    return [*found, *(item for item in (*looks, *pieces) if item is not None)]


def _is_machine(item: Mapping[str, Any]) -> bool:
    return parse_id(str(item["id"])).type == "microsoft.compute/virtualmachines"


def _machine_ids(api: Api, group: str) -> list[dict[str, Any]]:
    try:
        return api.items(api.compute.virtual_machines.list, group)
    except Missing:  # the group went meanwhile
        return []


def _look(api: Api, machine_id: str, port: int, with_address: bool) -> Resource | None:
    words = parse_id(machine_id)
    return machine(api, words.group, words.name, port, with_address=with_address)


def machine(api: Api, group: str, name: str, port: int, *, with_address: bool = True) -> Resource | None:
    """One machine as it is now, None when there is none."""
    there = api.get(api.compute.virtual_machines.get, group, name, expand="instanceView")
    if there is None:
        return None
    public, private, has_public = _addresses(api, there) if with_address else ("", "", False)
    return machine_of(there, port, public, private, has_public)


def _addresses(api: Api, there: Mapping[str, Any]) -> tuple[str, str, bool]:
    """Public and private address of a machine's first interface, and whether it has a public one at all."""
    interfaces = ((there.get("properties") or {}).get("networkProfile") or {}).get("networkInterfaces") or ()
    if not interfaces:
        return "", "", False
    words = parse_id(str(interfaces[0]["id"]))
    kind = api.network.network_interfaces
    nic = api.get(kind.get, words.group, words.name, expand="ipConfigurations/publicIPAddress")
    configurations = ((nic or {}).get("properties") or {}).get("ipConfigurations") or ()
    if not configurations:
        return "", "", False
    inner = configurations[0].get("properties") or {}
    address = inner.get("publicIPAddress")
    public = str(((address or {}).get("properties") or {}).get("ipAddress") or "")
    return public, str(inner.get("privateIPAddress") or ""), address is not None
