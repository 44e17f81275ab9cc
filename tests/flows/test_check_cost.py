"""`check` and `cost` over the fake cloud."""

import pytest

from gpucloud.core.answers import cost_json
from gpucloud.core.errors import UsageError
from gpucloud.flows import check, cost, run_events


def test_a_usable_cloud_tells_who_we_are_and_the_quotas(stage):
    (found,) = [item.as_json() for item in check.check(stage.ctx, ["fake"])]
    assert (found["cloud"], found["usable"], found["identity"]) == ("fake", True, "fake-account/tester")
    assert {"region", "name", "limit", "used"} == set(found["quotas"][0])


def test_an_unusable_cloud_says_why(stage):
    stage.script({"verb": "identity", "fault": "credentials", "times": 0})
    (found,) = [item.as_json() for item in check.check(stage.ctx, ["fake"])]
    assert found["usable"] is False
    assert "does not know these credentials" in found["reason"]


def test_without_names_every_known_cloud_is_listed(stage):
    assert {"aws", "gcp", "azure", "local", "ssh", "fake"} == {item.cloud for item in check.check(stage.ctx)}


def test_an_unknown_cloud_is_usage(stage):
    with pytest.raises(UsageError):
        check.check(stage.ctx, ["asure"])


def test_the_bill_by_run(stage):
    deployment = stage.up()
    run = run_events.create_run(stage.ctx, deployment.id, "python train.py", pull=["out"])
    assert (run.id, run.state) == ("train/1", "syncing")
    run = run_events.started(stage.ctx, run)
    stage.clock.sleep(3600)
    run = run_events.ended(stage.ctx, run, 0)
    assert (run.state, run.wants_pull) == ("succeeded", True)
    assert run_events.unpulled(stage.present.named("train")) == (run,)
    assert not run_events.pulled(stage.ctx, run).wants_pull
    stage.clock.sleep(3600)
    stage.down("train")
    bill = cost_json(cost.cost(stage.ctx))
    assert [(item["run"], item["kind"]) for item in bill["items"]] == [("train/1", "run"), (None, "idle")]
    assert bill["items"][0]["usd"] == pytest.approx(0.05, rel=0.01)
    assert bill["total_usd"] == pytest.approx(0.10, rel=0.01)
    assert set(bill["items"][0]) == {"deployment", "run", "hours", "usd_per_hour", "price_observed_on", "usd", "kind"}


def test_run_numbers_are_never_used_twice_under_a_name(stage):
    for number in (1, 2):
        run = run_events.create_run(stage.ctx, stage.up().id, "x")
        assert run.id == f"train/{number}"
        stage.down("train")
        assert run_events.find_run(stage.ctx, run.id).state == "lost"
    assert run_events.find_run(stage.ctx, "train").id == "train/2"
    with pytest.raises(UsageError, match="no run"):
        run_events.find_run(stage.ctx, "train/9")


def test_an_end_is_written_once(stage):
    run = run_events.create_run(stage.ctx, stage.up().id, "x")
    run = run_events.ended(stage.ctx, run_events.started(stage.ctx, run), 3)
    assert run_events.ended(stage.ctx, run, None, "lost").exit_code == 3


def test_nothing_runs_on_what_is_being_removed(stage):
    deployment = stage.up()
    stage.down("train")
    with pytest.raises(Exception, match="is down"):
        run_events.create_run(stage.ctx, deployment.id, "x")
