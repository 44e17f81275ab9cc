"""Stop, start, extend and allow on the fake cloud."""

import pytest

from gpucloud.core.answers import deployment_json
from gpucloud.core.errors import CleanupIncomplete, StateConflict, Unreachable, UsageError
from gpucloud.core.units import iso_utc
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


def test_extend_within_the_budget_asks_nothing_more(stage):
    stage.up(budget_usd=1.0, max_s=3600)  # twenty hours at 0.05
    planned = changes.plan_extend(stage.ctx, "train", 3600)
    assert planned.overrun is None
    changes.extend(stage.ctx, planned)
    assert stage.present.named("train").request["budget_usd"] == 1.0


def test_extend_beyond_the_budget_says_so_and_raises_it(stage):
    stage.up(budget_usd=0.10, max_s=0)  # two hours at 0.05
    stage.clock.sleep(3600)
    planned = changes.plan_extend(stage.ctx, "train", 7200)
    assert planned.overrun.usd == pytest.approx(0.20, rel=0.01) and planned.overrun.budget_usd == 0.10
    assert "up to 0.20 USD in all; its budget is 0.10 USD" in planned.overrun.sentence
    with pytest.raises(UsageError, match=r"its budget is 0\.15 USD") as caught:
        changes.plan_extend(stage.ctx, "train", 7200, budget_usd=0.15)
    assert f"--budget {planned.overrun.enough_usd:.2f}" in caught.value.hint
    changes.extend(stage.ctx, planned)
    assert stage.present.named("train").request["budget_usd"] == planned.overrun.enough_usd
    assert changes.plan_extend(stage.ctx, "train", 3600, budget_usd=5.0).overrun is None


def test_a_budget_that_is_used_up_starts_nothing_until_it_is_raised(stage):
    stage.up(budget_usd=0.10, max_s=0)
    stage.clock.sleep(3 * 3600)
    changes.stop(stage.ctx, changes.plan_stop(stage.ctx, "train"))
    with pytest.raises(StateConflict, match=r"0\.10 USD, is used up") as caught:
        changes.plan_start(stage.ctx, "train")
    assert "--budget" in caught.value.hint
    after = changes.start(stage.ctx, changes.plan_start(stage.ctx, "train", budget_usd=0.20))
    assert after.deadline_at - stage.clock() == pytest.approx(3600, rel=0.02)
    assert after.request["budget_usd"] == 0.20


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


# ---- the end inside the machine


def test_extend_tells_every_machine_before_the_provider(stage):
    stage.reachable()
    before = stage.up(max_s=3600, nodes=3)
    after = changes.extend(stage.ctx, changes.plan_extend(stage.ctx, "train", 7200))
    assert stage.readiness.deadlines == dict.fromkeys([node.id for node in before.machines], after.deadline_at)
    assert {machine["deadline"] for machine in stage.machines} == {after.deadline_at}


def test_a_machine_that_cannot_be_told_keeps_its_old_end_and_that_is_said(stage):
    stage.reachable()
    before = stage.up(max_s=3600, nodes=3)
    stage.readiness.deaf = (1,)
    with pytest.raises(Unreachable) as caught:
        changes.extend(stage.ctx, changes.plan_extend(stage.ctx, "train", 7200))
    assert before.machines[1].name in caught.value.message and before.machines[0].name not in caught.value.message
    assert f"keeps its old end, {iso_utc(before.deadline_at)}" in caught.value.message
    assert caught.value.exit_code == 7
    assert stage.present.named("train").deadline_at == before.deadline_at
    assert stage.calls("extend") == 0
    stage.readiness.deaf = ()
    assert changes.extend(stage.ctx, changes.plan_extend(stage.ctx, "train", 7200)).deadline_at > before.deadline_at


def test_start_tells_the_machines_their_new_end(stage):
    stage.reachable()
    deployment = stage.up(nodes=2)
    changes.stop(stage.ctx, changes.plan_stop(stage.ctx, "train"))
    stage.clock.sleep(2 * 86400)
    stage.readiness.deaf = (0,)
    with pytest.raises(Unreachable) as caught:
        changes.start(stage.ctx, changes.plan_start(stage.ctx, "train", max_s=7200))
    assert iso_utc(deployment.deadline_at) in caught.value.message
    assert stage.present.named("train").state == "starting"
    stage.readiness.deaf = ()
    after = changes.start(stage.ctx, changes.plan_start(stage.ctx, "train", max_s=7200))
    assert set(stage.readiness.deadlines.values()) == {after.deadline_at}


def test_machines_that_cannot_be_reached_at_all_are_the_providers_alone(stage):
    stage.up(max_s=3600)
    changes.extend(stage.ctx, changes.plan_extend(stage.ctx, "train", 7200))
    assert stage.readiness.deadlines == {}
    assert stage.calls("extend") == 1


def test_long_waits_are_said(stage):
    stage.reachable()
    stage.readiness.refusals = 60
    stage.up(nodes=2)
    said = [sentence for sentence in stage.said if "not ready yet" in sentence]
    assert said and said[0].startswith("2 of 2 machines are not ready yet: connection refused")
