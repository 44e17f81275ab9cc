"""`up` on the fake cloud: from the yes to the first request, and from a stockout to the next one; `gc` over all."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpucloud.core.cloud import Identity, LaunchSpec, Provider, Quota, Resource, Scan
from gpucloud.core.plan import UpRequest
from gpucloud.flows import gc, up
from gpucloud.flows.ahead import Ahead
from gpucloud.flows.context import Clouds, Context
from gpucloud.providers.fake.cloud import FakeProvider
from gpucloud.providers.fake.script import rule_from
from gpucloud.providers.fake.store import FileStore
from gpucloud.providers.site import Site
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal
from tests.bench.report import Row
from tests.clouds.worlds import CLOUDS, World, open_world

LATENCY_S = 0.05  # of every read
ROUNDS = 7


class Watched(FakeProvider):
    """A fake cloud at a distance that notes when create requests come and when they are answered."""

    def __init__(self, root: Path, name: str = "fake", stockouts: int = 0) -> None:
        rule = rule_from({"verb": "launch", "fault": "capacity", "times": stockouts or 1})
        super().__init__(FileStore(root / name / "cloud.json"), (rule,) if stockouts else ())
        self.name = name
        self.asked: list[float] = []
        self.answered: list[float] = []

    def identity(self) -> Identity:
        time.sleep(LATENCY_S)
        return replace(super().identity(), cloud=self.name)

    def quotas(self, regions: Sequence[str] = ()) -> Sequence[Quota]:
        time.sleep(LATENCY_S)
        return super().quotas(regions)

    def find(self, deployment_id: str | None, regions: Sequence[str] = ()) -> Scan:
        time.sleep(LATENCY_S)
        return super().find(deployment_id, regions)

    def launch(self, spec: LaunchSpec) -> Sequence[Resource]:
        self.asked.append(time.perf_counter())
        try:
            return super().launch(spec)
        finally:
            self.answered.append(time.perf_counter())


class Nobody:
    """No machine is reached here."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *words, **options: None


def run() -> list[Row]:
    """All rows; seconds are medians over rounds, each in a fresh home."""
    rounds = [_round() for _ in range(ROUNDS)]
    cold, ahead, failover = (statistics.median(column) for column in zip(*rounds, strict=True))
    told = f"identity and quotas {LATENCY_S * 1e3:.0f} ms away"
    return [
        Row("up: from the yes to the first request", ahead, 1.0, "s", f"{told}, asked while the plan is read"),
        Row("up: the same with --yes", cold, 1.0, "s", told),
        Row("up: from a stockout to the next request", failover, 0.3, "s", "nothing of the cloud's own time"),
        *_simulated_rows(),
    ]


def _round() -> tuple[float, float, float]:
    cold, failover = _up_s(lambda ctx, planned: None)
    warm, _ = _up_s(_read_the_plan)
    return cold, warm, failover


def _read_the_plan(ctx: Context, planned: Any) -> Ahead:
    ahead = Ahead(ctx, planned.order)
    time.sleep(0.5)
    return ahead


def _up_s(before: Callable[[Context, Any], Ahead | None]) -> tuple[float, float]:
    """Seconds to the first request, and from its refusal to the second."""
    with tempfile.TemporaryDirectory(prefix="gpucloud-bench-") as folder:
        provider = Watched(Path(folder), stockouts=1)
        ctx = _context(Path(folder), {"fake": provider})
        offers = sorted(provider.offers(), key=lambda offer: offer.usd_per_hour or 0)
        request = UpRequest("bench", tuple(o for o in offers if o.instance_type == "fk.t4" and o.market == "on-demand"))
        planned = up.plan(ctx, request)
        ahead = before(ctx, planned)
        begin = time.perf_counter()
        up.up(ctx, planned, ahead)
        ctx.journal.close()
        return provider.asked[0] - begin, provider.asked[1] - provider.answered[0]


def _simulated_rows() -> list[Row]:
    """`gc` with the real drivers over the three simulated clouds, libraries loaded."""
    with tempfile.TemporaryDirectory(prefix="gpucloud-bench-") as folder, ExitStack() as stack:
        worlds = []
        for cloud in CLOUDS:
            place = Path(folder) / f"{cloud}-cloud"
            place.mkdir()
            worlds.append(open_world(cloud, place))
            stack.callback(worlds[-1].close)
        _gc_s(worlds, Path(folder) / "first")
        for world in worlds:
            world.server.latency_s = LATENCY_S
        regions, taken_s = _gc_s(worlds, Path(folder) / "second")
    told = f"{regions} regions, every call {LATENCY_S * 1e3:.0f} ms away; the simulators share this machine"
    return [Row("gc: all regions of three simulated clouds", taken_s, 5.0, "s", told)]


def _gc_s(worlds: Sequence[World], root: Path) -> tuple[int, float]:
    home = Home(root)
    drivers = {world.cloud: world.open_driver(world.site(root, home.home_id())) for world in worlds}
    ctx = _context(root, drivers)
    begin = time.perf_counter()
    result = gc.listed(gc.plan_gc(ctx))
    taken_s = time.perf_counter() - begin
    ctx.journal.close()
    if result.plan.unscanned:
        raise SystemExit(f"not asked: {dict(result.plan.unscanned)}")
    return len(result.plan.scanned), taken_s


def _context(root: Path, clouds: Mapping[str, Provider]) -> Context:
    home = Home(root)
    return Context(
        home=home,
        journal=Journal.open(home),
        clouds=Clouds(Site(root, home.home_id(), {}), clouds, only=True),
        readiness=Nobody(),  # type: ignore[arg-type]
        public_key=lambda: "ssh-ed25519 AAAA",
    )
