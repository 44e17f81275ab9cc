"""The verbs of Compute Engine, thin: what is done is in the files beside this one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from gpucloud.core.cloud import Guard, Identity, LaunchSpec, Outline, Quota, Resource, Scan
from gpucloud.core.errors import CredentialsError
from gpucloud.core.names import owner_hash
from gpucloud.core.offers import Offer
from gpucloud.providers.boot import ssh_port
from gpucloud.providers.gcp import changes, find, guards, launch, network, places, quotas, shapes
from gpucloud.providers.gcp.api import Api
from gpucloud.providers.gcp.errors import Missing
from gpucloud.providers.site import Site


class GcpProvider:
    """One project of Google Cloud."""

    name = "gcp"

    def __init__(
        self, site: Site, *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._site, self._clock = site, clock
        self._api = Api(site.environ, sleep)

    def identity(self) -> Identity:
        """The project and the principal. One question to the API, so that a service that is off shows here."""
        session = self._api.session
        try:
            self._api.call("Projects", "get")
        except Missing:
            sentence = f"There is no project '{session.project}' that these credentials may see ({session.via})."
            raise CredentialsError(sentence, "Set GOOGLE_CLOUD_PROJECT to the project's id.") from None
        principal = session.principal or session.project
        owner = owner_hash(f"gcp:{session.project}:{principal}")
        return Identity(self.name, session.project, session.principal, session.via, session.endpoint, owner)

    def launch(self, spec: LaunchSpec) -> Sequence[Resource]:
        """All machines of the attempt, or none."""
        return launch.launch(self._api, self._site, spec, self._clock())

    def find(self, deployment_id: str | None, regions: Sequence[str] = ()) -> Scan:
        """Everything with our tags."""
        return find.find(self._api, deployment_id, regions, ssh_port(self._site))

    def destroy(self, resource: Resource) -> None:
        """Remove one thing."""
        changes.destroy(self._api, resource)

    def stop(self, resource: Resource) -> None:
        """Switch off, disk kept."""
        changes.stop(self._api, resource)

    def start(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """Switch on, with a new deadline and a new limit of the cloud's."""
        changes.start(self._api, resource, deadline_epoch_s, self._clock())

    def extend(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """Move the deadline in the tag; the cloud's own limit stays."""
        changes.extend(self._api, resource, deadline_epoch_s)

    def allow(self, deployment_id: str, cidrs: Sequence[str]) -> None:
        """Let these networks reach SSH, and no others."""
        network.allow(self._api, deployment_id, self._site.home_id, cidrs)

    def quotas(self, regions: Sequence[str] = ()) -> Sequence[Quota]:
        """What the project may have."""
        return quotas.quotas(self._api, regions)

    def quota_needs(self, offer: Offer) -> Mapping[str, float]:
        """What one machine takes of it."""
        return shapes.quota_needs(offer)

    def places(self, offer: Offer, options: Mapping[str, str]) -> Sequence[Offer]:
        """The offer in every zone where it can be asked for."""
        return places.places(self._api, offer)

    def guards(self, spec: LaunchSpec) -> Sequence[Guard]:
        """What will end the bill."""
        return guards.guards(spec)

    def outline(self, spec: LaunchSpec) -> Outline:
        """What a launch will use and make."""
        return guards.outline(spec)

    def warm(self) -> None:
        """Load the library."""
        self._api.warm()
