"""What the journal adds up to: deployments, their attempts, nodes and runs, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpucloud.core.cloud import Guard, Resource
from gpucloud.core.extras import address_usd_per_hour, disk_usd_per_hour, most_usd_per_hour
from gpucloud.core.guards import usd_per_hour
from gpucloud.core.names import run_id
from gpucloud.core.offers import Offer

RUN_STATES = ("syncing", "setup", "running", "succeeded", "failed", "cancelled", "preempted", "lost")
RUN_OPEN = ("syncing", "setup", "running")
ENDED = ("preempted", "ended_by_guard", "lost")  # what a look at the cloud may find


@dataclass(frozen=True)
class SettlingRule:
    """When an unanswered request counts as never made: `looks` empty looks at least `gap_s` apart, the last
    at least `quiet_s` after the last moment it can have been sent."""

    looks: int = 2
    gap_s: float = 60.0
    quiet_s: float = 900.0


@dataclass(frozen=True)
class Attempt:
    """One try to get machines from one offer. `outcome` is empty while open, then `made`, `settled` (nothing
    was made), `removed`, or the error code of the refusal."""

    number: int
    token: str
    account: str
    principal: str
    offer: Offer
    nodes: int
    opened_at: float
    sent_at: float
    deadline_at: float | None = None
    endpoint: str = ""
    launch: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = ""
    message: str = ""
    ambiguous: bool = False
    resources: tuple[Resource, ...] = ()
    states: Mapping[str, str] = field(default_factory=dict)
    host_keys: Mapping[int, str] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    empty_looks: tuple[float, ...] = ()
    seen: frozenset[str] = frozenset()  # ids that a look has ever shown
    failure: str = ""  # code, once machines that were made proved useless
    kept: bool = False
    ended_at: float | None = None

    @property
    def cloud(self) -> str:
        return self.offer.cloud

    @property
    def region(self) -> str:
        return self.offer.region

    @property
    def open(self) -> bool:
        """Whether it is not known what became of the request."""
        return self.outcome == ""

    @property
    def made(self) -> bool:
        """Whether machines exist because of it, as far as we know."""
        return self.outcome == "made"

    @property
    def reached(self) -> bool:
        """Whether the request got there: a host that never let us in has nothing of it."""
        return self.outcome not in ("unreachable", "host_key")

    @property
    def visible(self) -> bool:
        """Whether the cloud has shown everything it acknowledged: only then an empty look means gone."""
        return self.seen >= {item.id for item in self.resources}

    @property
    def usd_per_hour(self) -> float | None:
        """All nodes."""
        return usd_per_hour(self.offer, self.nodes)

    @property
    def disk_usd_per_hour(self) -> float:
        """The disks of all nodes, running or stopped."""
        return disk_usd_per_hour(self.offer, self.nodes, self.launch.get("disk_gib"))

    @property
    def address_usd_per_hour(self) -> float:
        """The public addresses of all nodes while they run."""
        return address_usd_per_hour(self.offer, self.nodes, self._private)

    @property
    def most_usd_per_hour(self) -> float | None:
        """What an hour of it can cost at most."""
        return most_usd_per_hour(self.offer, self.nodes, self.launch.get("disk_gib"), self._private)

    @property
    def _private(self) -> bool:
        return bool((self.launch.get("options") or {}).get("private"))

    def settled_by(self, rule: SettlingRule) -> bool:
        """Whether the empty looks so far are enough to say that nothing was made."""
        if len(self.empty_looks) < rule.looks:
            return False
        first, last = self.empty_looks[0], self.empty_looks[-1]
        return last - first >= rule.gap_s and last >= self.sent_at + rule.quiet_s

    def conclusive_at(self, rule: SettlingRule, now: float) -> float:
        """The earliest time at which one more empty look settles it."""
        first = self.empty_looks[0] if self.empty_looks else now
        return max(self.sent_at + rule.quiet_s, first + rule.gap_s)


@dataclass(frozen=True)
class Run:
    """One command on a deployment. `spec` is what `run_created` carried (no secrets)."""

    number: int
    deployment: str  # the deployment's id
    name: str  # its name
    command: str
    state: str
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    pulled: bool = False
    cancelled: bool = False  # somebody asked it to end
    setup_failed: bool = False  # its set-up ended badly, so the command was never started
    spec: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """`train/3`."""
        return run_id(self.name, self.number)

    @property
    def open(self) -> bool:
        """Whether it has not ended, as far as we know."""
        return self.state in RUN_OPEN

    @property
    def wants_pull(self) -> bool:
        """Whether it has outputs that were to be pulled and are not yet here."""
        return bool(self.spec.get("pull")) and not self.pulled


@dataclass(frozen=True)
class Deployment:
    """A named group of equal machines, as far as the journal knows."""

    id: str
    name: str
    created_at: float
    phase: str = "planned"
    asked: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    skipped: tuple[Mapping[str, Any], ...] = ()  # offers never sent, with the reason
    tried: tuple[Mapping[str, Any], ...] = ()  # every try in order, as `up` reports them
    cancelled: bool = False
    allowed: tuple[str, ...] = ()  # who may connect, as `allow` said last
    deadline_at: float | None = None
    ready_at: float | None = None
    pauses: tuple[tuple[float, float | None], ...] = ()  # (stopped, started again)
    failure: str = ""
    message: str = ""
    billing_ended: float | None = None
    runs: tuple[Run, ...] = ()
    last_seq: int = 0

    @property
    def state(self) -> str:
        """One of the states of the outward contract."""
        if self.phase not in ("down", "failed") and any(a.open and a.ambiguous for a in self.attempts):
            return "settling"
        return self.phase

    @property
    def closed(self) -> bool:
        """Whether nothing of it can bill any more; its name is free again."""
        return self.billing_ended is not None

    @property
    def current(self) -> Attempt | None:
        """The attempt whose machines it has, else the newest one."""
        made = [attempt for attempt in self.attempts if attempt.made]
        known = made or list(self.attempts)
        return known[-1] if known else None

    @property
    def machines(self) -> tuple[Resource, ...]:
        """The nodes of the current attempt in order of rank."""
        current = self.current
        if current is None:
            return ()
        nodes = [item for item in current.resources if item.kind == "machine"]
        return tuple(sorted(nodes, key=lambda item: item.rank or 0))

    @property
    def lease_over(self) -> bool:
        """Whether it was only a lease that ended: the machine is its owner's, runs on, and still has the files."""
        guards = self.current.guards if self.current else ()
        return self.phase == "ended_by_guard" and bool(guards) and all(g.action == "end_runs" for g in guards)

    @property
    def open_attempts(self) -> tuple[Attempt, ...]:
        return tuple(attempt for attempt in self.attempts if attempt.open)

    def attempt(self, number: int) -> Attempt:
        """The attempt with that number."""
        return next(attempt for attempt in self.attempts if attempt.number == number)

    @property
    def places(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """(cloud, account) → regions where a request was ever sent."""
        found: dict[tuple[str, str], dict[str, None]] = {}
        for attempt in filter(lambda item: item.reached, self.attempts):
            found.setdefault((attempt.cloud, attempt.account), {})[attempt.region] = None
        return {key: tuple(regions) for key, regions in found.items()}


@dataclass(frozen=True)
class Present:
    """Everything the journal adds up to; deployments by id in order of creation."""

    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    last_seq: int = 0

    @property
    def live(self) -> tuple[Deployment, ...]:
        """Deployments of which something may bill."""
        return tuple(item for item in self.deployments.values() if not item.closed)

    def named(self, name: str) -> Deployment | None:
        """The newest deployment of that name, live ones first."""
        found = [item for item in self.deployments.values() if item.name == name]
        live = [item for item in found if not item.closed]
        chosen = live or found
        return chosen[-1] if chosen else None

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, oldest first."""
        runs = [run for item in self.deployments.values() for run in item.runs]
        return tuple(sorted(runs, key=lambda run: run.created_at))

    def next_run_number(self, name: str) -> int:
        """Numbers go on across deployments of one name, so that a run's id is never used twice."""
        taken = [run.number for run in self.runs if run.name == name]
        return max(taken, default=0) + 1
