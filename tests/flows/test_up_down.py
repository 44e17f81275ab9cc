"""Up and down on the fake cloud: every kind of refusal, and the promise that nothing is lost."""

from dataclasses import replace

import pytest

from gpucloud.core.answers import deployment_json, up_plan_json
from gpucloud.core.errors import (
    AmbiguousError,
    BadRequest,
    CapacityError,
    CleanupIncomplete,
    CredentialsError,
    PermissionDenied,
    StateConflict,
    UsageError,
    WaitTimeout,
)
from gpucloud.flows import up


def test_up_then_down_leaves_nothing(stage):
    deployment = stage.up()
    assert deployment.state == "ready"
    assert [line["outcome"] for line in deployment.tried] == ["ready"]
    assert len(stage.machines) == 1
    stage.clock.sleep(3600)
    result = stage.down("train")
    assert result.error is None
    assert stage.things == {}
    assert {item.kind for item in result.removed} == {"machine", "firewall"}
    assert result.deployments[0].state == "down"
    assert list(stage.home.keys.glob("proof-*")) == []


def test_intent_is_committed_before_the_call(stage):
    seen = []
    launch = stage.provider.launch

    def watching(spec):
        seen.append([event.kind for event in stage.journal.events()][-1])
        return launch(spec)

    stage.provider.launch = watching
    stage.up()
    assert seen == ["attempt_opened"]
    opened = next(event.data for event in stage.journal.events() if event.kind == "attempt_opened")
    assert {"token", "account", "principal", "endpoint", "region", "zone", "offer", "nodes"} <= set(opened)
    assert opened["account"] == "fake-account"


def test_the_proof_token_is_never_an_event(stage):
    stage.reachable()
    stage.up()
    token = stage.readiness.tokens[0]
    assert len(token) == 64
    assert token not in str(stage.journal.events())
    assert not list(stage.home.keys.glob("proof-*"))


def test_same_words_resume_and_other_words_conflict(stage):
    first = stage.up(asked={"gpu": "T4"})
    assert up.plan(stage.ctx, stage.request(asked={"gpu": "T4"})).existing is not None
    assert stage.up(asked={"gpu": "T4"}).id == first.id
    assert stage.calls("launch") == 1
    with pytest.raises(StateConflict, match="gpu was T4, now A100"):
        stage.up(asked={"gpu": "A100"})


def test_a_plan_goes_stale_when_the_deployment_moves(stage):
    plan = up.plan(stage.ctx, stage.request())
    stage.up()
    with pytest.raises(StateConflict, match="changed since"):
        up.up(stage.ctx, plan)


def test_other_deployments_do_not_make_a_plan_stale(stage):
    plan = up.plan(stage.ctx, stage.request())
    stage.up("other")
    assert up.up(stage.ctx, plan).deployment.state == "ready"


def test_no_capacity_moves_on_to_the_next_offer(stage):
    stage.script({"verb": "launch", "fault": "capacity", "times": 2})
    deployment = stage.up()
    assert [line["outcome"] for line in deployment.tried] == ["capacity", "capacity", "ready"]
    assert deployment.current.region == "fake-west"


def test_no_quota_leaves_out_the_whole_region(stage):
    stage.script({"verb": "launch", "fault": "quota", "times": 1})
    deployment = stage.up()
    assert [line["region"] for line in deployment.tried] == ["fake-east", "fake-west"]


def test_no_room_anywhere_is_exit_5_with_every_attempt(stage):
    stage.script({"verb": "launch", "fault": "capacity", "times": 0})
    with pytest.raises(CapacityError) as caught:
        stage.up()
    assert caught.value.exit_code == 5
    assert len(caught.value.details["attempts"]) == 5
    assert stage.present.named("train").state == "failed"
    assert stage.present.live == ()


def test_wait_capacity_tries_the_whole_list_again(stage):
    stage.script({"verb": "launch", "fault": "capacity", "times": 7})
    deployment = stage.up(wait_capacity_s=600)
    assert deployment.state == "ready"
    assert len(deployment.tried) == 8


