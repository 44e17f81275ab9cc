"""Names, ids and tags as pure functions: where a thing lies, what it is called, and whose it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpucloud.core.cloud import TAG_DEPLOYMENT, TAG_HOME, LaunchSpec
from gpucloud.core.errors import BadRequest
from gpucloud.core.names import node_name

CLOUD = "azure"
# Tags beside the four of every cloud: who logs in, and what will deallocate the machine at its deadline.
TAG_LOGIN, TAG_BACKSTOP = "gpucloud-login", "gpucloud-backstop"
TAG_POWER, TAG_GROUP = "gpucloud-power", "gpucloud-group"  # never written; find puts them on what it shows
STILL_BILLED = "stopped by the guest, but not deallocated: it bills"
KINDS = {
    "microsoft.compute/virtualmachines": "machine",
    "microsoft.compute/disks": "disk",
    "microsoft.network/publicipaddresses": "address",
    "microsoft.network/networkinterfaces": "interface",
    "microsoft.network/networksecuritygroups": "firewall",
    "microsoft.network/applicationsecuritygroups": "node-group",
    "microsoft.network/virtualnetworks": "network",
    "microsoft.devtestlab/schedules": "schedule",
}
GROUP = "resource-group"
MOST_TAGS = 50
_NODE = re.compile(r"-([1-9][0-9]*)-([0-9]+)(?:-nic|-ip|-disk)?")
_ID = re.compile(
    r"/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/([^/]+)/([^/]+)/([^/]+)(?:/.*)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Place:
    """Where an attempt's things go: the resource group, and whether it is the deployment's own."""

    group: str
    own: bool


def place_of(spec: LaunchSpec) -> Place:
    """The user's resource group, or one of the deployment's own."""
    asked = spec.options.get("resource-group", "")
    return Place(asked or own_group(spec.deployment_id), own=not asked)


def own_group(deployment_id: str) -> str:
    """The resource group of a deployment."""
    return f"gpucloud-{deployment_id}"


def shared_name(deployment_id: str, attempt: int) -> str:
    """What an attempt's network, firewall and node group are called."""
    return f"gpucloud-{deployment_id}-{attempt}"


def nodes_of(spec: LaunchSpec) -> list[str]:
    """The machines of an attempt."""
    return [node_name(spec.deployment_id, spec.attempt, rank) for rank in range(spec.nodes)]


def nic_name(node: str) -> str:
    """The network interface of a machine."""
    return f"{node}-nic"


def ip_name(node: str) -> str:
    """The public address of a machine."""
    return f"{node}-ip"


def disk_name(node: str) -> str:
    """The OS disk of a machine."""
    return f"{node}-disk"


def schedule_name(node: str) -> str:
    """The shutdown schedule of a machine; its form is laid down by DevTest Labs."""
    return f"shutdown-computevm-{node}"


@dataclass(frozen=True)
class ArmId:
    """The words of a resource's id. `type` is in lower case, `provider/type`."""

    subscription: str
    group: str
    type: str
    name: str


def parse_id(text: str) -> ArmId:
    """Raises BadRequest for a text that is no resource's id."""
    match = _ID.fullmatch(text)
    if match is None:
        raise BadRequest(f"'{text}' is not the id of an Azure resource.")
    return ArmId(match[1].lower(), match[2], f"{match[3]}/{match[4]}".lower(), match[5])


def attempt_and_rank(name: str, deployment_id: str) -> tuple[int | None, int | None]:
    """The attempt and rank in a machine's (or its disk's, …) name."""
    if not deployment_id or not name.startswith(deployment_id):
        return None, None
    match = _NODE.fullmatch(name.removeprefix(deployment_id))
    return (int(match[1]), int(match[2])) if match else (None, None)


def tags_of(item: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a resource's JSON."""
    return {str(key): str(value) for key, value in (item.get("tags") or {}).items()}


def same_owner(item: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Whether a thing belongs to the same deployment of the same home as these tags."""
    tags = tags_of(item)
    return all(wanted.get(key) and tags.get(key) == wanted.get(key) for key in (TAG_DEPLOYMENT, TAG_HOME))


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a create request. Raises BadRequest for what Azure does not take."""
    for key, value in tags.items():
        if not key or len(key) > 512 or len(value) > 256 or set("<>%&\\?/") & set(key):
            raise BadRequest(f"Azure does not take the tag {key}={value}.", "A key has none of <>%&\\?/.")
    if len(tags) > MOST_TAGS:
        raise BadRequest(f"Azure takes {MOST_TAGS} tags, not {len(tags)}.", "Leave some --tag out.")
    return dict(tags)
