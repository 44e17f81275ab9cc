"""What gc calls whose, and what it removes."""

import threading
import time
from dataclasses import replace

import pytest

from gpucloud.flows import gc
from gpucloud.providers.fake.cloud import FakeProvider
from gpucloud.providers.fake.store import MemoryStore


def word_of(plan):
    return {orphan.resource.kind: orphan.word for orphan in plan.orphans}


def collect(stage, *named, **options):
    return gc.gc(stage.ctx, gc.plan_gc(stage.ctx, named, **options))


def test_live_machines_are_nobodys_orphans(stage):
    stage.up()
    plan = gc.plan_gc(stage.ctx)
    assert plan.orphans == ()
    assert ("fake", "fake-north") in plan.scanned
    assert collect(stage).removed == ()
    assert len(stage.machines) == 1


def test_lost_machines_are_listed_at_once_and_removed_when_old(stage):
    stage.up()
    stage.lose_journal()
    assert word_of(gc.plan_gc(stage.ctx)) == {"machine": "mine_lost", "firewall": "mine_lost"}
    assert collect(stage).removed == ()
    stage.clock.sleep(1801)
    result = collect(stage)
    assert len(result.removed) == 2
    assert result.error is None
    assert stage.things == {}


def test_other_homes_machines_only_when_expired_or_asked_for(stage):
    stage.up(max_s=7200)
    for thing in stage.things.values():
        thing["tags"]["gpucloud-home"] = "somebodyelse2222"
    stage.lose_journal()
    stage.clock.sleep(3600)
    assert word_of(gc.plan_gc(stage.ctx)) == {"machine": "other_home", "firewall": "other_home"}
    assert collect(stage).removed == ()
    stage.clock.sleep(7201)
    assert word_of(gc.plan_gc(stage.ctx)) == {"machine": "expired", "firewall": "expired"}
    collect(stage)
    assert stage.things == {}


@pytest.mark.parametrize("by", ["id", "all_homes"])
def test_other_homes_live_ones_by_id_or_all_homes(stage, by):
    stage.up()
    for thing in stage.things.values():
        thing["tags"]["gpucloud-home"] = "somebodyelse2222"
    stage.lose_journal()
    named = (next(iter(stage.things.values()))["tags"]["gpucloud-deployment"],) if by == "id" else ()
    collect(stage, *named, all_homes=by == "all_homes")
    assert stage.things == {}


def test_malformed_tags_are_foreign_and_never_touched(stage):
    stage.up()
    for thing in stage.things.values():
        thing["tags"]["gpucloud-deployment"] = "Not An Id"
    stage.lose_journal()
    stage.clock.sleep(10**6)
    assert set(word_of(gc.plan_gc(stage.ctx)).values()) == {"foreign"}
    collect(stage, "Not An Id", all_homes=True)
    assert len(stage.machines) == 1


def test_tags_are_checked_again_before_removal(stage):
    stage.up()
    stage.lose_journal()
    stage.clock.sleep(1801)
    plan = gc.plan_gc(stage.ctx)
    for thing in stage.things.values():
        thing["tags"]["gpucloud-home"] = "somebodyelse2222"
    assert len(plan.doomed) == 2
    gc.gc(stage.ctx, plan)
    assert len(stage.machines) == 1


def test_a_silent_region_that_was_used_is_exit_9(stage):
    stage.up()
    stage.down("train")
    stage.script({"verb": "find", "region": "fake-north", "fault": "unscanned", "times": 0})
    assert collect(stage).error is None, "a region that was never used is only listed"
    stage.script({"verb": "find", "region": "fake-east", "fault": "unscanned", "times": 0})
    result = collect(stage)
    assert result.error.exit_code == 9
    assert result.as_json()["unscanned"] == [
        {"cloud": "fake", "region": "fake-east", "reason": "the region does not answer"}
    ]


def test_a_cloud_that_cannot_be_asked_is_said(stage):
    stage.up()
    stage.script({"verb": "identity", "fault": "credentials", "times": 0})
    stage.context()
    result = gc.listed(gc.plan_gc(stage.ctx))
    assert ("fake", "fake-east") in result.plan.unscanned
    assert result.error.exit_code == 9


def test_what_does_not_go_is_named(stage):
    stage.up()
    stage.lose_journal()
    stage.clock.sleep(1801)
    stage.script({"verb": "destroy", "fault": "permission", "times": 0})
    result = collect(stage)
    assert result.error.exit_code == 9
    assert "i-000001" in result.error.message


class Hanging(FakeProvider):
    """A cloud that never answers."""

    name = "hanging"

    def find(self, deployment_id, regions=()):
        threading.Event().wait(20)
        raise AssertionError("too late to matter")


def test_one_hanging_cloud_does_not_hang_the_rest(stage):
    stage.up()
    stage.lose_journal()
    stage.waits = replace(stage.waits, cloud=0.3)
    ctx = stage.context()
    ctx.clouds._opened["hanging"] = Hanging(MemoryStore())
    begun = time.monotonic()
    plan = gc.plan_gc(ctx)
    assert time.monotonic() - begun < 5
    assert {orphan.resource.kind for orphan in plan.orphans} == {"machine", "firewall"}
    assert plan.unscanned == {("hanging", ""): "It did not answer within 0.3 s."}
    assert gc.listed(plan).error is None  # the journal never used it


def test_live_machines_of_another_account_are_said_and_exit_9(stage):
    stage.up()
    stage.provider._account = "another-account"
    ctx = stage.context()
    plan = gc.plan_gc(ctx)
    assert plan.unscanned[("fake", "fake-east")] == (
        "made with account fake-account, but the credentials now are for another-account"
    )
    error = gc.listed(plan).error
    assert error is not None and error.exit_code == 9
