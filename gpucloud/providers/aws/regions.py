"""The regions of the account: which are switched on, and what a refusal there really means."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from gpucloud.core.errors import AmbiguousError, CredentialsError, GpucloudError, NotOffered, PolicyError
from gpucloud.providers.aws.errors import code_of
from gpucloud.providers.aws.session import Clients

T = TypeVar("T")
ON = ("opt-in-not-required", "opted-in")


class Regions:
    """What EC2 says of the account's regions, asked once."""

    def __init__(self, clients: Clients) -> None:
        self._clients, self._lock = clients, threading.Lock()
        self._status: Mapping[str, str] = {}

    def status(self) -> Mapping[str, str]:
        """Every region of the partition → opt-in status."""
        with self._lock:
            if not self._status:
                answer = self._clients.call("ec2", self._clients.home_region, "DescribeRegions", AllRegions=True)
                self._status = {item["RegionName"]: item.get("OptInStatus", ON[0]) for item in answer["Regions"]}
            return self._status

    def enabled(self) -> Sequence[str]:
        """The regions in which this account can have anything."""
        return tuple(sorted(name for name, status in self.status().items() if status in ON))

    def explained(self, region: str, work: Callable[[], T]) -> T:
        """`work`, where "bad credentials" or silence in a region that does not exist or is off is called that."""
        try:
            return work()
        except (CredentialsError, AmbiguousError) as error:
            if isinstance(error, AmbiguousError) and code_of(error):
                raise
            better = self._better(region)
            if better is None:
                raise
            raise better from error

    def _better(self, region: str) -> GpucloudError | None:
        try:
            status = self.status().get(region, "")
        except GpucloudError:
            return None
        if not status:
            return NotOffered(f"AWS has no region '{region}' for this account.", "`gpucloud compare` lists regions.")
        if status not in ON:
            return PolicyError(
                f"The region {region} is not switched on in this account.",
                f"Switch it on: aws account enable-region --region-name {region}.",
            )
        return None
