"""Machines and what lies beside them as resources: state, market, address, and what their tags say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gpucloud.core.cloud import TAG_DEPLOYMENT, Endpoint, Resource
from gpucloud.providers.azure.guards import LOGIN
from gpucloud.providers.azure.names import (
    CLOUD,
    GROUP,
    KINDS,
    STILL_BILLED,
    TAG_GROUP,
    TAG_LOGIN,
    TAG_POWER,
    attempt_and_rank,
    parse_id,
    tags_of,
)

POWER = {
    "running": "running",
    "starting": "pending",
    "stopping": "stopping",
    "stopped": "stopping",  # by the guest or by a power-off: still allocated, so it bills
    "deallocating": "stopping",
    "deallocated": "stopped",
}


def power_of(machine: Mapping[str, Any]) -> str:
    """`running`, `stopped`, `deallocated`, …; empty where the answer does not say."""
    return _status(machine, "PowerState/")


def failure_of(machine: Mapping[str, Any]) -> tuple[str, str]:
    """Code and sentence of a failed provisioning; empty where the answer does not say."""
    for status in _statuses(machine):
        words = str(status.get("code") or "").split("/")
        if words[:2] == ["ProvisioningState", "failed"]:
            return (words[2] if len(words) > 2 else ""), str(status.get("message") or "")
    return "", ""


def _statuses(machine: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(((machine.get("properties") or {}).get("instanceView") or {}).get("statuses") or ())


def _status(machine: Mapping[str, Any], prefix: str) -> str:
    codes = [str(status.get("code") or "") for status in _statuses(machine)]
    return next((code.removeprefix(prefix) for code in codes if code.startswith(prefix)), "")


def state_of(machine: Mapping[str, Any]) -> str:
    """One of MACHINE_STATES. Only a deallocated machine is `stopped`: a guest that is off bills on."""
    provisioning = str((machine.get("properties") or {}).get("provisioningState") or "")
    if provisioning == "Deleting":
        return "stopping"
    power = POWER.get(power_of(machine), "")
    if provisioning == "Failed":
        return power if power in ("running", "stopping", "stopped") else "failed"
    if provisioning == "Creating" or not power:
        return "pending"
    return power


def machine_of(
    item: Mapping[str, Any], ssh_port: int, public_ip: str = "", private_ip: str = "", has_public: bool = False
) -> Resource:
    """One machine, whose JSON has the instance view."""
    words, tags, properties = parse_id(str(item["id"])), tags_of(item), item.get("properties") or {}
    deployment_id, state = tags.get(TAG_DEPLOYMENT, ""), state_of(item)
    attempt, rank = attempt_and_rank(str(item["name"]), deployment_id)
    host = public_ip or ("" if has_public else private_ip)
    user = tags.get(TAG_LOGIN) or LOGIN
    tags[TAG_GROUP] = words.group
    if power_of(item) == "stopped":
        tags[TAG_POWER] = STILL_BILLED
    zones = item.get("zones") or [""]
    return Resource(
        cloud=CLOUD,
        account=words.subscription,
        region=str(item["location"]),
        kind="machine",
        id=str(item["name"]),
        name=str(item["name"]),
        zone=str(zones[0]),
        state=state,
        rank=rank,
        attempt=attempt,
        instance_type=str((properties.get("hardwareProfile") or {}).get("vmSize") or ""),
        market="spot" if properties.get("priority") == "Spot" else "on-demand",
        created_epoch_s=epoch_s(str(properties.get("timeCreated") or "")),
        tags=tags,
        endpoint=Endpoint(host, ssh_port, user, base_dir=f"gpucloud/{deployment_id}")
        if host and state == "running"
        else None,
        private_ip=private_ip,
    )


def piece_of(item: Mapping[str, Any]) -> Resource | None:
    """A disk, address, interface, firewall, …; None for a kind that we never make."""
    words, tags = parse_id(str(item["id"])), tags_of(item)
    kind = KINDS.get(words.type)
    if kind is None:
        return None
    attempt, _ = attempt_and_rank(words.name.removeprefix("shutdown-computevm-"), tags.get(TAG_DEPLOYMENT, ""))
    return Resource(
        cloud=CLOUD,
        account=words.subscription,
        region=str(item.get("location") or ""),
        kind=kind,
        id=str(item["id"]),
        name=words.name,
        attempt=attempt,
        created_epoch_s=epoch_s(str(item.get("createdTime") or "")),
        tags=tags,
    )


def group_of(item: Mapping[str, Any], subscription: str) -> Resource:
    """A deployment's own resource group, which stands for everything in it but the machines."""
    deleting = (item.get("properties") or {}).get("provisioningState") == "Deleting"
    return Resource(
        cloud=CLOUD,
        account=subscription,
        region=str(item["location"]),
        kind=GROUP,
        id=str(item["name"]),
        name=str(item["name"]),
        state="stopping" if deleting else "running",
        created_epoch_s=epoch_s(str(item.get("createdTime") or "")),
        tags=tags_of(item),
    )


def epoch_s(text: str) -> float | None:
    """An ISO time, with as many digits of a second as Azure likes; None for none."""
    head, dot, tail = text.replace("Z", "+00:00").partition(".")
    if dot:
        fraction, plus, zone = tail.partition("+")
        head = f"{head}.{fraction[:6].ljust(6, '0')}{plus}{zone}"
    try:
        return datetime.fromisoformat(head).timestamp()
    except ValueError:
        return None
