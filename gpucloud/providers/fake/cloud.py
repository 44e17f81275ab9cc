"""The fake cloud's verbs. Like the real ones: idempotent by token, eventually visible, asynchronous in removal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from gpucloud.core.cloud import Guard, Identity, LaunchSpec, Outline, Quota, Resource, Scan
from gpucloud.core.errors import AmbiguousError, BadRequest, CapacityError, PolicyError
from gpucloud.core.guards import BACKSTOP_S
from gpucloud.core.names import node_name, owner_hash
from gpucloud.core.offers import Offer
from gpucloud.core.records import resource_from, resource_record
from gpucloud.providers.fake.script import Rule, first_rule, refuse
from gpucloud.providers.fake.store import Store

ZONES = {"fake-east": ("a", "b"), "fake-west": ("a",), "fake-north": ("a", "b")}
# name, accelerator, count, memory of one GPU (GiB), vCPUs, memory (GiB), USD per hour in fake-east
TYPES: Sequence[tuple[str, str, int, float | None, int, int, float]] = (
    ("fk.cpu", "", 0, None, 2, 4, 0.05),
    ("fk.t4", "T4", 1, 16.0, 4, 16, 0.40),
    ("fk.a100", "A100-SXM-80GB", 1, 80.0, 12, 120, 2.00),
    ("fk.8xa100", "A100-SXM-80GB", 8, 80.0, 96, 960, 16.00),
)
FACTOR = {"fake-east": 1.0, "fake-west": 1.1, "fake-north": 1.3}
SPOT = 0.4
OBSERVED_ON = "2026-01-01"
ACCOUNT = "fake-account"
UNGUARDED = "`--no-guard` goes on with the guards inside the machine only."


class FakeProvider:
    """One fake account. `clock` and `sleep` are the tests' own where they want to move time."""

    name = "fake"
    reachable = False

    def __init__(
        self,
        store: Store,
        script: Sequence[Rule] = (),
        *,
        account: str = ACCOUNT,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        boot_s: float = 0.0,
        destroy_s: float = 0.0,
    ) -> None:
        self._store, self.script, self._account = store, tuple(script), account
        self._clock, self._sleep = clock, sleep
        self._boot_s, self._destroy_s = boot_s, destroy_s

    # ---- the three verbs and who we are

    def identity(self) -> Identity:
        """The fake account."""
        self._call("identity", {})
        principal = f"{self._account}/tester"
        return Identity(self.name, self._account, principal, "script", "memory:", owner_hash(f"fake:{self._account}"))

    def launch(self, spec: LaunchSpec) -> Sequence[Resource]:
        """All nodes at once, or none; the same token gives the same machines."""
        offer = spec.offer
        place = {"region": offer.region, "zone": offer.zone, "market": offer.market}
        rule = self._call("launch", {**place, "instance_type": offer.instance_type}, spec.token)
        fault = rule.fault if rule else ""
        if offer.region not in ZONES:
            raise BadRequest(f"There is no region '{offer.region}' at the fake cloud.")
        if fault == "unguarded" and spec.options.get("no-guard") != "yes":
            raise PolicyError(f"Nothing outside the machine can end it in {offer.region}.", UNGUARDED)
        with self._store.change() as cloud:
            made = self._made(cloud, spec, rule)
        if fault in ("lost_after", "late", "half"):
            raise AmbiguousError("The connection was lost.")
        return [resource_from(deepcopy(item)) for item in made]

    def find(self, deployment_id: str | None, regions: Sequence[str] = ()) -> Scan:
        """What is visible now, by tag; regions that the script silences are `unscanned`."""
        scanned, unscanned = [], {}
        for region in regions or tuple(ZONES):
            rule = self._call("find", {"region": region}, deployment_id or "")
            if rule is not None and rule.fault == "unscanned":
                unscanned[region] = "the region does not answer"
            else:
                scanned.append(region)
        with self._store.change() as cloud:
            self._age(cloud)
            things = deepcopy([item for item in cloud["things"].values() if item["visible_at"] <= self._clock()])
        found = [resource_from(item) for item in things if item["region"] in scanned]
        chosen = [item for item in found if deployment_id in (None, item.deployment_id)]
        return Scan(tuple(chosen), tuple(scanned), unscanned)

    def destroy(self, resource: Resource) -> None:
        """Accepted at once, gone after `destroy_s`. A firewall in use cannot go."""
        rule = self._call("destroy", {"region": resource.region}, resource.id)
        with self._store.change() as cloud:
            self._age(cloud)
            thing = cloud["things"].get(resource.id)
            if thing is not None and thing["visible_at"] <= self._clock():
                self._remove(cloud, thing)
        if rule is not None and rule.fault == "lost_after":
            raise AmbiguousError("The connection was lost.")

    # ---- rare abilities

    def offers(self) -> Sequence[Offer]:
        """Every type in every zone, on-demand and spot."""
        return tuple(
            _offer(row, region, zone, market)
            for row in TYPES
            for region, zones in ZONES.items()
            for zone in zones
            for market in ("on-demand", "spot")
        )

    def guards(self, spec: LaunchSpec) -> Sequence[Guard]:
        """A timer in the machine, idleness, and the fake provider's own limit a day later."""
        guards: list[Guard] = []
        if spec.deadline_epoch_s is not None:
            outside = ("client killed", "network lost", "machine hung")
            guards.append(Guard("in_machine_deadline", spec.at_end, spec.deadline_epoch_s, outside[:2]))
            guards.append(Guard("provider", "delete", spec.deadline_epoch_s + BACKSTOP_S, outside))
        if spec.idle_s:
            guards.append(Guard("in_machine_idle", spec.at_end, None, ("client killed", "network lost")))
        return guards

    def outline(self, spec: LaunchSpec) -> Outline:
        """One firewall for all nodes; the image is only a word."""
        names = [("machine", node_name(spec.deployment_id, spec.attempt, rank)) for rank in range(spec.nodes)]
        resources = (*names, ("firewall", f"fw-{spec.deployment_id}"))
        return Outline(spec.image or "fake-image", spec.options.get("ssh-user", "fake"), resources)

    def quotas(self, regions: Sequence[str] = ()) -> Sequence[Quota]:
        """Eight GPUs of each kind a region, on-demand and spot together; none where the script says `zero`."""
        names = sorted({row[1] for row in TYPES if row[1]})
        told = []
        for region in regions or tuple(ZONES):
            rule = self._call("quotas", {"region": region})
            limit = 0.0 if rule is not None and rule.fault == "zero" else 8.0
            told += [Quota(region, name, limit, self._used(region, name)) for name in names]
        return told

    def _used(self, region: str, accelerator: str) -> float:
        counts = {row[0]: row[2] for row in TYPES if row[1] == accelerator}
        with self._store.change() as cloud:
            machines = [t for t in cloud["things"].values() if t["kind"] == "machine" and t["region"] == region]
        return float(sum(counts.get(machine["instance_type"], 0) for machine in machines))

    def quota_needs(self, offer: Offer) -> Mapping[str, float]:
        """One of the GPU's own quota per GPU."""
        return {offer.accelerator: offer.accelerator_count} if offer.accelerator else {}

    def stop(self, resource: Resource) -> None:
        """Switched off at once."""
        self._change("stop", resource, state="stopped")

    def start(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """Running after the boot time, with a new deadline."""
        runs_at = self._clock() + self._boot_s
        self._change("start", resource, state="pending", runs_at=runs_at, deadline=deadline_epoch_s)

    def extend(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """A new deadline for the running machine."""
        self._change("extend", resource, deadline=deadline_epoch_s)

    def allow(self, deployment_id: str, cidrs: Sequence[str]) -> None:
        """Remembered in the firewall."""
        self._call("allow", {}, deployment_id)
        with self._store.change() as cloud:
            for thing in cloud["things"].values():
                if thing["kind"] == "firewall" and thing["tags"].get("gpucloud-deployment") == deployment_id:
                    thing["cidrs"] = list(cidrs)

    # ---- inside

    def _call(self, verb: str, place: Mapping[str, str], subject: str = "") -> Rule | None:
        """Record the call and let the script speak; raises what it says, before any effect."""
        with self._store.change() as cloud:
            cloud["calls"].append([verb, place.get("region", ""), subject])
            rule = first_rule(self.script, cloud["used"], verb, place)
        if rule is not None and rule.fault == "slow":
            self._sleep(rule.seconds)
        refuse(rule, place.get("zone") or place.get("region") or self.name)
        return rule

    def _made(self, cloud: dict[str, Any], spec: LaunchSpec, rule: Rule | None) -> list[dict[str, Any]]:
        known = [item for item in cloud["things"].values() if item.get("token") == spec.token]
        machines = [item for item in known if item["kind"] == "machine"]
        if machines:
            return known
        if spec.token in cloud.setdefault("dead", []):
            raise CapacityError("The machine of this request was made and is gone.")
        fault = rule.fault if rule else ""
        first = self._firewall(cloud, spec)
        if fault == "half":
            return [first]
        seconds = rule.seconds if rule else 0.0
        nodes = [self._machine(cloud, spec, rank, fault, seconds) for rank in range(spec.nodes)]
        return [first, *nodes]

    def _firewall(self, cloud: dict[str, Any], spec: LaunchSpec) -> dict[str, Any]:
        name = f"fw-{spec.deployment_id}"
        thing = cloud["things"].setdefault(f"{name}.{spec.offer.region}", self._thing(spec, "firewall", name))
        return dict(thing)

    def _machine(
        self, cloud: dict[str, Any], spec: LaunchSpec, rank: int, fault: str, seconds: float
    ) -> dict[str, Any]:
        now = self._clock()
        cloud["serial"] += 1
        thing = self._thing(spec, "machine", node_name(spec.deployment_id, spec.attempt, rank))
        later = now + seconds if fault in ("late", "invisible") else now
        thing |= {
            "id": f"i-{cloud['serial']:06d}",
            "rank": rank,
            "token": spec.token,
            "private_ip": f"10.0.0.{rank + 1}",
            "visible_at": later,
            "runs_at": now + self._boot_s,
            "deadline": spec.deadline_epoch_s,
            "at_end": spec.at_end,
        }
        if fault == "preempted":
            thing["preempted_at"] = now + seconds
        if fault == "failed":
            thing["runs_at"] = float("1e18")
        cloud["things"][thing["id"]] = thing
        return thing

    def _thing(self, spec: LaunchSpec, kind: str, name: str) -> dict[str, Any]:
        offer = spec.offer
        resource = Resource(
            cloud=self.name,
            account=self._account,
            region=offer.region,
            kind=kind,
            id=f"{name}.{offer.region}",
            name=name,
            zone=offer.zone if kind == "machine" else "",
            state="pending" if kind == "machine" else "running",
            attempt=spec.attempt if kind == "machine" else None,
            instance_type=offer.instance_type if kind == "machine" else "",
            market=offer.market if kind == "machine" else "",
            created_epoch_s=self._clock(),
            tags=dict(spec.tags),
        )
        return {**resource_record(resource), "state": resource.state, "visible_at": self._clock()}

    def _remove(self, cloud: dict[str, Any], thing: dict[str, Any]) -> None:
        group = [
            item
            for item in cloud["things"].values()
            if item["kind"] == "machine" and item["region"] == thing["region"] and item["tags"] == thing["tags"]
        ]
        if thing["kind"] == "firewall" and group:
            raise BadRequest(f"The firewall {thing['id']} is in use.")
        if thing.get("token"):
            cloud.setdefault("dead", []).append(thing["token"])
        if self._destroy_s and thing["kind"] == "machine":
            thing |= {"state": "stopping", "gone_at": thing.get("gone_at", self._clock() + self._destroy_s)}
        else:
            del cloud["things"][thing["id"]]

    def _change(self, verb: str, resource: Resource, **changes: Any) -> None:
        self._call(verb, {"region": resource.region}, resource.id)
        with self._store.change() as cloud:
            thing = cloud["things"].get(resource.id)
            if thing is None:
                raise BadRequest(f"There is no machine {resource.id}.")
            thing |= changes

    def _age(self, cloud: dict[str, Any]) -> None:
        """Let time have its effect: boots, guards, preemptions, removals."""
        now = self._clock()
        for key, thing in list(cloud["things"].items()):
            if thing["kind"] == "machine":
                _age_machine(thing, now)
            if thing.get("gone_at", now + 1) <= now or thing["state"] == "gone":
                del cloud["things"][key]


def _age_machine(thing: dict[str, Any], now: float) -> None:
    if thing["state"] == "pending" and thing["runs_at"] <= now:
        thing["state"] = "running"
    if thing["state"] == "running" and thing.get("preempted_at", now + 1) <= now:
        thing["state"] = "preempted"
    deadline = thing.get("deadline")
    if thing["state"] == "running" and deadline is not None and deadline <= now:
        thing["state"] = "stopped" if thing["at_end"] == "stop" else "gone"


def _offer(row: tuple[Any, ...], region: str, zone: str, market: str) -> Offer:
    name, accelerator, count, gpu_memory_gib, vcpus, memory_gib, usd = row
    price = usd * FACTOR[region] * (SPOT if market == "spot" else 1)
    return Offer(
        cloud="fake",
        instance_type=name,
        accelerator=accelerator,
        accelerator_count=count,
        region=region,
        zone=f"{region}-{zone}",
        market=market,
        usd_per_hour=round(price, 4),
        gpu_memory_gib=gpu_memory_gib,
        vcpus=vcpus,
        memory_gib=memory_gib,
        availability="open",
        observed_on=OBSERVED_ON,
        provisionable=True,
        source="fake",
    )
