"""Stop, start, extend and allow on the fake cloud."""

import pytest

from gpucloud.core.answers import deployment_json
from gpucloud.core.errors import CleanupIncomplete, StateConflict
from gpucloud.flows import changes
from gpucloud.flows.ls import ls


def test_stopped_time_costs_nothing(stage):
    stage.reachable()
    stage.up()
    stage.clock.sleep(3600)
    assert changes.stop(stage.ctx, changes.plan_stop(stage.ctx, "train")).state == "stopped"
    stage.clock.sleep(10 * 3600)
    deployment = changes.start(stage.ctx, changes.plan_start(stage.ctx, "train"))
    assert deployment.state == "ready"
    stage.clock.sleep(3600)
    assert deployment_json(stage.present.named("train"), stage.clock())["spent_usd"] == pytest.approx(0.1, rel=0.01)


def test_start_sets_a_new_deadline_and_meets_the_same_key(stage):
    stage.reachable()
    before = stage.up()
    changes.stop(stage.ctx, changes.plan_stop(stage.ctx, "train"))
    stage.clock.sleep(2 * 86400)
    after = changes.start(stage.ctx, changes.plan_start(stage.ctx, "train", max_s=7200))
    assert after.deadline_at == pytest.approx(stage.clock() + 7200, abs=60)
    assert stage.machines[0]["deadline"] == after.deadline_at
    assert stage.readiness.greeted == [before.machines[0].endpoint.host_key]


def test_up_of_a_stopped_one_starts_it(stage):
    stage.up()
    changes.stop(stage.ctx, changes.plan_stop(stage.ctx, "train"))
    assert stage.up().state == "ready"
    assert len(stage.machines) == 1


def test_stop_twice_and_start_of_a_running_one_change_nothing(stage):
    stage.up()
    changes.start(stage.ctx, changes.plan_start(stage.ctx, "train"))
    changes.stop(stage.ctx, changes.plan_stop(stage.ctx, "train"))
    changes.stop(stage.ctx, changes.plan_stop(stage.ctx, "train"))
    assert stage.calls("stop") == 1
    assert stage.calls("start") == 0


def test_a_stop_that_is_not_confirmed_is_exit_9(stage):
    stage.up()
    stage.provider.stop = lambda resource: None
    with pytest.raises(CleanupIncomplete):
        changes.stop(stage.ctx, changes.plan_stop(stage.ctx, "train"))


def test_extend_moves_the_deadline_by_that_much(stage):
    before = stage.up(max_s=3600)
    after = changes.extend(stage.ctx, changes.plan_extend(stage.ctx, "train", 7200))
    assert after.deadline_at == before.deadline_at + 7200
    assert stage.machines[0]["deadline"] == after.deadline_at
    ends = {guard.kind: guard.ends_epoch_s for guard in after.current.guards}
    assert ends["in_machine_deadline"] == after.deadline_at


def test_extend_without_a_deadline_is_refused(stage):
    stage.up(max_s=0)
    with pytest.raises(StateConflict, match="no deadline"):
        changes.plan_extend(stage.ctx, "train", 3600)


def test_a_change_of_what_is_not_running_says_what_it_must_be(stage):
    stage.up()
    changes.stop(stage.ctx, changes.plan_stop(stage.ctx, "train"))
    with pytest.raises(StateConflict, match="is stopped"):
        changes.plan_extend(stage.ctx, "train", 3600)


def test_a_changed_deployment_makes_the_plan_stale(stage):
    stage.up()
    plan = changes.plan_extend(stage.ctx, "train", 3600)
    changes.extend(stage.ctx, plan)
    with pytest.raises(StateConflict, match="changed since"):
        changes.extend(stage.ctx, plan)


def test_allow_reaches_the_firewall(stage):
    stage.up()
    changes.allow(stage.ctx, changes.plan_allow(stage.ctx, "train", ["198.51.100.7/32"]))
    firewall = next(item for item in stage.things.values() if item["kind"] == "firewall")
    assert firewall["cidrs"] == ["198.51.100.7/32"]


def test_a_budget_is_what_is_left_of_it_after_a_stop(stage):
    stage.up(budget_usd=0.10, max_s=0)  # two hours at 0.05
    stage.clock.sleep(3600)
    changes.stop(stage.ctx, changes.plan_stop(stage.ctx, "train"))
    after = changes.start(stage.ctx, changes.plan_start(stage.ctx, "train"))
    assert after.deadline_at - stage.clock() == pytest.approx(3600, rel=0.02)


def test_a_machine_that_failed_and_is_started_again_bills_again(stage):
    stage.up()
    stage.clock.sleep(3600)
    stage.machines[0]["state"] = "failed"
    assert ls(stage.ctx, refresh=True).rows[0].state == "lost"
    stage.clock.sleep(5 * 3600)
    assert changes.start(stage.ctx, changes.plan_start(stage.ctx, "train")).state == "ready"
    stage.clock.sleep(3600)
    assert deployment_json(stage.present.named("train"), stage.clock())["spent_usd"] == pytest.approx(0.1, rel=0.01)
    stage.machines.clear()
    stage.things.clear()
    ls(stage.ctx, refresh=True)
    with pytest.raises(StateConflict):
        changes.plan_start(stage.ctx, "train")
