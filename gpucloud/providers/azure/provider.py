"""The verbs of Azure, thin: what is done is in the files beside this one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from gpucloud.core.cloud import Guard, Identity, LaunchSpec, Outline, Quota, Resource, Scan
from gpucloud.core.names import owner_hash
from gpucloud.core.offers import Offer
from gpucloud.providers.azure import families, guards
from gpucloud.providers.azure.api import SUBSCRIPTIONS_VERSION, Api
from gpucloud.providers.boot import ssh_port
from gpucloud.providers.site import Site


class AzureProvider:
    """One subscription of Azure."""

    name = "azure"

    def __init__(
        self, site: Site, *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._site, self._clock = site, clock
        self._api = Api(site.environ, sleep)

    def identity(self) -> Identity:
        """The subscription and the principal. One question to Resource Manager, so that a wrong one shows here."""
        shown, principal, via = self._api.caller()
        subscription = self._api.subscription
        self._api.ask("GET", self._api.scope(), SUBSCRIPTIONS_VERSION)
        owner = owner_hash(f"azure:{subscription}:{principal}")
        return Identity(self.name, subscription, shown, via, self._api.session.endpoint, owner)

    def launch(self, spec: LaunchSpec) -> Sequence[Resource]:
        """All machines of the attempt, or none."""
        from gpucloud.providers.azure.launch import launch

        return launch(self._api, self._site, spec, self._clock())

    def find(self, deployment_id: str | None, regions: Sequence[str] = ()) -> Scan:
        """Everything with our tags."""
        from gpucloud.providers.azure.find import find

        return find(self._api, deployment_id, regions, ssh_port(self._site))

    def destroy(self, resource: Resource) -> None:
        """Remove one thing."""
        from gpucloud.providers.azure.removal import destroy

        destroy(self._api, resource)

    def stop(self, resource: Resource) -> None:
        """Deallocate, disk kept."""
        from gpucloud.providers.azure.changes import stop

        stop(self._api, resource)

    def start(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """Switch on, with a new deadline and a new deallocation."""
        from gpucloud.providers.azure.changes import start

        start(self._api, resource, deadline_epoch_s, self._clock())

    def extend(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """Move the deadline in the tag, and the deallocation."""
        from gpucloud.providers.azure.changes import extend

        extend(self._api, resource, deadline_epoch_s, self._clock())

    def allow(self, deployment_id: str, cidrs: Sequence[str]) -> None:
        """Let these networks reach SSH, and no others."""
        from gpucloud.providers.azure.changes import allow

        allow(self._api, deployment_id, self._site.home_id, cidrs, ssh_port(self._site))

    def quotas(self, regions: Sequence[str] = ()) -> Sequence[Quota]:
        """What the subscription may have."""
        from gpucloud.providers.azure.quotas import quotas

        return quotas(self._api, regions)

    def quota_needs(self, offer: Offer) -> Mapping[str, float]:
        """What one machine takes of it."""
        return families.quota_needs(offer)

    def guards(self, spec: LaunchSpec) -> Sequence[Guard]:
        """What will end the bill."""
        return guards.guards(spec)

    def outline(self, spec: LaunchSpec) -> Outline:
        """What a launch will use and make."""
        return guards.outline(spec)

    def warm(self) -> None:
        """Load the libraries."""
        self._api.warm()
