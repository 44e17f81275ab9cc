"""A simulated Compute Engine, the driver on it, and the flows around both, on a clock that sleeping moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gpucloud.core.cloud import LaunchSpec, Resource
from gpucloud.core.errors import GpucloudError
from gpucloud.core.offers import Offer
from gpucloud.core.plan import UpRequest
from gpucloud.core.tags import tags_for
from gpucloud.flows import down, gc, up
from gpucloud.flows.context import Clouds, Context, Waits
from gpucloud.flows.ls import ls
from gpucloud.providers.gcp.provider import GcpProvider
from gpucloud.providers.site import Site
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal
from tests.clouds.gcp.sim import GcpSim
from tests.clouds.worlds import _check_keys_once

TEMPLATES = Path(__file__).parents[3] / "templates"
DEPLOYMENT, HOME_ID = "train-k3v2abcd", "homehome"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE me"
T4 = Offer(
    cloud="gcp",
    instance_type="n1-standard-8+T4:1",
    accelerator="T4",
    accelerator_count=1,
    region="us-central1",
    zone="us-central1-a",
    usd_per_hour=0.73,
)


@dataclass
class Ready:
    """Proves every machine at once and shows a T4."""

    tokens: list[str] = field(default_factory=list)
    shown: tuple[str, ...] = ("GPU 0: Tesla T4 (UUID: GPU-0)",)

    def prove(self, resource: Resource, proof_token: str, deployment_id: str) -> str:
        self.tokens.append(proof_token)
        return f"ssh-ed25519 AAAA{resource.id}"

    def gpus(self, resource: Resource) -> Sequence[str]:
        return self.shown

    def greet(self, resource: Resource) -> None: ...

    def set_deadline(self, resource: Resource, deployment_id: str, deadline_epoch_s: float | None) -> bool:
        return True

    def remember(self, name: str, deployment_id: str, nodes: Sequence[Resource]) -> None: ...

    def forget(self, name: str, deployment_id: str) -> None: ...


class Lab:
    """One home at one simulated cloud."""

    def __init__(self, folder: Path, sim: GcpSim, **waits: float) -> None:
        self.sim, self.cloud = sim, sim.cloud
        self.home = Home(folder)
        site = Site(self.home.root, self.home.home_id(), sim.environ, TEMPLATES)
        self.site = site
        self.provider = GcpProvider(site, clock=sim.clock, sleep=self.sleep)
        self.journal = Journal.open(self.home, clock=sim.clock)
        self.said: list[str] = []
        self.ready = Ready()
        self.waits = replace(Waits(), **waits)

    def sleep(self, seconds: float) -> None:
        self.sim.clock.advance(seconds)

    @property
    def ctx(self) -> Context:
        return Context(
            home=self.home,
            journal=self.journal,
            clouds=Clouds(self.site, {"gcp": self.provider}),
            readiness=self.ready,
            public_key=lambda: KEY,
            narrate=self.said.append,
            waits=self.waits,
            clock=self.sim.clock,
            sleep=self.sleep,
        )

    def up(self, *offers: Offer, **changes: Any) -> Any:
        values = {"offers": offers or (T4,), "asked": {"gpu": "T4"}, "ssh_from": ("203.0.113.7/32",), **changes}
        ctx = self.ctx
        return up.up(ctx, up.plan(ctx, UpRequest("train", **values))).deployment

    def down(self) -> down.DownResult:
        ctx = self.ctx
        return down.down(ctx, down.plan(ctx, ("train",)))

    def ls(self) -> Any:
        return ls(self.ctx, refresh=True)

    def gc(self) -> gc.GcResult:
        ctx = self.ctx
        return gc.gc(ctx, gc.plan_gc(ctx, clouds=("gcp",)))

    def lose_journal(self) -> None:
        self.journal.close()
        for path in self.home.root.glob("state.db*"):
            path.unlink()
        self.journal = Journal.open(self.home, clock=self.sim.clock)

    def close(self) -> None:
        self.journal.close()


def make_spec(clock: Any, **changes: Any) -> LaunchSpec:
    """A launch of one T4 in us-central1-a that ends in six hours."""
    deadline = changes.get("deadline_epoch_s", clock() + 6 * 3600)
    values: dict[str, Any] = {
        "deployment_id": DEPLOYMENT,
        "name": "train",
        "attempt": 1,
        "token": f"{DEPLOYMENT}-1-abc",
        "offer": T4,
        "nodes": 1,
        "tags": tags_for(DEPLOYMENT, HOME_ID, "owner", deadline, changes.pop("own_tags", None)),
        "public_key": KEY,
        "proof_token": "ab" * 32,
        "deadline_epoch_s": deadline,
        "idle_s": 3600.0,
        "ssh_from": ("203.0.113.7/32",),
    }
    return LaunchSpec(**{**values, **changes})


@pytest.fixture(autouse=True, scope="session")
def keys_are_read_once() -> None:
    """The library checks a service account's key for 0.1 s whenever it reads it."""
    _check_keys_once()


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[GcpSim]:
    """The cloud; at the end nothing may have been illegal by the discovery document."""
    with GcpSim(tmp_path / "cloud") as made:
        yield made
    assert made.problems == []


@pytest.fixture
def provider(sim: GcpSim, tmp_path: Path) -> GcpProvider:
    site = Site(tmp_path, HOME_ID, sim.environ, TEMPLATES)
    return GcpProvider(site, clock=sim.clock, sleep=lambda seconds: None)


@pytest.fixture
def spec(sim: GcpSim) -> LaunchSpec:
    return make_spec(sim.clock)


@pytest.fixture
def lab(sim: GcpSim, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "home", sim)
    yield made
    made.close()


def error_of(job: Any) -> GpucloudError:
    """The error that a call ends with."""
    with pytest.raises(GpucloudError) as caught:
        job()
    return caught.value
