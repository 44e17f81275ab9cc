"""The simulated clouds under one shape, for tests that do the same to each of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from gpucloud.core.cloud import Provider
from gpucloud.core.offers import Offer
from gpucloud.providers.site import Site
from tests.clouds.http import SimServer

CLOUDS = ("aws", "gcp", "azure")
TEMPLATES = Path(__file__).parents[2] / "templates"


@dataclass
class World:
    """One simulated cloud and its clock. `open_driver` gives a fresh driver of a home, as a new process would.

    `offers` are two places in order; `left` names everything that exists and is not the cloud's own; `take_back`
    does what the cloud does to a spot machine (by its id).
    """

    cloud: str
    server: SimServer
    clock: Callable[[], float]
    advance: Callable[[float], None]
    open_driver: Callable[[Site], Provider]
    offers: Callable[[str], tuple[Offer, ...]]
    left: Callable[[], list[str]]
    take_back: Callable[[str], None]
    environ: dict[str, str]
    disconnect: Callable[[], None] = lambda: None  # in a forked process, before anything is asked

    def site(self, root: Path, home_id: str) -> Site:
        """Where a driver of that home works from."""
        return Site(root, home_id, self.environ, TEMPLATES)

    def sleep(self, seconds: float) -> None:
        """Time that passes only here."""
        self.advance(max(seconds, 0.001))

    def close(self) -> None:
        self.server.close()


def open_world(cloud: str, folder: Path | None = None) -> World:
    """A running simulator of that cloud."""
    folder = folder or Path(tempfile.mkdtemp())
    return {"aws": _aws, "gcp": _gcp, "azure": _azure}[cloud](folder)


def _aws(folder: Path) -> World:
    from gpucloud.providers.aws.provider import AwsProvider
    from tests.clouds.aws.sim import open_sim

    _read_models_once()
    sim, clients = open_sim(folder), {}

    def opened(site: Site) -> Provider:
        driver = AwsProvider(site, clock=sim.clock, sleep=sim.clock.move)
        driver._clients._clients = clients  # to make them takes longer than a whole `down`
        return driver

    return World(
        "aws",
        sim,
        sim.clock,
        sim.clock.move,
        opened,
        partial(_two, Offer("aws", "g5.xlarge", "A10G", 1, region="us-east-1", vcpus=4), ("us-east-1a", "us-east-1b")),
        sim.left,
        sim.take_back,
        sim.environ,
        clients.clear,
    )


def _read_models_once() -> None:
    """Every driver opens a session of its own, and each would read the model of EC2 (0.3 s) anew."""
    import botocore.session

    if not hasattr(botocore.session.create_loader, "cache_info"):
        botocore.session.create_loader = lru_cache(botocore.session.create_loader)


def _check_keys_once() -> None:
    """The same for a service account's key, which is checked for 0.1 s whenever it is read."""
    from google.auth.crypt import _cryptography_rsa as crypt

    signer: Any = crypt.RSASigner
    if not hasattr(signer.from_string, "cache_info"):
        signer.from_string = lru_cache(signer.from_string)


def _gcp(folder: Path) -> World:
    from gpucloud.providers.gcp.provider import GcpProvider
    from tests.clouds.gcp.sim import GcpSim

    _check_keys_once()
    sim = GcpSim(folder)
    sim.__enter__()
    offer = Offer("gcp", "n1-standard-8+T4:1", "T4", 1, region="us-central1", vcpus=8)
    return World(
        "gcp",
        sim,
        sim.clock,
        sim.clock.advance,
        lambda site: GcpProvider(site, clock=sim.clock, sleep=sim.clock.advance),
        partial(_two, offer, ("us-central1-a", "us-central1-b")),
        sim.left,
        lambda name: _locked(sim, sim.cloud.preempt, name),
        sim.environ,
    )


def _azure(folder: Path) -> World:
    from gpucloud.providers.azure.provider import AzureProvider
    from tests.clouds.azure.sim import open_sim

    sim: Any = open_sim(folder)
    offer = Offer("azure", "Standard_NC4as_T4_v3", "T4", 1, region="eastus", vcpus=4)
    return World(
        "azure",
        sim,
        sim.clock,
        sim.clock.advance,
        lambda site: AzureProvider(site, clock=sim.clock, sleep=sim.clock.advance),
        lambda market: (_sold(offer, market), _sold(offer, market, region="westus2")),
        sim.left,
        sim.take_back,
        sim.environ,
    )


def _locked(sim: SimServer, job: Callable[[str], Any], word: str) -> None:
    with sim.lock:
        job(word)


def _two(offer: Offer, zones: Sequence[str], market: str) -> tuple[Offer, ...]:
    return tuple(_sold(offer, market, zone=zone) for zone in zones)


def _sold(offer: Offer, market: str, **place: str) -> Offer:
    from dataclasses import replace

    return replace(offer, market=market, usd_per_hour=1.0, provisionable=True, **place)