def test_throttling_waits_and_sends_the_same_token(stage):
    stage.script({"verb": "launch", "fault": "throttle", "times": 2, "seconds": 7})
    before = stage.clock.now
    deployment = stage.up()
    assert stage.clock.now - before >= 14
    assert len(deployment.attempts) == 1
    assert len({call[2] for call in stage.store.cloud["calls"] if call[0] == "launch"}) == 1


@pytest.mark.parametrize("fault", ["credentials", "permission", "not_registered"])
def test_what_the_user_must_settle_skips_the_cloud(stage, fault):
    stage.script({"verb": "launch", "fault": fault, "times": 0})
    with pytest.raises(Exception) as caught:
        stage.up()
    assert caught.value.code == fault
    assert caught.value.exit_code == 4
    assert stage.calls("launch") == 1


def test_missing_credentials_are_an_attempt_that_was_never_sent(stage):
    stage.script({"verb": "identity", "fault": "credentials", "times": 0})
    with pytest.raises(CredentialsError) as caught:
        stage.up()
    assert [line["outcome"] for line in caught.value.details["attempts"]] == ["credentials"]
    assert stage.calls("launch") == 0


def test_a_bad_request_stops(stage):
    stage.script({"verb": "launch", "fault": "bad_request", "times": 0})
    with pytest.raises(BadRequest):
        stage.up()
    assert stage.calls("launch") == 1


@pytest.mark.parametrize("fault", ["lost_before", "lost_after"])
def test_a_lost_answer_makes_one_machine(stage, fault):
    stage.script({"verb": "launch", "fault": fault, "times": 1})
    deployment = stage.up()
    assert deployment.state == "ready"
    assert len(stage.machines) == 1
    assert len(deployment.attempts) == 1


def test_answers_that_stay_lost_leave_the_attempt_settling(stage):
    stage.script({"verb": "launch", "fault": "lost_before", "times": 0})
    with pytest.raises(AmbiguousError) as caught:
        stage.up()
    assert caught.value.exit_code == 6
    assert stage.present.named("train").state == "settling"
    result = stage.down("train")
    assert isinstance(result.error, CleanupIncomplete)
    assert "conclusive" in result.error.hint
    stage.clock.sleep(900)
    assert stage.down("train").error is None
    assert stage.present.named("train").open_attempts == ()


def test_a_late_machine_is_found_before_the_attempt_counts_as_settled(stage):
    stage.script({"verb": "launch", "fault": "late", "times": 1, "seconds": 800})
    stage.provider.launch = _lost_for_ever(stage)
    with pytest.raises(AmbiguousError):
        stage.up()
    assert stage.down("train").error.exit_code == 9
    stage.clock.sleep(600)
    result = stage.down("train")
    assert stage.things == {}
    assert result.error is None


def _lost_for_ever(stage):
    """The first request takes effect late; whatever is sent after it never arrives."""
    launch, sent = stage.provider.launch, []

    def one(spec):
        sent.append(spec)
        if len(sent) == 1:
            return launch(spec)
        raise AmbiguousError("The connection was lost.")

    return one


def test_half_a_launch_is_cleaned_up(stage):
    stage.script({"verb": "launch", "fault": "half", "times": 0})
    with pytest.raises(AmbiguousError):
        stage.up()
    assert list(stage.things) != []
    stage.down("train")
    stage.clock.sleep(1000)
    assert stage.down("train").error is None
    assert stage.things == {}


def test_a_machine_that_is_not_shown_yet_is_not_gone(stage):
    stage.script({"verb": "launch", "fault": "invisible", "seconds": 800, "times": 1})
    with pytest.raises(WaitTimeout):
        stage.up(ready_timeout_s=30, keep=True)
    error = stage.down("train").error
    assert isinstance(error, CleanupIncomplete), "an empty look says nothing about a machine never seen"
    stage.clock.sleep(1000)
    assert stage.down("train").error is None
    assert stage.things == {}


