"""Plans as values: what would be done, in which order, at what price; nothing here does anything.

`Step` is what `flows/apply.py` carries out, one effect at a cloud each. A plan remembers how far the journal
was (`Basis`) and is refused when the deployment has moved since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpucloud.core.budget import Overrun
from gpucloud.core.cloud import Guard, LaunchSpec, Outline, Resource
from gpucloud.core.deployments import Deployment, Present
from gpucloud.core.errors import StateConflict, UsageError, nearest
from gpucloud.core.extras import most_usd_per_hour
from gpucloud.core.guards import (
    DEFAULT_IDLE_S,
    DEFAULT_MAX_S,
    deadline_epoch_s,
    default_guards,
    usd_per_hour,
    worst_case_usd,
)
from gpucloud.core.offers import Offer

# ---- steps


@dataclass(frozen=True)
class Launch:
    """Send the create request of an attempt; `again` when the same token was sent before."""

    spec: LaunchSpec
    account: str
    principal: str = ""
    endpoint: str = ""
    guards: tuple[Guard, ...] = ()
    again: bool = False


@dataclass(frozen=True)
class Destroy:
    """Remove one thing."""

    resource: Resource


@dataclass(frozen=True)
class Stop:
    """Switch off, disk kept."""

    resources: tuple[Resource, ...]


@dataclass(frozen=True)
class Start:
    """Switch on again with a new deadline; `budget_usd` is a new budget, None = the one it has."""

    resources: tuple[Resource, ...]
    deadline_epoch_s: float | None
    guards: tuple[Guard, ...] = ()
    budget_usd: float | None = None


@dataclass(frozen=True)
class Extend:
    """Move the deadline while it runs; `budget_usd` is a new budget, None = the one it has."""

    resources: tuple[Resource, ...]
    deadline_epoch_s: float | None
    guards: tuple[Guard, ...] = ()
    budget_usd: float | None = None


@dataclass(frozen=True)
class Allow:
    """Let these addresses reach SSH."""

    cidrs: tuple[str, ...]


Step = Launch | Destroy | Stop | Start | Extend | Allow


@dataclass(frozen=True)
class Basis:
    """How far the journal was when the plan was made: its identity and the deployment's newest event."""

    journal_id: str
    seq: int


# ---- up


@dataclass(frozen=True)
class UpRequest:
    """What `up` was asked for. `offers` are the candidates in order; `asked` are the user's words as JSON,
    which decide whether a second `up` of that name means the same. Times in seconds, None or 0 = off."""

    name: str
    offers: tuple[Offer, ...]
    asked: Mapping[str, Any] = field(default_factory=dict)
    nodes: int = 1
    image: str = ""
    disk_gib: int | None = None
    max_s: float | None = DEFAULT_MAX_S
    budget_usd: float | None = None
    idle_s: float | None = DEFAULT_IDLE_S
    at_end: str = ""  # stop, delete; empty: what suits the offer, see `end_of`
    ssh_from: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    ready_timeout_s: float = 900.0
    wait_capacity_s: float = 0.0
    keep: bool = False
    one_shot: bool = False  # made for one run, goes down with it

    def record(self) -> dict[str, Any]:
        """What later commands need of it, as JSON."""
        names = ("nodes", "image", "disk_gib", "max_s", "budget_usd", "idle_s", "at_end", "keep", "one_shot")
        record: dict[str, Any] = {name: getattr(self, name) for name in names}
        return {**record, "ssh_from": list(self.ssh_from), "options": dict(self.options), "tags": dict(self.tags)}


@dataclass(frozen=True)
class UpPlan:
    """What `up` will do. `deadline_at`, `guards` and `worst_case_usd` are those of the first offer.

    `existing` is the live deployment of that name with the same words, which is continued.
    """

    request: UpRequest
    basis: Basis
    made_at: float
    deadline_at: float | None
    guards: tuple[Guard, ...]
    worst_case_usd: float | None
    existing: Deployment | None = None
    outline: Outline = field(default_factory=Outline)  # what the first offer's cloud will use and make

    @property
    def order(self) -> tuple[Offer, ...]:
        """The offers in the order in which they are tried."""
        return self.request.offers

    @property
    def usd_per_hour(self) -> float | None:
        """The dearest offer, all nodes: what a cap has to allow."""
        prices = [usd_per_hour(offer, self.request.nodes) for offer in self.order]
        known = [price for price in prices if price is not None]
        return max(known) if known else None


def plan_up(
    present: Present,
    request: UpRequest,
    journal_id: str,
    now: float,
    guards: Sequence[Guard] | None = None,
    outline: Outline | None = None,
) -> UpPlan:
    """What it takes to have that deployment. Raises StateConflict when the name means something else."""
    existing = _same_or_conflict(present, request)
    if not request.offers and existing is None:
        raise UsageError("There is no offer to try.", "Ask for another GPU, cloud or market.")
    first = existing.current.offer if existing and existing.current else next(iter(request.offers), None)
    if first is None:
        raise UsageError("There is no offer to try.", "Ask for another GPU, cloud or market.")
    deadline = offer_deadline(request, first, now)
    known = tuple(default_guards(deadline, request.idle_s, end_of(request, first)) if guards is None else guards)
    if existing is not None and existing.current is not None:
        deadline, known = existing.deadline_at, existing.current.guards
    worst = worst_case_usd(_most_usd_per_hour(request, first), now, deadline, known)
    seq = existing.last_seq if existing else 0
    machines = tuple(("machine", f"{request.name}-{rank}") for rank in range(request.nodes))
    outline = outline or Outline(request.image, resources=machines)
    return UpPlan(request, Basis(journal_id, seq), now, deadline, known, worst, existing, outline)


