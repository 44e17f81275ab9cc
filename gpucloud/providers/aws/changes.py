"""What is done to things that exist: remove, switch off and on, move the deadline, change who may connect.

Every change fetches the thing again by its id and looks at its tags first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gpucloud.core.cloud import TAG_DEADLINE, Resource
from gpucloud.core.errors import BadRequest, CloudError, GpucloudError, PermissionDenied, StateConflict, UsageError
from gpucloud.core.tags import is_of
from gpucloud.providers.aws import alarms, groups, machines, marks
from gpucloud.providers.aws.errors import code_of
from gpucloud.providers.aws.regions import Regions
from gpucloud.providers.aws.session import Clients
from gpucloud.providers.in_parallel import in_parallel

SETTLE_S, SETTLE_POLL_S = 120.0, 2.0  # for a machine that is on its way from one state to another
NOT_FOUND = ("InvalidInstanceID.NotFound", "InvalidVolume.NotFound", "InvalidGroup.NotFound", "InvalidGroupId.NotFound")


@dataclass(frozen=True)
class Changes:
    """Changes for one account. `home_id` is that of this home; `port` is where sshd listens."""

    clients: Clients
    regions: Regions
    account: str
    home_id: str
    port: int

    # ---- removal

    def destroy(self, resource: Resource) -> None:
        """Accepted, or already gone. Raises BadRequest for what is not ours."""
        ways: dict[str, Callable[[Resource], None]] = {
            "machine": self._end_machine,
            machines.VOLUME: self._end_volume,
            groups.KIND: self._end_group,
            alarms.KIND: self._end_alarm,
        }
        if resource.kind not in ways:
            raise BadRequest(f"gpucloud makes no {resource.kind} at AWS.")
        ways[resource.kind](resource)

    def _end_machine(self, resource: Resource) -> None:
        instance = self._instance(resource)
        if instance is None or instance["State"]["Name"] in ("shutting-down", "terminated"):
            return
        self._checked(resource, machines.machine(instance, self.account, resource.region, self.port))
        self._call(resource, "TerminateInstances", InstanceIds=[resource.id])

    def _end_volume(self, resource: Resource) -> None:
        found = self._one(resource, "DescribeVolumes", "Volumes", VolumeIds=[resource.id])
        if found is None or found.get("State") in ("deleting", "deleted"):
            return
        self._checked(resource, machines.volume(found, self.account, resource.region))
        try:
            self._call(resource, "DeleteVolume", VolumeId=resource.id)
        except BadRequest as error:
            if code_of(error) == "VolumeInUse":
                raise CloudError(f"The volume {resource.id} is still attached to a machine that is ending.") from error
            if code_of(error) not in NOT_FOUND:
                raise

    def _end_group(self, resource: Resource) -> None:
        found = self._one(resource, "DescribeSecurityGroups", "SecurityGroups", GroupIds=[resource.id])
        if found is not None:
            self._checked(resource, machines.group(found, self.account, resource.region))
            groups.delete(self.clients, resource.region, resource.id)

    def _end_alarm(self, resource: Resource) -> None:
        found = alarms.by_name(self.clients, resource.region, resource.id)
        if found:
            tags = alarms.tags_of(self.clients, resource.region, found["AlarmArn"])
            self._checked(resource, machines.alarm(found, tags, self.account, resource.region))
            alarms.delete(self.clients, resource.region, resource.id)

    # ---- power

    def stop(self, resource: Resource) -> None:
        """Switch off, disk kept; off is success. Raises StateConflict for a spot machine."""
        instance = self._steady(resource, ("running", "stopping", "stopped"))
        if instance["State"]["Name"] != "running":
            return
        if instance.get("InstanceLifecycle") == "spot":
            raise StateConflict(
                f"{resource.id} is a one-time spot machine, which EC2 cannot stop.",
                "`gpucloud down` removes it; its disk goes with it.",
            )
        self._call(resource, "StopInstances", InstanceIds=[resource.id])

    def start(self, resource: Resource, deadline_epoch_s: float | None, now: float) -> None:
        """Switch on, with the new deadline in the tags first; on is success. CapacityError where there is no room."""
        instance = self._steady(resource, ("running", "pending", "stopped"))
        self._move_deadline(resource, instance, deadline_epoch_s, now)
        if instance["State"]["Name"] == "stopped":
            self._call(resource, "StartInstances", InstanceIds=[resource.id])

    def extend(self, resource: Resource, deadline_epoch_s: float | None, now: float) -> None:
        """The deadline in the tags of the machine, its disks and its group, and the alarm where there is one."""
        self._move_deadline(resource, self._steady(resource, machines.STATES), deadline_epoch_s, now)

    def _move_deadline(
        self, resource: Resource, instance: dict[str, Any], deadline_epoch_s: float | None, now: float
    ) -> None:
        found = machines.machine(instance, self.account, resource.region, self.port)
        self._move_alarm(found, deadline_epoch_s, now)
        ids = [resource.id, *_disks_of(instance), *self._groups_of(found, instance)]
        if deadline_epoch_s is None:
            self._call(resource, "DeleteTags", Resources=ids, Tags=[{"Key": TAG_DEADLINE}])
        else:
            moved = marks.tag_list({TAG_DEADLINE: str(round(deadline_epoch_s))})
            self._call(resource, "CreateTags", Resources=ids, Tags=moved)

    def _move_alarm(self, found: Resource, deadline_epoch_s: float | None, now: float) -> None:
        name = alarms.alarm_name(found.deployment_id, found.attempt, found.rank)
        try:
            known = alarms.by_name(self.clients, found.region, name)
        except PermissionDenied:
            return  # who may not look at alarms cannot have made one
        if not known:
            return
        if deadline_epoch_s is None:
            alarms.delete(self.clients, found.region, name)
            return
        alarms.put(self.clients, found, alarms.hours_until(deadline_epoch_s, now), found.tags)
        alarms.tag(self.clients, found.region, known["AlarmArn"], deadline_epoch_s)

    def _groups_of(self, found: Resource, instance: dict[str, Any]) -> list[str]:
        """The machine's groups that are this deployment's own."""
        cards = [card.get("Groups", ()) for card in instance.get("NetworkInterfaces", ())]
        shown = [item["GroupId"] for items in (instance.get("SecurityGroups", ()), *cards) for item in items]
        ids = list(dict.fromkeys(shown))
        if not ids:
            return []
        rows = self.clients.call("ec2", found.region, "DescribeSecurityGroups", GroupIds=ids).get("SecurityGroups")
        seen = [machines.group(row, self.account, found.region) for row in rows or ()]
        return [item.id for item in seen if is_of(item, found.deployment_id, found.home_id)]

    # ---- who may connect

    def allow(self, deployment_id: str, cidrs: Sequence[str]) -> None:
        """SSH to the deployment from these networks and no others. Raises UsageError when it has no group of ours."""
        asked = self.regions.enabled()
        answers = in_parallel([partial(self._allowed, region, deployment_id, cidrs) for region in asked], 32)
        errors = [answer for answer in answers if isinstance(answer, GpucloudError)]
        if any(answer is True for answer in answers):
            return
        if errors:
            raise errors[0]
        raise UsageError(
            f"The deployment {deployment_id} has no security group of its own.",
            "It was made with --security-group: change that one at AWS.",
        )

    def _allowed(self, region: str, deployment_id: str, cidrs: Sequence[str]) -> bool | GpucloudError:
        only = marks.filters(deployment_id)
        try:
            rows = list(self.clients.pages("ec2", region, "DescribeSecurityGroups", "SecurityGroups", Filters=only))
        except GpucloudError as error:
            return error
        ours = [r for r in rows if is_of(machines.group(r, self.account, region), deployment_id, self.home_id)]
        for row in ours:
            groups.set_ssh(self.clients, region, row, cidrs, self.port)
        return bool(ours)

    # ---- inside

    def _call(self, resource: Resource, operation: str, **words: Any) -> dict[str, Any]:
        return self.clients.call("ec2", resource.region, operation, **words)

    def _checked(self, wanted: Resource, found: Resource) -> None:
        marks.refuse_foreign(wanted, found)

    def _one(self, resource: Resource, operation: str, key: str, **words: Any) -> dict[str, Any] | None:
        """The thing with that id, None when EC2 does not know it."""
        try:
            found: list[dict[str, Any]] = self._call(resource, operation, **words).get(key) or []
        except BadRequest as error:
            if code_of(error) in NOT_FOUND:
                return None
            raise
        return found[0] if found else None

    def _instance(self, resource: Resource) -> dict[str, Any] | None:
        row = self._one(resource, "DescribeInstances", "Reservations", InstanceIds=[resource.id])
        return row["Instances"][0] if row else None

    def _steady(self, resource: Resource, wanted: Sequence[str] | Any) -> dict[str, Any]:
        """The instance, checked to be ours, once it is in one of those states. Raises CloudError otherwise."""
        patience = SETTLE_S
        while True:
            instance = self._instance(resource)
            if instance is None or instance["State"]["Name"] in ("shutting-down", "terminated"):
                raise StateConflict(
                    f"The machine {resource.id} is gone.", "`gpucloud ls --refresh` shows what is left."
                )
            self._checked(resource, machines.machine(instance, self.account, resource.region, self.port))
            if instance["State"]["Name"] in wanted:
                return instance
            if patience <= 0:
                raise CloudError(f"The machine {resource.id} stays {instance['State']['Name']}.", "Try again later.")
            patience -= SETTLE_POLL_S
            self.clients.sleep(SETTLE_POLL_S)


def _disks_of(instance: dict[str, Any]) -> list[str]:
    """Disks that came with the machine, not those that somebody attached later and keeps."""
    disks = [item.get("Ebs", {}) for item in instance.get("BlockDeviceMappings", ())]
    return [disk["VolumeId"] for disk in disks if disk.get("VolumeId") and disk.get("DeleteOnTermination")]
