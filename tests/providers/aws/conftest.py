"""A simulated AWS, a driver before it, and what a launch needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.names import attempt_token
from gpucloud.core.offers import Offer
from gpucloud.core.tags import tags_for
from gpucloud.providers.aws.provider import AwsProvider
from gpucloud.providers.site import Site
from tests.clouds.aws.sim import AwsSim, open_sim

TEMPLATES = Path(__file__).parents[3] / "templates"
HOME, OTHER_HOME = "home-abcdefgh", "home-zzzzzzzz"
DEPLOYMENT = "train-abcdefgh"
USER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[AwsSim]:
    made = open_sim(tmp_path)
    yield made
    made.close()
    assert made.problems == []


@pytest.fixture
def open_driver(sim: AwsSim, tmp_path: Path) -> Callable[..., AwsProvider]:
    """Drivers of any home and environment, on the simulator's clock; sleeping moves it."""

    def opened(home_id: str = HOME, **environ: str) -> AwsProvider:
        site = Site(tmp_path / "home", home_id, {**sim.environ, **environ}, TEMPLATES)
        return AwsProvider(site, clock=sim.clock, sleep=sim.clock.move)

    return opened


@pytest.fixture
def driver(open_driver: Callable[..., AwsProvider]) -> AwsProvider:
    return open_driver()


@pytest.fixture
def ec2(sim: AwsSim) -> Any:
    """A client of somebody else's making, to look at what there is."""
    import boto3

    session = boto3.Session("AKIAMINE", "secret", region_name="us-east-1")
    return session.client("ec2", endpoint_url=sim.url)


@pytest.fixture
def spec(sim: AwsSim) -> LaunchSpec:
    return make_spec(sim.clock())


def make_offer(**changes: Any) -> Offer:
    offer = Offer("aws", "g5.xlarge", "A10G", 1, region="us-east-1", zone="us-east-1a", usd_per_hour=1.0, vcpus=4)
    return replace(offer, **changes)


def make_spec(now: float, offer: Offer | None = None, home_id: str = HOME, **changes: Any) -> LaunchSpec:
    """A launch in us-east-1a with a deadline in six hours."""
    offer = offer or make_offer()
    deployment, attempt = changes.pop("deployment_id", DEPLOYMENT), changes.pop("attempt", 1)
    deadline = changes.pop("deadline_epoch_s", round(now) + 6 * 3600.0)
    values: dict[str, Any] = {
        "deployment_id": deployment,
        "name": "train",
        "attempt": attempt,
        "token": attempt_token(deployment, attempt, offer),
        "offer": offer,
        "nodes": 1,
        "tags": tags_for(deployment, home_id, "ownerowner", deadline, {"team": "vision"}),
        "public_key": USER_KEY,
        "proof_token": "ab" * 32,
        "deadline_epoch_s": deadline,
        "idle_s": 3600.0,
        "ssh_from": ("203.0.113.5/32",),
        **changes,
    }
    return LaunchSpec(**values)
