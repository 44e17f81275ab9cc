"""Where in the network a machine goes: the default subnet of a zone, or one of the user's."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from gpucloud.core.errors import BadRequest, NotOffered, PolicyError
from gpucloud.core.offers import Offer
from gpucloud.providers.aws.errors import code_of
from gpucloud.providers.aws.session import Clients


@dataclass(frozen=True)
class Subnet:
    """A subnet and what it decides: the zone and the VPC."""

    id: str
    vpc: str
    zone: str


class Network:
    """Subnets and zones, asked once per region."""

    def __init__(self, clients: Clients) -> None:
        self._clients, self._lock = clients, threading.Lock()
        self._default: dict[str, tuple[Subnet, ...]] = {}
        self._selling: dict[tuple[str, str], tuple[str, ...]] = {}

    def places(self, offer: Offer, options: Mapping[str, str]) -> Sequence[Offer]:
        """The offer once per zone that sells the type and has a subnet, in order of the zones' names."""
        if offer.zone:
            return (offer,)
        if options.get("subnet"):
            return (replace(offer, zone=self.given(offer.region, options["subnet"]).zone),)
        with ThreadPoolExecutor(2) as pool:
            subnets = pool.submit(self.default, offer.region)
            zones = self.selling(offer.region, offer.instance_type)
        reached = {subnet.zone for subnet in subnets.result()}
        found = sorted(set(zones) & reached)
        if not found:
            where = f"{offer.instance_type} is sold in {', '.join(zones)}, which have no default subnet"
            raise PolicyError(f"AWS {offer.region}: {where}.", "Name a subnet there with --subnet.")
        return tuple(replace(offer, zone=zone) for zone in found)

    def subnet(self, offer: Offer, options: Mapping[str, str]) -> Subnet:
        """The subnet of a launch in the offer's zone."""
        if options.get("subnet"):
            return self.given(offer.region, options["subnet"])
        found = next((item for item in self.default(offer.region) if item.zone == offer.zone), None)
        if found is None:
            raise NotOffered(f"AWS: there is no default subnet in {offer.zone}.", "Name one with --subnet.")
        return found

    def selling(self, region: str, instance_type: str) -> tuple[str, ...]:
        """The zones that offer a type. Raises NotOffered for none."""
        with self._lock:
            known = self._selling.get((region, instance_type))
        if known is None:
            rows = self._clients.pages(
                "ec2",
                region,
                "DescribeInstanceTypeOfferings",
                "InstanceTypeOfferings",
                LocationType="availability-zone",
                Filters=[{"Name": "instance-type", "Values": [instance_type]}],
            )
            known = tuple(sorted(row["Location"] for row in rows))
            with self._lock:
                self._selling[region, instance_type] = known
        if not known:
            raise NotOffered(f"AWS {region} does not offer {instance_type} to this account.")
        return known

    def default(self, region: str) -> tuple[Subnet, ...]:
        """The default subnets of a region. Raises PolicyError where the account has none."""
        with self._lock:
            known = self._default.get(region)
        if known is None:
            only = [{"Name": "default-for-az", "Values": ["true"]}, {"Name": "state", "Values": ["available"]}]
            rows = self._clients.pages("ec2", region, "DescribeSubnets", "Subnets", Filters=only)
            known = tuple(Subnet(row["SubnetId"], row["VpcId"], row["AvailabilityZone"]) for row in rows)
            with self._lock:
                self._default[region] = known
        if not known:
            raise PolicyError(
                f"This account has no default VPC in {region}.",
                f"Name a subnet with --subnet, or run `aws ec2 create-default-vpc --region {region}`.",
            )
        return known

    def given(self, region: str, identifier: str) -> Subnet:
        """The user's subnet. Raises NotOffered where the region does not have it."""
        try:
            rows = self._clients.call("ec2", region, "DescribeSubnets", SubnetIds=[identifier]).get("Subnets") or []
        except BadRequest as error:
            if code_of(error).startswith("InvalidSubnetID"):
                rows = []
            else:
                raise
        if not rows:
            raise NotOffered(f"There is no subnet {identifier} in {region}.", "Choose its region with --region.")
        return Subnet(rows[0]["SubnetId"], rows[0]["VpcId"], rows[0]["AvailabilityZone"])
