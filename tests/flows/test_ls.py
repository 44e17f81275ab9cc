"""What ls shows, and what a look at the cloud changes."""

import threading
import time
from dataclasses import replace

import pytest

from gpucloud.core.answers import deployment_json
from gpucloud.core.errors import AmbiguousError, CleanupIncomplete, PermissionDenied, UsageError
from gpucloud.flows.ls import ls
from gpucloud.state.locks import deployment_lock

FIELDS = {
    "name", "id", "cloud", "account", "region", "zone", "instance_type", "accelerator", "accelerator_count", "nodes",
    "market", "state", "usd_per_hour", "spent_usd", "created_at", "deadline_at", "billing_ended", "guards",
}  # fmt: skip


def state_of(stage, **options):
    rows = ls(stage.ctx, refresh=True, **options).rows
    return [row.state for row in rows]


def test_fields_of_the_contract(stage):
    stage.up(offers=stage.offers("fk.t4"), nodes=2)
    stage.clock.sleep(1800)
    (found,) = ls(stage.ctx).as_json(stage.clock())
    assert set(found) >= FIELDS
    assert found["usd_per_hour"] == pytest.approx(0.8)
    assert found["spent_usd"] == pytest.approx(0.4, rel=0.01)
    assert found["deadline_at"].endswith("Z")
    assert {guard["kind"] for guard in found["guards"]} == {"in_machine_deadline", "in_machine_idle", "provider"}
    assert set(found["nodes"][1]) == {"rank", "id", "ip", "private_ip", "state"}


def test_down_ones_are_shown_on_request(stage):
    stage.up("a")
    stage.up("b")
    stage.down("a")
    assert [row.deployment.name for row in ls(stage.ctx).rows] == ["b"]
    assert [row.deployment.name for row in ls(stage.ctx, everything=True).rows] == ["a", "b"]
    with pytest.raises(UsageError):
        ls(stage.ctx, ["c"])


def test_a_guard_that_fired_is_discovered(stage):
    stage.up(max_s=3600)
    stage.clock.sleep(3700)
    assert state_of(stage) == ["ended_by_guard"]
    deployment = stage.present.named("train")
    assert not deployment.closed, "the disk of a stopped machine still costs"
    assert deployment_json(deployment, stage.clock())["spent_usd"] == pytest.approx(0.05, rel=0.01)
    stage.down("train")
    assert stage.things == {}


def test_a_guard_that_deleted_leaves_only_the_firewall(stage):
    stage.up(max_s=3600, at_end="delete")
    stage.clock.sleep(3700)
    assert state_of(stage) == ["ended_by_guard"]
    assert stage.down("train").error is None
    assert stage.things == {}


def test_preempted_spot(stage):
    stage.script({"verb": "launch", "fault": "preempted", "seconds": 600})
    stage.up(offers=stage.offers("fk.cpu", "spot"))
    stage.clock.sleep(601)
    assert state_of(stage) == ["preempted"]


def test_lost_when_somebody_else_removed_it(stage):
    stage.up()
    for key in [key for key, thing in stage.things.items() if thing["kind"] == "machine"]:
        del stage.things[key]
    assert state_of(stage) == ["lost"]
    stage.things.clear()
    assert state_of(stage) == ["lost"]
    deployment = stage.present.named("train")
    assert deployment.closed
    assert stage.up().id != deployment.id, "the name is free again"


def test_a_silent_region_changes_nothing_and_is_exit_9(stage):
    stage.up()
    stage.script({"verb": "find", "fault": "unscanned", "times": 0})
    listing = ls(stage.ctx, refresh=True)
    assert [row.state for row in listing.rows] == ["ready"]
    assert listing.error.exit_code == 9


def test_settling_is_shown_and_ends_by_looking(stage):
    stage.script({"verb": "launch", "fault": "lost_before", "times": 0})
    with pytest.raises(AmbiguousError):
        stage.up()
    assert state_of(stage) == ["settling"]
    stage.clock.sleep(901)
    assert state_of(stage, everything=True) == ["failed"]
    assert stage.present.live == ()


def test_a_busy_deployment_is_left_to_its_command(stage):
    stage.up(max_s=3600)
    stage.clock.sleep(3700)
    with deployment_lock(stage.home, "train", "up"):
        (row,) = ls(stage.ctx, refresh=True).rows
    assert (row.state, row.busy.split(",")[0]) == ("ready", "up")


def test_many_are_asked_at_once(stage):
    for name in ("one", "two", "three", "four"):
        stage.up(name)
    find, begun = stage.provider.find, time.monotonic()

    def slow(deployment_id, regions=()):
        time.sleep(0.3)
        return find(deployment_id, regions)

    stage.provider.find = slow
    assert ls(stage.ctx, refresh=True).error is None
    assert time.monotonic() - begun < 1.1


def test_one_that_hangs_is_said_and_the_others_are_shown(stage):
    for name in ("one", "two"):
        stage.up(name)
    hanging, find, release = stage.present.named("one").id, stage.provider.find, threading.Event()

    def half(deployment_id, regions=()):
        if deployment_id == hanging:
            release.wait(20)
        return find(deployment_id, regions)

    stage.provider.find = half
    stage.waits = replace(stage.waits, cloud=0.2)
    found = ls(stage.context(), refresh=True)
    release.set()
    assert len(found.rows) == 2
    assert found.error is not None and found.error.exit_code == 9
    assert found.unscanned == {("fake", "fake-east"): "It did not answer within 0.2 s."}


def test_down_of_many_is_at_once_and_one_failure_keeps_no_other(stage):
    for name in ("one", "two", "three"):
        stage.up(name)
    destroy, stuck = stage.provider.destroy, stage.present.named("two").machines[0].id

    def most(resource):
        if resource.id == stuck:
            raise PermissionDenied("not that one")
        destroy(resource)

    stage.provider.destroy = most
    stage.waits = replace(stage.waits, destroy=5.0)
    stage.context()
    result = stage.down(everything=True)
    assert [item.closed for item in result.deployments] == [True, False, True]
    assert isinstance(result.error, CleanupIncomplete) and stuck in result.error.message
