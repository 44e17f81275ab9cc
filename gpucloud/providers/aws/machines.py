"""EC2's words for machines, disks, groups and alarms as our resources."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from typing import Any

from gpucloud.core.cloud import Endpoint, Resource
from gpucloud.core.names import is_deployment_id, node_name
from gpucloud.providers.aws import alarms, groups, marks

STATES = {
    "pending": "pending",
    "running": "running",
    "shutting-down": "stopping",
    "stopping": "stopping",
    "stopped": "stopped",
    "terminated": "gone",
}
TAKEN_BACK = ("Server.SpotInstanceTermination", "Server.SpotInstanceShutdown")
VOLUME = "volume"


def state_of(instance: Mapping[str, Any]) -> str:
    """Our word for an instance's state; one that EC2 took back is `preempted`, not just ending."""
    name = instance["State"]["Name"]
    if name in ("shutting-down", "terminated", "stopped", "stopping"):
        reason = instance.get("StateReason", {}).get("Code", "")
        if reason in TAKEN_BACK:
            return "preempted"
    return STATES.get(name, "failed")


def machine(instance: Mapping[str, Any], account: str, region: str, port: int) -> Resource:
    """An instance. Its rank is its place in the one request that made all nodes."""
    tags = marks.tags_of(instance.get("Tags"))
    attempt, rank = marks.attempt_of(tags), int(instance.get("AmiLaunchIndex", 0))
    deployment, state = tags.get("gpucloud-deployment", ""), state_of(instance)
    launched = instance.get("LaunchTime")
    named = is_deployment_id(deployment) and attempt is not None
    return Resource(
        cloud="aws",
        account=account,
        region=region,
        kind="machine",
        id=instance["InstanceId"],
        name=node_name(deployment, attempt or 0, rank) if named else tags.get("Name", ""),
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        state=state,
        rank=rank,
        attempt=attempt,
        instance_type=instance.get("InstanceType", ""),
        market="spot" if instance.get("InstanceLifecycle") == "spot" else "on-demand",
        created_epoch_s=epoch_s(launched),
        tags=tags,
        endpoint=_endpoint(instance, tags, port) if state == "running" else None,
        private_ip=instance.get("PrivateIpAddress") or "",
    )


def _endpoint(instance: Mapping[str, Any], tags: Mapping[str, str], port: int) -> Endpoint | None:
    host = instance.get("PublicIpAddress") or instance.get("PrivateIpAddress")
    if not host:
        return None
    base = f"gpucloud/{tags.get('gpucloud-deployment', '')}"
    return Endpoint(host, port, tags.get(marks.TAG_SSH_USER) or "ubuntu", base_dir=base)


def epoch_s(moment: Any) -> float | None:
    """A datetime of boto3 as epoch seconds."""
    return None if moment is None else float(calendar.timegm(moment.utctimetuple()))


def volume(found: Mapping[str, Any], account: str, region: str) -> Resource:
    """A disk."""
    tags = marks.tags_of(found.get("Tags"))
    return Resource(
        cloud="aws",
        account=account,
        region=region,
        kind=VOLUME,
        id=found["VolumeId"],
        name=tags.get("Name", ""),
        zone=found.get("AvailabilityZone", ""),
        state="stopping" if found.get("State") == "deleting" else "running",
        attempt=marks.attempt_of(tags),
        created_epoch_s=epoch_s(found.get("CreateTime")),
        tags=tags,
    )


def ends_with_its_machine(found: Mapping[str, Any], ids: Sequence[str]) -> bool:
    """Whether one of these machines has the disk and takes it along when it ends."""
    uses: Sequence[Mapping[str, Any]] = found.get("Attachments") or ()
    return any(use.get("DeleteOnTermination") and use.get("InstanceId") in ids for use in uses)


def group(found: Mapping[str, Any], account: str, region: str) -> Resource:
    """A security group; EC2 does not say when it was made, so a tag does."""
    tags = marks.tags_of(found.get("Tags"))
    created = tags.get(marks.TAG_CREATED, "")
    return Resource(
        cloud="aws",
        account=account,
        region=region,
        kind=groups.KIND,
        id=found["GroupId"],
        name=found.get("GroupName", ""),
        attempt=marks.attempt_of(tags),
        created_epoch_s=float(created) if created.isdigit() else None,
        tags=tags,
    )


def alarm(found: Mapping[str, Any], tags: Mapping[str, str], account: str, region: str) -> Resource:
    """An alarm; its id is its name."""
    return Resource(
        cloud="aws",
        account=account,
        region=region,
        kind=alarms.KIND,
        id=found["AlarmName"],
        name=found["AlarmName"],
        attempt=marks.attempt_of(tags),
        created_epoch_s=epoch_s(found.get("AlarmConfigurationUpdatedTimestamp")),
        tags=dict(tags),
    )
