"""The driver under the flows: failover that explains itself, doubt that is settled, and nothing left in any case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpucloud.core import errors
from tests.clouds.http import Fault
from tests.providers.gcp.conftest import T4, Lab, error_of

ELSEWHERE = replace(T4, zone="us-central1-b")
FAR = replace(T4, region="us-east1", zone="us-east1-c")


def test_up_and_down(lab):
    deployment = lab.up()
    assert deployment.state == "ready" and deployment.current.account == "lab-project"
    assert [item.kind for item in deployment.machines] == ["machine"]
    result = lab.down()
    assert result.error is None and lab.sim.left() == []
    assert lab.gc().plan.orphans == ()


def test_failover_tells_every_attempt(lab):
    lab.cloud.script.capacity["us-central1-a"] = 0
    lab.cloud.script.unsold.add(("us-central1-b", "n1-standard-8"))
    deployment = lab.up(T4, ELSEWHERE, FAR)
    assert deployment.current.offer.zone == "us-east1-c"
    assert [attempt.outcome for attempt in deployment.attempts] == ["capacity", "not_offered", "made"]
    lab.down()
    assert lab.sim.left() == []


def test_out_of_stock_everywhere(lab):
    lab.cloud.script.capacity.update(dict.fromkeys(lab.cloud.zones(), 0))
    error = error_of(lambda: lab.up(T4, ELSEWHERE, FAR))
    assert isinstance(error, errors.CapacityError) and error.exit_code == 5 and lab.sim.left() == []
    assert [line["outcome"] for line in error.details["attempts"]] == ["capacity"] * 3


def test_no_quota_in_one_region(lab):
    lab.cloud.script.limits["us-central1", "NVIDIA_T4_GPUS"] = 0
    deployment = lab.up(T4, ELSEWHERE, FAR)
    assert deployment.current.offer.region == "us-east1"
    assert lab.sim.calls.count("instances.insert") == 1, "doomed places are not tried"


def test_nothing_is_sent_twice_after_a_lost_answer(lab):
    lab.sim.faults += [Fault("instances.insert", "drop_after", nth) for nth in (1, 2, 3)]
    deployment = lab.up()
    assert deployment.state == "ready" and len(lab.cloud.all_of("instances")) == 1


def test_an_answer_that_lands_late(lab):
    """Accepted, and not shown by any list for five minutes: `down` does not call it gone."""
    lab.cloud.script.hidden_s = 300
    lab.sim.faults += [Fault("instances.insert", "drop_after", nth) for nth in range(1, 10)]
    error = error_of(lab.up)
    assert isinstance(error, errors.AmbiguousError)
    lab.sim.heal()
    first = lab.down()
    assert first.error is not None and first.error.exit_code == 9
    lab.sim.clock.advance(1200)
    assert lab.down().error is None and lab.sim.left() == []


def test_a_spot_machine_taken_back(lab):
    deployment = lab.up(replace(T4, market="spot"))
    lab.cloud.preempt(deployment.machines[0].id)
    lab.ls()
    assert lab.journal.present().named("train").state == "preempted"
    assert lab.down().error is None and lab.sim.left() == []


def test_the_clouds_limit_ends_it(lab):
    lab.up(max_s=3600.0)
    lab.sim.clock.advance(3600 + 24 * 3600 + 60)
    lab.ls()
    assert lab.journal.present().named("train").state == "ended_by_guard"
    assert lab.down().error is None and lab.sim.left() == []


def test_an_empty_journal(lab):
    lab.up(nodes=2)
    lab.lose_journal()
    lab.sim.clock.advance(3600)
    result = lab.gc()
    assert result.error is None and lab.sim.left() == []


def test_two_homes_never_touch_each_other(lab, sim, tmp_path):
    other = Lab(tmp_path / "other", sim)
    lab.up()
    other.up()
    assert len(lab.cloud.all_of("instances")) == 2
    lab.lose_journal()
    lab.sim.clock.advance(3600)
    lab.gc()
    assert len(lab.cloud.all_of("instances")) == 1
    assert other.down().error is None and lab.sim.left() == []
    other.close()


def test_another_project_between_up_and_down(lab):
    lab.up()
    before = lab.sim.left()
    lab.provider._api._session = replace(lab.provider._api.session, project="other-project")
    error = error_of(lambda: _raised(lab.down()))
    assert isinstance(error, errors.CredentialsError) and lab.sim.left() == before


def _raised(result):
    if result.error is not None:
        raise result.error


@pytest.mark.parametrize("trouble", ["disabled", "revoked", "denied"])
def test_what_must_be_done_first(lab, trouble):
    if trouble == "disabled":
        lab.sim.enabled = False
    elif trouble == "revoked":
        lab.sim.tokens.revoked = True
    else:
        lab.sim.granted = {"compute.projects.get", "compute.regions.list", "compute.networks.get"}
    error = error_of(lab.up)
    assert error.exit_code == 4 and error.hint and lab.sim.left() == []


def test_a_machine_without_its_gpus_is_a_failed_attempt(lab):
    lab.ready.shown = ()
    error = error_of(lambda: lab.up(T4, ELSEWHERE))
    assert error.details["attempts"][0]["outcome"] == "bootstrap" and lab.sim.left() == []