def test_a_machine_that_never_gets_ready_is_removed(stage):
    stage.script({"verb": "launch", "fault": "failed", "times": 1})
    with pytest.raises(WaitTimeout) as caught:
        stage.up(ready_timeout_s=60)
    assert caught.value.exit_code == 7
    assert stage.things == {}
    assert stage.present.live == ()


def test_keep_leaves_it_for_a_look(stage):
    stage.script({"verb": "launch", "fault": "failed", "times": 1})
    with pytest.raises(WaitTimeout):
        stage.up(ready_timeout_s=60, keep=True)
    assert len(stage.machines) == 1
    kept = stage.present.named("train")
    assert (kept.state, kept.closed) == ("failed", False)
    assert stage.down("train").error is None
    assert stage.things == {}


def test_spot_taken_while_starting_goes_on_with_the_next(stage):
    stage.provider._boot_s = 5
    stage.script({"verb": "launch", "fault": "preempted", "seconds": 5.0, "times": 1})
    deployment = stage.up(offers=stage.offers("fk.cpu", "spot"))
    assert [line["outcome"] for line in deployment.tried] == ["capacity", "ready"]
    assert len(stage.machines) == 1


def test_nodes_come_all_or_none_and_have_ranks(stage):
    stage.reachable()
    deployment = stage.up(nodes=4)
    assert [node.rank for node in deployment.machines] == [0, 1, 2, 3]
    assert {node.endpoint.host_key for node in deployment.machines} == {
        f"ssh-ed25519 AAAA{node.id}" for node in deployment.machines
    }
    assert deployment_json(deployment, stage.clock())["usd_per_hour"] == pytest.approx(0.2)


def test_the_proof_is_awaited(stage):
    stage.reachable()
    stage.readiness.refusals = 3
    assert stage.up().state == "ready"
    assert len(stage.readiness.tokens) == 4


def test_no_proof_in_time_is_exit_7_and_no_machine(stage):
    stage.reachable()
    stage.readiness.refusals = 10**9
    with pytest.raises(WaitTimeout, match="connection refused"):
        stage.up(ready_timeout_s=60)
    assert stage.things == {}


def test_missing_gpus_are_a_failed_attempt(stage):
    stage.reachable()
    stage.readiness.shown = []
    with pytest.raises(Exception) as caught:
        stage.up(offers=stage.offers("fk.t4")[:2])
    assert [line["outcome"] for line in caught.value.details["attempts"]] == ["bootstrap", "bootstrap"]
    assert "shows 0 GPUs instead of 1" in caught.value.message
    assert stage.things == {}


def test_gpus_as_ordered(stage):
    stage.reachable()
    stage.readiness.shown = [f"GPU {n}: NVIDIA A100-SXM4-80GB (UUID: GPU-{n})" for n in range(8)]
    assert stage.up(offers=stage.offers("fk.8xa100")).state == "ready"


def test_down_of_a_name_nobody_knows_is_usage_with_a_hint(stage):
    stage.up("train")
    with pytest.raises(UsageError) as caught:
        stage.down("trian")
    assert "train" in caught.value.hint


def test_down_twice_is_fine(stage):
    stage.up()
    assert stage.down("train").error is None
    again = stage.down("train")
    assert (again.error, again.removed) == (None, ())


def test_down_finds_by_tag_what_the_journal_lost(stage):
    stage.up()
    stage.lose_journal()
    assert stage.down("train").error is None
    assert stage.things == {}


def test_down_all_with_an_empty_journal(stage):
    stage.up("a")
    stage.up("b", nodes=2)
    stage.lose_journal()
    result = stage.down(everything=True)
    assert {item.name for item in result.deployments} == {"a", "b"}
    assert stage.things == {}


def test_another_home_is_never_touched(stage, tmp_path):
    stage.up("mine")
    for thing in stage.things.values():
        thing["tags"]["gpucloud-home"] = "somebodyelse2222"
    result = stage.down("mine")
    assert len(stage.machines) == 1
    assert result.error is None or result.error.exit_code == 9


