"""The verbs of EC2, thin: what is done is in the files beside this one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from gpucloud.core.cloud import Guard, Identity, LaunchSpec, Outline, Quota, Resource, Scan
from gpucloud.core.errors import GpucloudError
from gpucloud.core.offers import Offer
from gpucloud.providers.aws import guards, identity, quotas
from gpucloud.providers.aws.changes import Changes
from gpucloud.providers.aws.find import Finder
from gpucloud.providers.aws.images import Images
from gpucloud.providers.aws.launch import Launcher
from gpucloud.providers.aws.network import Network
from gpucloud.providers.aws.regions import Regions
from gpucloud.providers.aws.session import Clients
from gpucloud.providers.boot import ssh_port
from gpucloud.providers.site import Site


class AwsProvider:
    """One account of AWS. `clock` and `sleep` are the tests' own where they want to move time."""

    name = "aws"

    def __init__(
        self, site: Site, *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._site, self._clock = site, clock
        self._clients = Clients(site.environ, sleep)
        self._regions = Regions(self._clients)
        self._network, self._images = Network(self._clients), Images(self._clients)
        self._lock = threading.Lock()
        self._identity: Identity | None = None

    # ---- the three verbs and who we are

    def identity(self) -> Identity:
        """The caller, asked once."""
        with self._lock:
            if self._identity is None:
                self._identity = identity.identity(self._clients, self._site.environ)
            return self._identity

    def launch(self, spec: LaunchSpec) -> Sequence[Resource]:
        """All machines of the attempt, or none."""
        launcher = Launcher(self._clients, self._images, self._network, self._site, self._account)
        return self._regions.explained(spec.offer.region, lambda: launcher.launch(spec, self._clock()))

    def find(self, deployment_id: str | None, regions: Sequence[str] = ()) -> Scan:
        """Everything with our tags, in the regions named or in all that are switched on."""
        finder = Finder(self._clients, self._regions, self._account, ssh_port(self._site))
        return finder.find(deployment_id, regions)

    def destroy(self, resource: Resource) -> None:
        """Remove one thing."""
        self._changes.destroy(resource)

    # ---- rare abilities

    def stop(self, resource: Resource) -> None:
        """Switch off, disk kept."""
        self._changes.stop(resource)

    def start(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """Switch on, with a new deadline in the tags and the alarm."""
        self._changes.start(resource, deadline_epoch_s, self._clock())

    def extend(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """Move the deadline in the tags and the alarm."""
        self._changes.extend(resource, deadline_epoch_s, self._clock())

    def allow(self, deployment_id: str, cidrs: Sequence[str]) -> None:
        """Let these networks reach SSH, and no others."""
        self._changes.allow(deployment_id, cidrs)

    def quotas(self, regions: Sequence[str] = ()) -> Sequence[Quota]:
        """What the account may have."""
        return quotas.quotas(self._clients, self._regions, regions)

    def quota_needs(self, offer: Offer) -> Mapping[str, float]:
        """What one machine takes of it."""
        return quotas.quota_needs(offer)

    def guards(self, spec: LaunchSpec) -> Sequence[Guard]:
        """What will end the bill."""
        return guards.guards(spec, self._clock())

    def outline(self, spec: LaunchSpec) -> Outline:
        """What a launch will use and make."""
        return guards.outline(spec)

    def places(self, offer: Offer, options: Mapping[str, str]) -> Sequence[Offer]:
        """The offer once per zone that sells it."""
        return self._regions.explained(offer.region, lambda: self._network.places(offer, options))

    def warm(self) -> None:
        """Load boto3 and what its chain finds on the disk; nothing is asked of AWS."""
        try:
            if identity.has_traces(self._site.environ):
                for service in ("sts", "ec2"):
                    self._clients.client(service, self._clients.home_region)
        except GpucloudError:
            return  # said when it is needed

    # ---- inside

    @property
    def _account(self) -> str:
        return self.identity().account

    @property
    def _changes(self) -> Changes:
        return Changes(self._clients, self._regions, self._account, self._site.home_id, ssh_port(self._site))
