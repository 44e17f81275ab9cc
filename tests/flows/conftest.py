"""A rehearsal stage for flows: a home in tmp_path, the fake cloud, a clock that only tests move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gpucloud.core.cloud import Endpoint, Resource
from gpucloud.core.deployments import Deployment
from gpucloud.core.errors import Unreachable
from gpucloud.core.offers import Offer
from gpucloud.core.plan import UpRequest
from gpucloud.flows import down, up
from gpucloud.flows.context import Clouds, Context, Waits
from gpucloud.providers.fake.cloud import FakeProvider
from gpucloud.providers.fake.script import rule_from
from gpucloud.providers.fake.store import MemoryStore
from gpucloud.providers.site import Site
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)


@dataclass
class FakeReadiness:
    """Proves every machine after `refusals` tries, and shows `shown` as its GPUs."""

    refusals: int = 0
    shown: Sequence[str] = ()
    remembered: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    greeted: list[str] = field(default_factory=list)
    deadlines: dict[str, float | None] = field(default_factory=dict)
    deaf: Sequence[int] = ()  # ranks that cannot be reached for a new deadline

    def prove(self, resource: Resource, proof_token: str, deployment_id: str) -> str:
        self.tokens.append(proof_token)
        if self.refusals > 0:
            self.refusals -= 1
            raise Unreachable("connection refused.")
        return f"ssh-ed25519 AAAA{resource.id}"

    def gpus(self, resource: Resource) -> Sequence[str]:
        return self.shown

    def greet(self, resource: Resource) -> None:
        assert resource.endpoint is not None
        self.greeted.append(resource.endpoint.host_key)

    def set_deadline(self, resource: Resource, deployment_id: str, deadline_epoch_s: float | None) -> bool:
        if resource.rank in self.deaf:
            raise Unreachable("connection refused.")
        self.deadlines[resource.id] = deadline_epoch_s
        return True

    def remember(self, name: str, deployment_id: str, nodes: Sequence[Resource]) -> None:
        self.remembered.append(name)

    def forget(self, name: str, deployment_id: str) -> None:
        if name in self.remembered:
            self.remembered.remove(name)


class ReachableFake(FakeProvider):
    """A fake cloud whose machines have an address."""

    reachable = True

    def find(self, deployment_id, regions=()):
        scan = super().find(deployment_id, regions)
        return replace(scan, resources=tuple(self._addressed(item) for item in scan.resources))

    def _addressed(self, item: Resource) -> Resource:
        if item.kind != "machine" or item.state != "running":
            return item
        return replace(item, endpoint=Endpoint("192.0.2.1", 2200 + (item.rank or 0), "me"))


class Stage:
    """A home, a clock, one fake cloud; `script` are rules of what goes wrong."""

    def __init__(self, root: Path) -> None:
        self.clock = Clock()
        self.home = Home(root)
        self.store = MemoryStore()
        self.said: list[str] = []
        self.readiness = FakeReadiness()
        self.provider = FakeProvider(self.store, clock=self.clock, sleep=self.clock.sleep)
        self.journal = Journal.open(self.home, clock=self.clock)
        self.waits = Waits()
        self.context()

    def context(self) -> Context:
        site = Site(self.home.root, self.home.home_id(), {})
        self.ctx = Context(
            home=self.home,
            journal=self.journal,
            clouds=Clouds(site, {"fake": self.provider}, only=True),
            readiness=self.readiness,
            public_key=lambda: "ssh-ed25519 AAAAuser",
            narrate=self.said.append,
            waits=self.waits,
            clock=self.clock,
            sleep=self.clock.sleep,
        )
        return self.ctx

    def script(self, *rules: dict[str, object]) -> None:
        self.provider.script = tuple(rule_from(rule) for rule in rules)

    def reachable(self) -> None:
        self.provider = ReachableFake(self.store, clock=self.clock, sleep=self.clock.sleep)
        self.context()

    def lose_journal(self) -> None:
        """As after `rm state.db`."""
        self.journal.close()
        for path in self.home.root.glob("state.db*"):
            path.unlink()
        self.journal = Journal.open(self.home, clock=self.clock)
        self.context()

    def offers(self, instance_type: str = "fk.t4", market: str = "on-demand") -> tuple[Offer, ...]:
        found = [o for o in self.provider.offers() if o.instance_type == instance_type and o.market == market]
        return tuple(sorted(found, key=lambda offer: offer.usd_per_hour or 0))

    def request(self, name: str = "train", **changes: object) -> UpRequest:
        values = {"offers": self.offers("fk.cpu"), "asked": {"gpu": None}, **changes}
        return UpRequest(name, **values)  # type: ignore[arg-type]

    def up(self, name: str = "train", **changes: object) -> Deployment:
        return up.up(self.ctx, up.plan(self.ctx, self.request(name, **changes))).deployment

    def down(self, *names: str, everything: bool = False) -> down.DownResult:
        return down.down(self.ctx, down.plan(self.ctx, names, everything))

    @property
    def present(self):
        return self.journal.present()

    @property
    def machines(self) -> list[dict[str, object]]:
        return [item for item in self.store.cloud["things"].values() if item["kind"] == "machine"]

    @property
    def things(self) -> dict[str, dict[str, object]]:
        return self.store.cloud["things"]

    def calls(self, verb: str) -> int:
        return sum(call[0] == verb for call in self.store.cloud["calls"])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "home")
    yield made
    made.journal.close()
