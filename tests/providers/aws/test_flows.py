"""The driver under the flows: zone after zone, doomed regions skipped, doubt settled, other homes left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpucloud.core import errors
from gpucloud.core.plan import UpRequest
from gpucloud.flows import down, gc, up
from gpucloud.flows.context import Clouds, Context
from gpucloud.flows.ls import ls
from gpucloud.providers.aws.provider import AwsProvider
from gpucloud.providers.site import Site
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal
from tests.clouds.aws.sim import AwsSim, Refusal
from tests.clouds.http import Fault
from tests.clouds.matrix import USER_KEY, WAITS, Ready
from tests.providers.aws.conftest import TEMPLATES, make_offer

EAST, WEST = make_offer(zone=""), make_offer(region="us-west-2", zone="", usd_per_hour=1.1)


class Lab:
    """A home before the simulated AWS, on its clock."""

    def __init__(self, sim: AwsSim, root: Path) -> None:
        self.sim, self.home = sim, Home(root)
        self.journal = Journal.open(self.home, clock=sim.clock)
        self.said: list[str] = []

    def context(self, **environ: str) -> Context:
        site = Site(self.home.root, self.home.home_id(), {**self.sim.environ, **environ}, TEMPLATES)
        driver = AwsProvider(site, clock=self.sim.clock, sleep=self.sim.clock.move)
        return Context(
            home=self.home,
            journal=self.journal,
            clouds=Clouds(site, {"aws": driver}, only=True),
            readiness=Ready("A10G"),
            public_key=lambda: USER_KEY,
            narrate=self.said.append,
            waits=WAITS,
            clock=self.sim.clock,
            sleep=self.sim.clock.move,
        )

    def up(self, *offers: Any, name: str = "train", **more: Any) -> Any:
        ctx = self.context()
        request = UpRequest(name, offers or (EAST, WEST), {"gpu": None}, ssh_from=("203.0.113.7/32",), **more)
        return up.up(ctx, up.plan(ctx, request)).deployment

    def down(self, **environ: str) -> Any:
        ctx = self.context(**environ)
        return down.down(ctx, down.plan(ctx, ("train",)))

    def gc(self, **more: Any) -> Any:
        ctx = self.context()
        return gc.gc(ctx, gc.plan_gc(ctx, clouds=("aws",), **more))

    def lose_journal(self) -> None:
        self.journal.close()
        for path in self.home.root.glob("state.db*"):
            path.unlink()
        self.journal = Journal.open(self.home, clock=self.sim.clock)


@pytest.fixture
def lab(sim: AwsSim, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(sim, tmp_path / "one")
    yield made
    made.journal.close()


def attempts(error: errors.GpucloudError) -> list[tuple[str, str]]:
    return [(line["zone"] or line["region"], line["outcome"]) for line in error.details["attempts"]]


def test_every_zone_of_a_region_is_tried_before_the_next_region(lab, sim):
    sim.refusals += [Refusal("InsufficientInstanceCapacity", place="us-east-1"), Refusal("Unsupported", "us-west-2a")]
    deployment = lab.up()
    assert deployment.current.offer.zone == "us-west-2b"
    tried = [(attempt.offer.zone, attempt.outcome) for attempt in deployment.attempts]
    assert tried == [
        ("us-east-1a", "capacity"),
        ("us-east-1b", "capacity"),
        ("us-east-1c", "capacity"),
        ("us-west-2a", "not_offered"),
        ("us-west-2b", "made"),
    ]
    assert lab.down().error is None and sim.left() == []


def test_out_of_stock_everywhere_is_exit_5_and_tells_every_zone(lab, sim):
    sim.refusals.append(Refusal("InsufficientInstanceCapacity"))
    with pytest.raises(errors.CapacityError) as caught:
        lab.up()
    assert caught.value.exit_code == 5 and [outcome for _, outcome in attempts(caught.value)] == ["capacity"] * 5
    assert sim.left() == []


def test_a_region_without_quota_is_skipped_before_it_is_asked(lab, sim):
    sim.quotas["L-DB2E81BA"] = 2.0
    with pytest.raises(errors.QuotaError) as caught:
        lab.up()
    assert "RunInstances" not in sim.calls and {outcome for _, outcome in attempts(caught.value)} == {"quota"}


def test_no_permission_is_exit_4_and_ends_the_cloud(lab, sim):
    sim.refusals.append(Refusal("UnauthorizedOperation"))
    with pytest.raises(errors.PermissionDenied) as caught:
        lab.up()
    assert caught.value.exit_code == 4 and sim.calls.count("RunInstances") == 1 and sim.left() == []


def test_a_region_denied_by_the_organisation_moves_on_to_the_next(lab, sim):
    sim.denied_regions.add("us-east-1")
    assert lab.up().current.region == "us-west-2"
    sim.denied_regions.clear()
    assert lab.down().error is None and sim.left() == []


def test_a_late_answer_is_never_made_twice_and_never_lost(lab, sim):
    sim.late_s = 25
    sim.faults += [Fault("RunInstances", "drop_before", nth) for nth in range(2, 9)]
    with pytest.raises(errors.AmbiguousError):
        lab.up()
    sim.heal()
    result = lab.down()
    if result.error is not None:
        assert result.error.exit_code == 9
        sim.clock.move(60)
        result = lab.down()
    assert result.error is None and sim.left() == []


def test_another_account_cannot_take_it_down(lab, sim):
    lab.up()
    result = lab.down(AWS_ACCESS_KEY_ID="AKIAOTHER")
    assert isinstance(result.error, errors.CredentialsError) and "123456789012" in result.error.message
    assert len(sim.instances()) == 1
    assert lab.down().error is None and sim.left() == []


def test_two_homes_on_one_account_leave_each_other_alone(lab, sim, tmp_path):
    other = Lab(sim, tmp_path / "two")
    lab.up()
    other.up()
    sim.clock.move(4000)
    found = lab.gc()
    assert {orphan.word for orphan in found.plan.orphans} == {"other_home"} and found.removed == ()
    assert len(sim.instances()) == 2
    assert lab.down().error is None
    assert len(sim.instances()) == 1
    other.lose_journal()
    assert other.gc().error is None and sim.left() == []
    other.journal.close()


def test_spot_that_was_taken_back_is_told_and_goes(lab, sim):
    deployment = lab.up(make_offer(zone="", market="spot"))
    sim.take_back(deployment.machines[0].id)
    ls(lab.context(), refresh=True)
    assert lab.journal.present().named("train").state == "preempted"
    assert lab.down().error is None and sim.left() == []


def test_a_denied_region_that_was_used_is_exit_9_not_empty(lab, sim):
    lab.up()
    sim.denied_regions.add("us-east-1")
    result = lab.down()
    assert result.error.exit_code == 9 and "us-east-1" in result.error.message
    sim.denied_regions.clear()
    assert lab.down().error is None and sim.left() == []
