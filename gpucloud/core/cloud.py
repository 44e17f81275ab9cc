"""What every cloud driver speaks: three verbs on plain values; rare abilities are one-method protocols.

Drivers live in `gpucloud/providers`, one small file or package each; the flows know only these protocols.
Every verb is safe to repeat: launching the same token twice gives the same machines, destroying what is
already gone is success.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from gpucloud.core.offers import Offer

TAG_DEPLOYMENT, TAG_HOME = "gpucloud-deployment", "gpucloud-home"
TAG_OWNER, TAG_DEADLINE = "gpucloud-owner", "gpucloud-deadline"

# States of a machine as the driver maps them; only `gone` certainly bills nothing.
MACHINE_STATES = ("pending", "running", "stopping", "stopped", "failed", "preempted", "gone")


@dataclass(frozen=True)
class Identity:
    """Who the cloud says we are: `account`, project or subscription; `owner` is its short hash."""

    cloud: str
    account: str
    principal: str = ""
    via: str = ""  # the link of the credential chain that won
    endpoint: str = ""
    owner: str = ""


@dataclass(frozen=True)
class LaunchSpec:
    """Everything one create request needs, and nothing secret but `proof_token` (never in repr or events).

    `token` names the attempt: a pure function of deployment, attempt and place, so that it survives a
    restart. `deadline_epoch_s` is None when guards are off. `nodes` machines are made all or nothing.
    """

    deployment_id: str
    name: str
    attempt: int
    token: str
    offer: Offer
    nodes: int
    tags: Mapping[str, str]
    public_key: str
    proof_token: str = field(repr=False, default="")
    image: str = ""
    disk_gib: int | None = None
    deadline_epoch_s: float | None = None
    idle_s: float | None = None
    at_end: str = "stop"
    ssh_from: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)  # subnet, security-group, identity, …


@dataclass(frozen=True)
class Endpoint:
    """How to reach a machine over SSH. `host_key` is the pinned key line (`ssh-ed25519 AAAA…`) or empty.

    `dialect` says how the machine understands our verbs: `sh` (POSIX shell scripts) or `embedded`
    (gpucloud's own server process of `local`). `base_dir` is our folder there, relative to the login home.
    """

    host: str
    port: int = 22
    user: str = ""
    identity_file: str = ""
    host_key: str = ""
    dialect: str = "sh"
    base_dir: str = ""
    proxy_jump: tuple[Endpoint, ...] = ()
    agent: bool = False  # own machines: the user's SSH agent and usual key files may be tried too


@dataclass(frozen=True)
class Resource:
    """A thing at a cloud that may bill. `kind` is `machine` or the cloud's own word (disk, firewall, …)."""

    cloud: str
    account: str
    region: str
    kind: str
    id: str
    name: str = ""
    zone: str = ""
    state: str = "running"
    rank: int | None = None
    attempt: int | None = None
    instance_type: str = ""
    market: str = ""
    created_epoch_s: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    endpoint: Endpoint | None = None
    private_ip: str = ""

    @property
    def deployment_id(self) -> str:
        """The deployment in our tag, empty when it is not ours."""
        return self.tags.get(TAG_DEPLOYMENT, "")

    @property
    def home_id(self) -> str:
        """The home in our tag."""
        return self.tags.get(TAG_HOME, "")


@dataclass(frozen=True)
class Scan:
    """What `find` saw: resources, the regions that answered, and those that could not be asked (with why).

    A region that is in neither list was not asked; it is never to be counted as empty.
    """

    resources: tuple[Resource, ...] = ()
    scanned: tuple[str, ...] = ()
    unscanned: Mapping[str, str] = field(default_factory=dict)


class Provider(Protocol):
    """One cloud. Errors are the classes of `core.errors`; a lost connection is AmbiguousError."""

    name: str

    def identity(self) -> Identity:
        """Who we are there. Raises CredentialsError with the hint that helps."""
        ...

    def launch(self, spec: LaunchSpec) -> Sequence[Resource]:
        """Make `spec.nodes` machines tagged in the create request, all or nothing; repeatable by token."""
        ...

    def find(self, deployment_id: str | None, regions: Sequence[str] = ()) -> Scan:
        """Everything with our tags: of one deployment, or of any when None. No regions = every region."""
        ...

    def destroy(self, resource: Resource) -> None:
        """Remove it; returns when the cloud has accepted. Already gone is success."""
        ...


@runtime_checkable
class SellsOffers(Protocol):
    """A provider whose offers are not in the catalog (local, ssh, fake)."""

    def offers(self) -> Sequence[Offer]:
        """What can be had now, priced."""
        ...


@runtime_checkable
class CanStop(Protocol):
    """Machines that can be switched off with their disk kept. Both return when the cloud has accepted."""

    def stop(self, resource: Resource) -> None: ...

    def start(self, resource: Resource, deadline_epoch_s: float | None) -> None: ...


@runtime_checkable
class CanExtend(Protocol):
    """A provider-side or in-machine deadline that can move while the machine runs."""

    def extend(self, resource: Resource, deadline_epoch_s: float | None) -> None: ...


@runtime_checkable
class CanAllow(Protocol):
    """SSH ingress that can be changed after creation."""

    def allow(self, deployment_id: str, cidrs: Sequence[str]) -> None: ...


@dataclass(frozen=True)
class Quota:
    """How many of something the account may have in a region, and has."""

    region: str
    name: str
    limit: float
    used: float


@runtime_checkable
class TellsQuotas(Protocol):
    """A cloud that answers how much of a GPU family is allowed."""

    def quotas(self, regions: Sequence[str] = ()) -> Sequence[Quota]: ...

    def quota_needs(self, offer: Offer) -> Mapping[str, float]:
        """How much of which quota one machine of this offer takes, by `Quota.name`; no network."""
        ...


@dataclass(frozen=True)
class Outline:
    """What a launch will use and make, told without network or the cloud's library.

    `image` is the name or the lookup that finds it; `resources` are (kind, name) of everything that will be
    made; `notes` are sentences for the plan (an identity that a guard needs, an ingress that stays, ...).
    """

    image: str = ""
    ssh_user: str = ""
    resources: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class TellsOutline(Protocol):
    """A cloud that says what a launch will use and make."""

    def outline(self, spec: LaunchSpec) -> Outline: ...


@runtime_checkable
class NamesPlaces(Protocol):
    """A cloud whose prices are for regions, while a request is for one zone."""

    def places(self, offer: Offer, options: Mapping[str, str]) -> Sequence[Offer]:
        """The offer once for every zone to ask, first the first; may ask the cloud. An offer that has a zone
        stays as it is. Raises what `launch` would (NotOffered, PolicyError, ...) when there is no such zone."""
        ...


@runtime_checkable
class Warms(Protocol):
    """A cloud whose library takes long to load: called on another thread while the plan is on screen."""

    def warm(self) -> None: ...


@dataclass(frozen=True)
class Guard:
    """One thing that ends the bill: when (epoch seconds), by what action, and which failures it survives."""

    kind: str  # in_machine_deadline, in_machine_idle, provider, client
    action: str  # stop, delete, end_runs
    ends_epoch_s: float | None = None
    survives: tuple[str, ...] = ()


@runtime_checkable
class TellsGuards(Protocol):
    """A cloud that says which guards it will arm for a launch."""

    def guards(self, spec: LaunchSpec) -> Sequence[Guard]: ...


@dataclass(frozen=True)
class GpuState:
    """How one GPU of an own machine stands: free, leased or busy; `by` is who, in words."""

    index: int
    name: str
    state: str
    by: str = ""
    deployment: str = ""
    since_epoch_s: float | None = None
    until_epoch_s: float | None = None


@dataclass(frozen=True)
class HostState:
    """An own machine at this moment: its GPUs, or the reason why it could not be asked."""

    name: str
    reachable: bool
    reason: str = ""
    gpus: tuple[GpuState, ...] = ()


@runtime_checkable
class TellsHosts(Protocol):
    """A cloud of machines that can be listed one by one, with who uses their GPUs."""

    def hosts(self) -> Sequence[HostState]: ...


@runtime_checkable
class GroupsOffers(Protocol):
    """A cloud where every machine is another place: several nodes are an offer of several places together."""

    def groups(self, offers: Sequence[Offer], nodes: int) -> Sequence[Offer]: ...


@runtime_checkable
class ShowsGpus(Protocol):
    """A cloud that knows which of a machine's GPUs belong to a resource."""

    def shown_gpus(self, resource: Resource) -> Sequence[str]:
        """Their lines of `nvidia-smi -L`, or lines like them."""
        ...
