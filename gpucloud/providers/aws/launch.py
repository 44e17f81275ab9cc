"""One RunInstances request for all nodes of an attempt, and the way back when it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from gpucloud.core.boot import BootFacts
from gpucloud.core.cloud import LaunchSpec, Resource
from gpucloud.core.errors import (
    REFUSALS,
    AmbiguousError,
    BadRequest,
    CapacityError,
    GpucloudError,
    NotOffered,
    PolicyError,
)
from gpucloud.core.offers import Offer
from gpucloud.providers.aws import alarms, groups, guards, images, machines, marks
from gpucloud.providers.aws.errors import code_of
from gpucloud.providers.aws.images import Image, Images
from gpucloud.providers.aws.network import Network, Subnet
from gpucloud.providers.aws.session import Clients
from gpucloud.providers.boot import boot_data, ssh_port
from gpucloud.providers.site import Site

GONE_S, GONE_POLL_S = 180.0, 2.0  # how long a rolled-back machine may take to end
SOON_S, SOON_TRIES = 1.0, 8


@dataclass(frozen=True)
class Launcher:
    """Launches for one account."""

    clients: Clients
    images: Images
    network: Network
    site: Site
    account: str

    def launch(self, spec: LaunchSpec, now: float) -> Sequence[Resource]:
        """All machines or none; the same token gives the same machines. Refusals leave nothing behind."""
        hours = alarms.hours_until(spec.deadline_epoch_s or 0.0, now) if guards.alarmed(spec, now) else 0
        offer = self._placed(spec)
        spec = replace(spec, offer=offer)
        with ThreadPoolExecutor(1) as pool:
            subnet_asked = pool.submit(self.network.subnet, offer, spec.options)
            image = self.images.find(spec)
            subnet = subnet_asked.result()
        own = not groups.given(spec)
        words = self._request(spec, image, subnet)
        chosen = (
            [groups.ensure(self.clients, spec, subnet.vpc, ssh_port(self.site), now)] if own else groups.given(spec)
        )
        words["NetworkInterfaces"][0]["Groups"] = chosen
        nodes = self._run(spec, words, chosen[0] if own else "")
        if hours:
            self._arm(spec, nodes, hours, chosen[0] if own else "")
        return nodes

    def _placed(self, spec: LaunchSpec) -> Offer:
        """The offer with a zone: where none is said, one that is a pure function of the token."""
        if spec.offer.zone and not spec.options.get("subnet"):
            return spec.offer
        places = self.network.places(replace(spec.offer, zone=""), spec.options)
        if spec.offer.zone:
            if spec.offer.zone != places[0].zone:
                raise NotOffered(f"The subnet {spec.options['subnet']} is in {places[0].zone}, not {spec.offer.zone}.")
            return spec.offer
        number = int.from_bytes(hashlib.sha256(spec.token.encode()).digest()[:4], "big")
        return places[number % len(places)]

    # ---- the request

    def _request(self, spec: LaunchSpec, image: Image, subnet: Subnet) -> dict[str, Any]:
        user = spec.options.get("ssh-user") or image.ssh_user
        spot = spec.offer.market == "spot"
        kinds = ["instance", "volume", "network-interface", *(["spot-instances-request"] if spot else [])]
        words: dict[str, Any] = {
            "ImageId": image.id,
            "InstanceType": spec.offer.instance_type,
            "MinCount": spec.nodes,
            "MaxCount": spec.nodes,
            "ClientToken": spec.token,
            "UserData": self._boot_data(spec, user),
            "BlockDeviceMappings": _disks(spec, image),
            "NetworkInterfaces": [
                {
                    "DeviceIndex": 0,
                    "SubnetId": subnet.id,
                    "AssociatePublicIpAddress": spec.options.get("private") != "yes",
                    "DeleteOnTermination": True,
                }
            ],
            "MetadataOptions": {
                "HttpTokens": "required",
                "HttpEndpoint": "enabled",
                "HttpPutResponseHopLimit": 2 if spec.options.get("identity") else 1,
            },
            "InstanceInitiatedShutdownBehavior": guards.shutdown_behaviour(spec),
            "TagSpecifications": marks.specifications(kinds, marks.launch_tags(spec, user)),
        }
        if spot:
            one_time = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
            words["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": one_time}
        if spec.options.get("identity"):
            name = spec.options["identity"]
            words["IamInstanceProfile"] = {"Arn" if name.startswith("arn:") else "Name": name}
        return words

    def _boot_data(self, spec: LaunchSpec, user: str) -> str:
        facts = BootFacts(
            deployment_id=spec.deployment_id,
            instance_id="",  # the machine asks IMDSv2
            user=user,
            public_key=spec.public_key,
            proof_token=spec.proof_token,
            deadline_epoch_s=spec.deadline_epoch_s,
            idle_s=spec.idle_s,
            at_end=spec.at_end,
            nodes=spec.nodes,
        )
        return boot_data(self.site, facts, cloud_init=True)

    def _run(self, spec: LaunchSpec, words: Mapping[str, Any], own_group: str) -> list[Resource]:
        try:
            answer = self._sent(spec, words)
        except GpucloudError as error:
            code = code_of(error)
            if code == "IdempotentInstanceTerminated":
                raise self._rolled_back(spec, own_group, CapacityError(_DEAD)) from error
            if code == "IdempotentParameterMismatch":
                return self._made_before(spec, error)
            if own_group and isinstance(error, REFUSALS):
                groups.discard(self.clients, spec.offer.region, own_group, error)
            raise _group_or(spec, error) from error
        return self._nodes(spec, answer.get("Instances") or [])

    def _sent(self, spec: LaunchSpec, words: Mapping[str, Any]) -> dict[str, Any]:
        """RunInstances, sent once; again only where EC2 has not heard of our new group yet."""
        for number in range(SOON_TRIES):
            try:
                return self.clients.call("ec2", spec.offer.region, "RunInstances", once=True, **words)
            except BadRequest as error:
                if code_of(error) != "InvalidGroup.NotFound" or groups.given(spec) or number == SOON_TRIES - 1:
                    raise
            self.clients.sleep(SOON_S)
        raise AssertionError("unreachable")

    def _nodes(self, spec: LaunchSpec, instances: Sequence[Mapping[str, Any]]) -> list[Resource]:
        region, port = spec.offer.region, ssh_port(self.site)
        found = [machines.machine(instance, self.account, region, port) for instance in instances]
        if len(found) != spec.nodes:
            raise AmbiguousError(f"AWS {region} answered with {len(found)} machines instead of {spec.nodes}.")
        tags = marks.launch_tags(spec, "") if any(not item.tags for item in found) else {}
        nodes = [item if item.tags else replace(item, tags=tags, attempt=spec.attempt) for item in found]
        return sorted(nodes, key=lambda node: node.rank or 0)

    # ---- what a token has made before

    def _of_token(self, spec: LaunchSpec) -> list[Mapping[str, Any]]:
        only = [{"Name": "client-token", "Values": [spec.token]}]
        rows = self.clients.pages("ec2", spec.offer.region, "DescribeInstances", "Reservations", Filters=only)
        return [instance for row in rows for instance in row["Instances"]]

    def _made_before(self, spec: LaunchSpec, error: GpucloudError) -> list[Resource]:
        """An earlier sending of the token came through, with an image that has a successor by now."""
        alive = [item for item in self._of_token(spec) if item["State"]["Name"] not in ("terminated", "shutting-down")]
        if len(alive) != spec.nodes:
            raise AmbiguousError(f"{error.message} Its machines are not shown yet.", error.hint) from error
        return self._nodes(spec, alive)

    def _rolled_back(self, spec: LaunchSpec, own_group: str, refusal: GpucloudError) -> GpucloudError:
        """End what the token has made, wait for it, remove the group; the refusal, or AmbiguousError."""
        region, patience = spec.offer.region, GONE_S
        try:
            while alive := [item for item in self._of_token(spec) if item["State"]["Name"] != "terminated"]:
                ids = [item["InstanceId"] for item in alive if item["State"]["Name"] != "shutting-down"]
                if ids:
                    self.clients.call("ec2", region, "TerminateInstances", InstanceIds=ids)
                if patience <= 0:
                    raise AmbiguousError(f"{', '.join(ids)} is still ending.")
                patience -= GONE_POLL_S
                self.clients.sleep(GONE_POLL_S)
            if own_group:
                groups.delete(self.clients, region, own_group)
        except GpucloudError as error:
            return AmbiguousError(f"{refusal.message} Not everything of it is removed yet: {error.message}")
        return refusal

    def _arm(self, spec: LaunchSpec, nodes: Sequence[Resource], hours: int, own_group: str) -> None:
        """The alarms that were asked for. A machine without its guard is not what was ordered: all go."""
        tags = {**spec.tags, marks.TAG_ATTEMPT: str(spec.attempt)}
        try:
            for node in nodes:
                alarms.put(self.clients, node, hours, tags)
        except GpucloudError as error:
            refusal = error if isinstance(error, REFUSALS) else PolicyError(error.message, error.hint)
            try:
                for node in nodes:
                    name = alarms.alarm_name(spec.deployment_id, spec.attempt, node.rank)
                    alarms.delete(self.clients, spec.offer.region, name)
            except GpucloudError as second:
                # Alarms that may be there are found by their tags later; the machines go now.
                refusal = AmbiguousError(f"{refusal.message} {second.message}", refusal.hint)
            raise self._rolled_back(spec, own_group, refusal) from error


_DEAD = "The machine of this request was made, and has ended since."


def _disks(spec: LaunchSpec, image: Image) -> list[dict[str, Any]]:
    """The root disk in the size wanted, and the image's other disks; all of them end with the machine."""
    size = images.disk_gib(spec.disk_gib, spec.offer, image.root_gib)
    root = {"VolumeSize": size, "VolumeType": "gp3", "DeleteOnTermination": True}
    others = [{"DeviceName": device, "Ebs": {"DeleteOnTermination": True}} for device in image.disks]
    return [{"DeviceName": image.root_device, "Ebs": root}, *others]


def _group_or(spec: LaunchSpec, error: GpucloudError) -> GpucloudError:
    """The user's group may be of another region or VPC: then that offer is not for this user."""
    if groups.given(spec) and code_of(error) in ("InvalidGroup.NotFound", "InvalidParameter"):
        return NotOffered(error.message, "Name security groups of that region and VPC with --security-group.")
    return error