def end_of(request: UpRequest, offer: Offer) -> str:
    """What the guards do with machines of this offer: a spot machine is deleted, others are stopped, unless said."""
    return request.at_end or ("delete" if offer.market == "spot" else "stop")


def offer_deadline(request: UpRequest, offer: Offer, now: float) -> float | None:
    """When machines of this offer, started now, have to end. A budget counts what an hour costs at most."""
    return deadline_epoch_s(now, request.max_s, request.budget_usd, _most_usd_per_hour(request, offer))


def _most_usd_per_hour(request: UpRequest, offer: Offer) -> float | None:
    return most_usd_per_hour(offer, request.nodes, request.disk_gib, bool(request.options.get("private")))


def _same_or_conflict(present: Present, request: UpRequest) -> Deployment | None:
    known = present.named(request.name)
    if known is None or known.closed:
        return None
    different = differences(known.asked, request.asked)
    if different:
        raise StateConflict(
            f"'{request.name}' exists and was asked for differently: {'; '.join(different)}.",
            f"Choose another name, or remove it with `gpucloud down {request.name}`.",
        )
    if known.cancelled or known.phase in ("preempted", "ended_by_guard", "lost", "failed"):
        rest = "its files are still there" if known.lease_over else "something of it may still bill"
        raise StateConflict(
            f"'{request.name}' is {known.state.replace('_', ' ')}, and {rest}.",
            f"Remove it with `gpucloud down {request.name}`, then bring it up again.",
        )
    return known


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`gpu was A100:8, now T4` for every word that differs."""
    keys = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    return [f"{key} was {_word(before.get(key))}, now {_word(now.get(key))}" for key in keys]


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "not given"
    return "not given" if value in (None, "") else str(value)


# ---- down, stop, start, extend


@dataclass(frozen=True)
class DownPlan:
    """What `down` will remove: known deployments, and names or ids that only the clouds can know."""

    deployments: tuple[Deployment, ...]
    unknown: tuple[str, ...] = ()
    everything: bool = False

    @property
    def things(self) -> tuple[Resource, ...]:
        """What the journal knows of, machines first."""
        found = [item for deployment in self.deployments for item in standing(deployment)]
        return tuple(removal_order(found))


def plan_down(present: Present, names: Sequence[str], everything: bool = False) -> DownPlan:
    """What to remove. Unknown names are kept: the clouds may know them. No name: the only live one."""
    if everything:
        return DownPlan(present.live, everything=True)
    if not names:
        return DownPlan((only_one(present),))
    found = {name: present.deployments.get(name) or present.named(name) for name in names}
    known = tuple(item for item in found.values() if item is not None)
    return DownPlan(known, tuple(name for name, item in found.items() if item is None))


def standing(deployment: Deployment) -> tuple[Resource, ...]:
    """Everything that attempts have made and that is not confirmed to be gone."""
    attempts = [attempt for attempt in deployment.attempts if attempt.made or attempt.open]
    return tuple(item for attempt in attempts for item in attempt.resources)


def removal_order(resources: Sequence[Resource]) -> list[Resource]:
    """Machines first: other kinds can only go when no machine uses them."""
    return sorted(resources, key=lambda item: (item.kind != "machine", item.region, item.rank or 0, item.id))


@dataclass(frozen=True)
class ChangePlan:
    """One step on a deployment that is there: stop, start, extend, allow.

    With `overrun` the step raises the budget, which takes a clear yes.
    """

    deployment: Deployment
    step: Step
    basis: Basis
    overrun: Overrun | None = None


def plan_change(deployment: Deployment, step: Step, journal_id: str, allowed: Sequence[str], verb: str) -> ChangePlan:
    """The change, or StateConflict when the deployment is not in a state that allows it."""
    if deployment.state not in allowed:
        raise StateConflict(
            f"'{deployment.name}' is {deployment.state.replace('_', ' ')}; it cannot be {verb} now.",
            f"It must be {' or '.join(allowed)}; see `gpucloud ls --refresh`.",
        )
    return ChangePlan(deployment, step, Basis(journal_id, deployment.last_seq))


# ---- names


def find_deployment(present: Present, name: str | None) -> Deployment:
    """The deployment of that name or id; without one, the only live one. Raises UsageError (exit 2)."""
    if not name:
        return only_one(present)
    found = present.deployments.get(name) or present.named(name)
    if found is None:
        raise unknown_name(present, name)
    return found


def unknown_name(present: Present, name: str) -> UsageError:
    """What to say for a name that nobody knows."""
    names = sorted({item.name for item in present.deployments.values()})
    close = nearest(name, names)
    hint = f"Did you mean {', '.join(close)}?" if close else "See `gpucloud ls` for what there is."
    return UsageError(f"No deployment is called '{name}'.", hint)


def only_one(present: Present) -> Deployment:
    """The only live deployment. Raises UsageError when there are none or several."""
    live = present.live
    if not live:
        raise UsageError(
            "There is no deployment.", "Make one with `gpucloud up --gpu A100`, or `gpucloud up --cloud local` here."
        )
    if len(live) > 1:
        raise UsageError("There are several deployments.", f"Name the one you mean: {', '.join(d.name for d in live)}.")
    return live[0]


def refuse_stale(plan: Basis, journal_id: str, seq: int, name: str) -> None:
    """Raise StateConflict when the journal is another one or the deployment has moved since the plan."""
    if plan != Basis(journal_id, seq):
        raise StateConflict(
            f"'{name}' has changed since this plan was made.", "Run the command again to see the new plan."
        )