def test_a_silent_region_is_never_empty(stage):
    stage.up()
    stage.script({"verb": "find", "fault": "unscanned", "times": 0})
    error = stage.down("train").error
    assert error.exit_code == 9
    assert "fake-east" in error.message
    stage.script()
    assert stage.down("train").error is None


def test_another_account_is_named(stage):
    stage.up()
    stage.provider._account = "another"
    stage.context()
    error = stage.down("train").error
    assert error.exit_code == 4
    assert "i-000001" in error.message
    assert "fake-account" in error.message + error.hint
    assert len(stage.machines) == 1


def test_removal_is_confirmed_not_assumed(stage):
    stage.provider._destroy_s = 30
    stage.up()
    before = stage.clock.now
    assert stage.down("train").error is None
    assert stage.clock.now - before >= 30
    assert stage.things == {}


def test_a_removal_that_never_ends_is_exit_9_and_named(stage):
    stage.up()
    stage.script({"verb": "destroy", "fault": "permission", "times": 0})
    error = stage.down("train").error
    assert error.exit_code == 9
    assert "i-000001" in error.message


def test_a_disk_that_is_full_after_the_launch_names_what_bills(stage):
    launch = stage.provider.launch

    def fill_up(spec):
        made = launch(spec)
        connection = stage.journal._connection
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
        return [replace(item, name="x" * 100_000) for item in made]

    stage.provider.launch = fill_up
    with pytest.raises(CleanupIncomplete) as caught:
        stage.up()
    assert caught.value.exit_code == 9
    assert "disk is full" in caught.value.message
    assert stage.present.named("train").attempts[0].token in caught.value.message
    stage.journal._connection.execute("PRAGMA max_page_count = 1000000")
    stage.provider.launch = launch
    assert stage.up().state == "ready", "nothing was lost: the same up goes on"
    assert len(stage.machines) == 1


def test_dry_plan_needs_nothing_but_the_journal(stage):
    stage.script({"verb": "identity", "fault": "credentials", "times": 0})
    plan = up.plan(stage.ctx, stage.request(offers=stage.offers("fk.t4"), nodes=2, max_s=3600))
    body = up_plan_json(plan)
    assert [offer["region"] for offer in body["order"]][:2] == ["fake-east", "fake-east"]
    assert body["worst_case_usd"] == pytest.approx(0.8 * 25)
    assert {"order", "image", "guards", "worst_case_usd", "ssh_from", "resources"} <= set(body)
    assert stage.store.cloud["calls"] == []
    assert plan.usd_per_hour == pytest.approx(0.4 * 1.3 * 2)


def test_a_budget_becomes_the_deadline_of_the_machines(stage):
    stage.up(budget_usd=0.1)
    assert stage.machines[0]["deadline"] - stage.clock() == pytest.approx(7200, abs=60)
    assert stage.machines[0]["tags"]["gpucloud-deadline"].isdigit()


def test_up_again_looks_whether_it_is_still_there(stage):
    stage.up(max_s=3600)
    stage.clock.sleep(3700)
    again = stage.up(max_s=3600)
    assert again.state == "ready"
    assert again.deadline_at > stage.clock(), "a machine that its guard stopped is started with a new deadline"
    stage.things.clear()
    with pytest.raises(StateConflict, match="is lost by now"):
        stage.up(max_s=3600)


def test_a_driver_that_loads_late_is_waited_for(stage):
    stage.reachable()
    answers = [[], [], ["GPU 0: Tesla T4 (UUID: GPU-1)"]]
    stage.readiness.gpus = lambda resource: answers.pop(0)
    assert stage.up(offers=stage.offers("fk.t4")).state == "ready"
    assert answers == []


def test_the_drivers_own_next_step_is_the_hint(stage):
    stage.script({"verb": "launch", "fault": "permission", "times": 0})
    with pytest.raises(PermissionDenied) as caught:
        stage.up()
    assert caught.value.hint == "Change the script."
