"""Everything of ours in every region: machines, disks, security groups, alarms; filtered by EC2, all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from gpucloud.core.cloud import Resource, Scan
from gpucloud.core.errors import CloudError, CredentialsError, GpucloudError
from gpucloud.providers.aws import alarms, machines, marks
from gpucloud.providers.aws.regions import Regions
from gpucloud.providers.aws.session import Clients
from gpucloud.providers.in_parallel import in_parallel

AT_ONCE = 32
INSTANCES = ("pending", "running", "shutting-down", "stopping", "stopped", "terminated")


class Finder:
    """Looks, for one account. `port` is where the machines' sshd listens."""

    def __init__(self, clients: Clients, regions: Regions, account: str, port: int) -> None:
        self._clients, self._regions, self._account, self._port = clients, regions, account, port

    def find(self, deployment_id: str | None, regions: Sequence[str]) -> Scan:
        """A look at these regions, or at all that are switched on. One that fails is named with the reason."""
        asked = tuple(dict.fromkeys(regions)) or tuple(self._regions.enabled())
        answers = in_parallel([partial(self._tried, region, deployment_id) for region in asked], AT_ONCE)
        found = [item for answer in answers if isinstance(answer, list) for item in answer]
        silent = {region: answer for region, answer in zip(asked, answers, strict=True) if not isinstance(answer, list)}
        refused = [error for error in silent.values() if isinstance(error, CredentialsError)]
        if refused and len(silent) == len(asked):
            raise refused[0]
        scanned = tuple(region for region in asked if region not in silent)
        return Scan(tuple(found), scanned, {region: error.message for region, error in silent.items()})

    def _tried(self, region: str, deployment_id: str | None) -> list[Resource] | GpucloudError:
        try:
            return self._regions.explained(region, lambda: self._of_region(region, deployment_id))
        except GpucloudError as error:
            return error

    def _of_region(self, region: str, deployment_id: str | None) -> list[Resource]:
        nodes = list(self._machines(region, deployment_id))
        ids = [node.id for node in nodes if node.state != "gone"]
        others = [*self._volumes(region, deployment_id, ids), *self._groups(region, deployment_id)]
        others += self._alarms(region, deployment_id)
        return [*_standing(nodes, others), *others]

    def _machines(self, region: str, deployment_id: str | None) -> Iterator[Resource]:
        only = [*marks.filters(deployment_id), {"Name": "instance-state-name", "Values": list(INSTANCES)}]
        for reservation in self._clients.pages("ec2", region, "DescribeInstances", "Reservations", Filters=only):
            for instance in reservation["Instances"]:
                node = machines.machine(instance, self._account, region, self._port)
                if not node.deployment_id and node.state != "gone":
                    # EC2 may show a machine before its tags: whose it is cannot be told, so this look is worth nothing.
                    raise CloudError(f"the machine {node.id} shows no tags yet")
                yield node

    def _volumes(self, region: str, deployment_id: str | None, ids: Sequence[str]) -> Iterator[Resource]:
        only = marks.filters(deployment_id)
        for found in self._clients.pages("ec2", region, "DescribeVolumes", "Volumes", Filters=only):
            if found.get("State") != "deleted" and not machines.ends_with_its_machine(found, ids):
                yield machines.volume(found, self._account, region)

    def _groups(self, region: str, deployment_id: str | None) -> Iterator[Resource]:
        only = marks.filters(deployment_id)
        for found in self._clients.pages("ec2", region, "DescribeSecurityGroups", "SecurityGroups", Filters=only):
            yield machines.group(found, self._account, region)

    def _alarms(self, region: str, deployment_id: str | None) -> Iterator[Resource]:
        for found, tags in alarms.ours(self._clients, region, deployment_id):
            yield machines.alarm(found, tags, self._account, region)


def _standing(nodes: Sequence[Resource], others: Sequence[Resource]) -> list[Resource]:
    """Machines that are not gone.

    EC2 shows a terminated machine for about an hour. One that it took back is shown as `preempted`, so that
    `ls` can tell, as long as something else of its deployment is there; after that it is gone like any other.
    """
    left = {item.deployment_id for item in others}
    left |= {node.deployment_id for node in nodes if node.state not in ("gone", "preempted")}
    return [
        node for node in nodes if node.state != "gone" and (node.state != "preempted" or node.deployment_id in left)
    ]
