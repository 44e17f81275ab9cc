"""Removing, stopping, starting, extending: only what is ours, and the cloud's limit told as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpucloud.core import errors
from gpucloud.core.guards import BACKSTOP_S
from tests.clouds.gcp import instances
from tests.providers.gcp.conftest import DEPLOYMENT, T4, error_of, make_spec

NODE = f"{DEPLOYMENT}-1-0"
HOUR = 3600.0


def provider_limit(provider, spec):
    return next(guard.ends_epoch_s for guard in provider.guards(spec) if guard.kind == "provider")


def left_s(sim):
    return int(sim.cloud.instance(NODE)["scheduling"]["maxRunDuration"]["seconds"])


@pytest.mark.parametrize("kind", ["machine", "firewall"])
def test_destroy_twice_is_fine(sim, provider, spec, kind):
    provider.launch(spec)
    things = provider.find(None).resources
    for thing in [*things, *things]:
        if thing.kind == "machine":
            provider.destroy(thing)
    for thing in [*things, *things]:
        provider.destroy(thing)
    assert sim.left() == []


def test_foreign_things_are_refused(sim, provider, spec):
    provider.launch(spec)
    things = provider.find(None).resources
    sim.cloud.instance(NODE)["labels"]["gpucloud-home"] = "otherhom"
    for rule in sim.cloud.all_of("firewalls"):
        rule["description"] = "not ours"
    for thing in things:
        assert isinstance(error_of(lambda thing=thing: provider.destroy(thing)), errors.BadRequest)
    assert len(sim.left()) == 4


def test_a_later_thing_of_the_same_name_is_looked_at_anew(sim, provider, spec):
    (machine,) = provider.launch(spec)
    provider.destroy(machine)
    assert sim.cloud.all_of("instances") == []
    provider.launch(replace(spec, token="again"))
    provider.destroy(machine)
    assert sim.cloud.all_of("instances") == [], "its own request id, or the cloud would have taken it for done"


def test_what_keeps_the_world_out_goes_last(sim, provider, spec):
    provider.launch(spec)
    deny = next(item for item in provider.find(None).resources if item.id.endswith("-deny"))
    assert isinstance(error_of(lambda: provider.destroy(deny)), errors.StateConflict)
    assert not sim.cloud.reaches(NODE, 22, "198.51.100.9")


def test_an_unknown_kind(provider):
    from gpucloud.core.cloud import Resource

    error = error_of(lambda: provider.destroy(Resource("gcp", "lab-project", "us-central1", "address", "x")))
    assert isinstance(error, errors.BadRequest)


def test_stop_and_start_with_a_new_limit(sim, provider, spec):
    (machine,) = provider.launch(spec)
    provider.stop(machine)
    provider.stop(machine)
    assert [item.state for item in provider.find(None).resources if item.kind == "machine"] == ["stopped"]
    sim.clock.advance(40 * HOUR)
    deadline = sim.clock() + 2 * HOUR
    provider.start(machine, deadline)
    provider.start(machine, deadline)
    assert left_s(sim) == pytest.approx(2 * HOUR + BACKSTOP_S, abs=60)
    assert sim.cloud.instance(NODE)["labels"]["gpucloud-deadline"] == str(round(deadline))
    (running,) = [item for item in provider.find(None).resources if item.kind == "machine"]
    assert running.state == "running" and running.endpoint.host != machine.endpoint.host
    sim.clock.advance(2 * HOUR + BACKSTOP_S + 10)
    assert sim.cloud.all_of("instances") == []


def test_a_start_within_the_limit_keeps_it(sim, provider, spec):
    (machine,) = provider.launch(spec)
    limit = spec.deadline_epoch_s + BACKSTOP_S
    provider.stop(machine)
    sim.clock.advance(HOUR)
    deadline = sim.clock() + 7 * HOUR
    provider.start(machine, deadline)
    assert left_s(sim) == pytest.approx(limit - sim.clock(), abs=60)
    assert provider_limit(provider, replace(spec, deadline_epoch_s=deadline)) == pytest.approx(limit, abs=1)


def test_a_start_without_a_deadline_has_no_limit(sim, provider, spec):
    (machine,) = provider.launch(spec)
    provider.stop(machine)
    provider.start(machine, None)
    found = sim.cloud.instance(NODE)
    assert "maxRunDuration" not in found["scheduling"] and "gpucloud-deadline" not in found["labels"]


def test_no_capacity_at_a_start_is_said(sim, provider, spec):
    (machine,) = provider.launch(spec)
    provider.stop(machine)
    sim.cloud.script.capacity["us-central1-a"] = 0
    assert isinstance(error_of(lambda: provider.start(machine, None)), errors.CapacityError)


def test_start_of_one_that_is_still_stopping(sim, provider, spec):
    (machine,) = provider.launch(spec)
    sim.cloud.instance(NODE)["status"] = "STOPPING"
    assert isinstance(error_of(lambda: provider.start(machine, None)), errors.StateConflict)


def test_a_limit_cannot_be_set_on_a_running_machine(sim, provider, spec):
    """The simulator is as strict as the cloud."""
    from tests.clouds.gcp.cloud import Refused

    provider.launch(spec)
    words = {"zone": "us-central1-a", "instance": NODE}
    with pytest.raises(Refused, match="TERMINATED"):
        instances.set_scheduling(sim.cloud, words, {}, {"provisioningModel": "STANDARD"})


def test_extend_moves_the_tag_and_not_the_limit(sim, provider, spec):
    (machine,) = provider.launch(spec)
    deadline = spec.deadline_epoch_s + 5 * HOUR
    provider.extend(machine, deadline)
    assert sim.cloud.instance(NODE)["labels"]["gpucloud-deadline"] == str(round(deadline))
    shown = provider_limit(provider, replace(spec, deadline_epoch_s=deadline))
    assert shown == pytest.approx(spec.deadline_epoch_s + BACKSTOP_S, abs=1), "the plan tells the limit as it is"
    sim.clock.advance(shown - sim.clock() + 5)
    assert sim.cloud.all_of("instances") == []


def test_extend_beyond_the_limit_says_what_to_do(sim, provider, spec):
    (machine,) = provider.launch(spec)
    error = error_of(lambda: provider.extend(machine, spec.deadline_epoch_s + BACKSTOP_S + HOUR))
    assert isinstance(error, errors.StateConflict) and "gpucloud stop" in error.hint


def test_one_to_be_deleted_at_its_deadline_cannot_be_extended(sim, provider):
    spec = make_spec(sim.clock, at_end="delete")
    (machine,) = provider.launch(spec)
    assert isinstance(error_of(lambda: provider.extend(machine, spec.deadline_epoch_s + HOUR)), errors.StateConflict)
    provider.stop(machine)
    provider.start(machine, spec.deadline_epoch_s + HOUR)
    assert left_s(sim) == pytest.approx(7 * HOUR, abs=60), "and is still deleted then, not a day later"


def test_changes_of_a_machine_that_is_gone(sim, provider, spec):
    (machine,) = provider.launch(spec)
    provider.destroy(machine)
    assert sim.cloud.all_of("instances") == []
    for change in (provider.stop, lambda m: provider.start(m, None), lambda m: provider.extend(m, None)):
        assert isinstance(error_of(lambda change=change: change(machine)), errors.StateConflict)


def test_spot_keeps_its_market_over_a_start(sim, provider):
    (machine,) = provider.launch(make_spec(sim.clock, offer=replace(T4, market="spot")))
    provider.stop(machine)
    provider.start(machine, sim.clock() + HOUR)
    assert sim.cloud.instance(NODE)["scheduling"]["provisioningModel"] == "SPOT"


def test_local_ssds_are_discarded_knowingly(sim, provider, spec):
    (machine,) = provider.launch(spec)
    sim.cloud.instance(NODE)["disks"].append({"type": "SCRATCH", "source": "x/zones/us-central1-a/disks/ssd"})
    provider.stop(machine)
    assert sim.cloud.instance(NODE)["status"] in ("STOPPING", "TERMINATED")
