"""Instances and disks as resources: state, market, address, and what their names and labels say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gpucloud.core.cloud import TAG_DEPLOYMENT, Endpoint, Resource
from gpucloud.providers.gcp.api import last
from gpucloud.providers.gcp.guards import LOGIN
from gpucloud.providers.gcp.marks import LABEL_LOGIN, place_in_name, read_description
from gpucloud.providers.gcp.shapes import instance_type_of

CLOUD = "gcp"
STATES = {
    "PROVISIONING": "pending",
    "STAGING": "pending",
    "PENDING": "pending",
    "REPAIRING": "pending",
    "RUNNING": "running",
    "PENDING_STOP": "stopping",
    "STOPPING": "stopping",
    "SUSPENDING": "stopping",
    "DEPROVISIONING": "stopping",
    "TERMINATED": "stopped",
    "STOPPED": "stopped",
    "SUSPENDED": "stopped",
}


def region_of(zone: str) -> str:
    """`us-central1-a` is in `us-central1`."""
    return zone.rpartition("-")[0]


def machine_of(item: Any, project: str, ssh_port: int) -> Resource:
    """One instance."""
    zone, tags = last(item.zone), dict(item.labels)
    attempt, rank = place_in_name(item.name, tags.get(TAG_DEPLOYMENT, ""))
    accelerators = {last(card.accelerator_type): card.accelerator_count for card in item.guest_accelerators}
    interface = item.network_interfaces[0] if item.network_interfaces else None
    private = interface.network_i_p if interface else ""
    public = next((access.nat_i_p for access in interface.access_configs), "") if interface else ""
    host = public or ("" if interface and interface.access_configs else private)
    return Resource(
        cloud=CLOUD,
        account=project,
        region=region_of(zone),
        kind="machine",
        id=item.name,
        name=item.name,
        zone=zone,
        state=STATES.get(item.status, "failed"),
        rank=rank,
        attempt=attempt,
        instance_type=instance_type_of(last(item.machine_type), accelerators),
        market="spot" if item.scheduling.provisioning_model == "SPOT" else "on-demand",
        created_epoch_s=epoch_s(item.creation_timestamp),
        tags=tags,
        endpoint=_endpoint(host, ssh_port, tags) if host and item.status == "RUNNING" else None,
        private_ip=private,
    )


def _endpoint(host: str, port: int, tags: Mapping[str, str]) -> Endpoint:
    """How to log in; our folder there is the boot script's."""
    return Endpoint(host, port, tags.get(LABEL_LOGIN) or LOGIN, base_dir=f"gpucloud/{tags.get(TAG_DEPLOYMENT, '')}")


def disk_of(item: Any, project: str) -> Resource:
    """One disk that no instance has."""
    zone = last(item.zone)
    return Resource(
        cloud=CLOUD,
        account=project,
        region=region_of(zone),
        kind="disk",
        id=item.name,
        name=item.name,
        zone=zone,
        created_epoch_s=epoch_s(item.creation_timestamp),
        tags=dict(item.labels),
    )


def shared_of(kind: str, item: Any, project: str) -> Resource:
    """A firewall rule or network; they have no labels, their description says whose they are and for which region."""
    tags = read_description(item.description)
    return Resource(
        cloud=CLOUD,
        account=project,
        region=tags.pop("region", ""),
        kind=kind,
        id=item.name,
        name=item.name,
        created_epoch_s=epoch_s(item.creation_timestamp),
        tags=tags,
    )


def epoch_s(text: str) -> float | None:
    """An RFC 3339 time; None for none."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
