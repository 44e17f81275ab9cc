"""What ends the bill at Azure: armed, moved, called off, and honest where nothing does."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from gpucloud.core.errors import BadRequest, NotRegistered, PermissionDenied, StateConflict
from tests.clouds.azure import compute, networks
from tests.clouds.azure.cloud import NSG, SCHEDULE, SPELLED, SUBSCRIPTION
from tests.providers.azure.conftest import DEPLOYMENT, NODE, error_of

HOUR_S = 3600.0
IDENTITY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/team/providers/Microsoft.ManagedIdentity"
    "/userAssignedIdentities/ender"
)


def pending(sim):
    return [plan["when"] for plan in sim.cloud.planned.values() if plan["state"] == "Scheduled"]


def schedules(sim):
    return [thing for thing in sim.cloud.things.values() if thing["type"] == SPELLED[SCHEDULE]]


def power(sim):
    with sim.lock:
        sim.cloud.age()
        return sim.machine(NODE)["_power"]


def test_azure_deallocates_at_the_deadline(sim, provider, spec):
    provider.launch(spec)
    assert pending(sim) == [pytest.approx(spec.deadline_epoch_s + 120, abs=1)]
    guards = {guard.kind: guard for guard in provider.guards(spec)}
    assert guards["provider"].ends_epoch_s == spec.deadline_epoch_s + 120 and guards["provider"].action == "stop"
    assert "machine hung" in guards["provider"].survives
    assert "in_machine_idle" not in guards  # it could not end the bill
    sim.clock.advance(6 * HOUR_S)
    assert power(sim) == "running"
    sim.clock.advance(121)
    assert power(sim) == "deallocated"
    (found,) = [item for item in provider.find(DEPLOYMENT, ("eastus",)).resources if item.kind == "machine"]
    assert found.state == "stopped"


def test_a_guest_that_is_off_is_deallocated_at_the_deadline(sim, provider, spec):
    provider.launch(spec)
    compute.guest_off(sim.cloud, sim.machine(NODE))
    sim.clock.advance(6 * HOUR_S + 121)
    assert power(sim) == "deallocated"


def test_extending_sets_the_new_end_before_the_old_one_is_called_off(sim, provider, spec):
    (machine,) = provider.launch(spec)
    sim.forget_calls()
    later = spec.deadline_epoch_s + 4 * HOUR_S
    provider.extend(machine, later)
    assert pending(sim) == [pytest.approx(later + 120, abs=1)]
    verbs = [call for call in sim.calls if call.startswith(("POST", "PATCH"))]
    assert verbs == [
        "POST virtualMachinesSubmitDeallocate",
        "PATCH virtualMachines",
        "POST virtualMachinesCancelOperations",
    ]
    assert sim.machine(NODE)["tags"]["gpucloud-deadline"] == str(round(later))
    provider.extend(machine, later + HOUR_S)
    assert pending(sim) == [pytest.approx(later + HOUR_S + 120, abs=1)]
    sim.clock.advance(7 * HOUR_S)
    assert power(sim) == "running"


def test_without_a_deadline_any_more(sim, provider, spec):
    (machine,) = provider.launch(spec)
    provider.extend(machine, None)
    assert pending(sim) == [] and "gpucloud-deadline" not in sim.machine(NODE)["tags"]


def test_stop_and_start_with_a_new_deadline(sim, provider, spec):
    (machine,) = provider.launch(spec)
    provider.stop(machine)
    provider.stop(machine)
    assert power(sim) == "deallocated"
    assert isinstance(error_of(lambda: provider.extend(machine, sim.clock() + HOUR_S)), StateConflict)
    new = sim.clock() + 2 * HOUR_S
    provider.start(machine, new)
    provider.start(machine, new)
    assert power(sim) == "running" and pending(sim) == [pytest.approx(new + 120, abs=1)]


def test_more_than_fourteen_days(sim, provider, spec):
    far = replace(spec, deadline_epoch_s=sim.clock() + 15 * 24 * HOUR_S)
    error = error_of(lambda: provider.launch(far))
    assert isinstance(error, BadRequest) and "14 days" in error.message and "--no-guard" in error.hint
    far = replace(far, options={"no-guard": "yes"})
    provider.launch(far)
    assert pending(sim) == [] and [guard.kind for guard in provider.guards(far)] == ["in_machine_deadline"]
    assert any("Nothing outside" in note for note in provider.outline(far).notes)


def test_extending_beyond_what_azure_can_hold(sim, provider, spec):
    (machine,) = provider.launch(spec)
    assert isinstance(error_of(lambda: provider.extend(machine, sim.clock() + 15 * 24 * HOUR_S)), StateConflict)
    assert pending(sim) == [pytest.approx(spec.deadline_epoch_s + 120, abs=1)]


def test_without_computeschedule_devtest_labs_does_it(sim, provider, spec):
    sim.cloud.registered.discard("microsoft.computeschedule")
    (machine,) = provider.launch(spec)
    (schedule,) = schedules(sim)
    assert schedule["tags"]["gpucloud-deployment"] == DEPLOYMENT and pending(sim) == []
    assert sim.machine(NODE)["tags"]["gpucloud-backstop"] == "devtestlab"
    provider.extend(machine, spec.deadline_epoch_s + 2 * HOUR_S)
    sim.clock.advance(6.1 * HOUR_S)
    assert power(sim) == "running"
    sim.clock.advance(2 * HOUR_S)
    assert power(sim) == "deallocated"
    assert isinstance(error_of(lambda: provider.start(machine, sim.clock() + 30 * HOUR_S)), StateConflict)


def test_a_schedule_in_the_users_group_is_ours_to_remove(sim, provider, spec):
    sim.cloud.registered.discard("microsoft.computeschedule")
    sim.cloud.put_group("team", {"location": "eastus"})
    provider.launch(replace(spec, options={"resource-group": "team"}))
    (item,) = [item for item in provider.find(DEPLOYMENT, ("eastus",)).resources if item.kind == "schedule"]
    provider.destroy(item)
    provider.destroy(item)
    assert schedules(sim) == []


def test_nothing_that_ends_the_bill_is_a_refusal(sim, provider, spec):
    """A time of day cannot mean a moment that is more than a day away."""
    sim.cloud.registered -= {"microsoft.computeschedule"}
    long = replace(spec, deadline_epoch_s=sim.clock() + 30 * HOUR_S)
    error = error_of(lambda: provider.launch(long))
    assert isinstance(error, NotRegistered) and "Microsoft.ComputeSchedule" in error.hint and sim.left() == []
    sim.cloud.registered -= {"microsoft.devtestlab"}
    assert isinstance(error_of(lambda: provider.launch(spec)), NotRegistered) and sim.left() == []
    provider.launch(replace(spec, options={"no-guard": "yes"}))


def test_who_may_not_use_computeschedule(sim, provider, spec):
    """Known only when the machine is there: then DevTest Labs, or everything is removed again."""
    everything = All(without="Microsoft.ComputeSchedule")
    sim.granted = everything
    provider.launch(spec)
    assert len(schedules(sim)) == 1


def test_who_may_use_neither(sim, provider, spec):
    sim.granted = All(without="Microsoft.ComputeSchedule", also="Microsoft.DevTestLab")
    assert isinstance(error_of(lambda: provider.launch(spec)), PermissionDenied)
    assert sim.left() == []


class All(set):
    """Every action but those of two services."""

    def __init__(self, without, also="-"):
        super().__init__()
        self._without = (without, also)

    def __contains__(self, action):
        return not action.startswith(self._without)


def test_a_machine_with_an_identity_ends_itself(sim, provider, spec):
    spec = replace(spec, options={"identity": IDENTITY})
    provider.launch(spec)
    thing = sim.machine(NODE)
    assert thing["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    boot = base64.b64decode(thing["properties"]["osProfile"]["customData"]).decode()
    assert "metadata/identity/oauth2/token" in boot and f"virtualMachines/{NODE}" in boot and "\nidle=3600" in boot
    kinds = {guard.kind: guard.action for guard in provider.guards(replace(spec, at_end="delete"))}
    assert kinds == {"in_machine_deadline": "delete", "provider": "stop", "in_machine_idle": "delete"}
    assert any(IDENTITY in note for note in provider.outline(spec).notes)


def test_with_an_identity_no_service_is_needed(sim, provider, spec):
    sim.cloud.registered -= {"microsoft.computeschedule", "microsoft.devtestlab"}
    provider.launch(replace(spec, options={"identity": IDENTITY}))
    assert pending(sim) == [] and schedules(sim) == []


def test_a_submission_that_compute_schedule_refuses(sim, provider, spec):
    sim.cloud.registered -= {"microsoft.devtestlab"}
    original, compute.FOURTEEN_DAYS_S = compute.FOURTEEN_DAYS_S, 60
    try:
        error = error_of(lambda: provider.launch(spec))
    finally:
        compute.FOURTEEN_DAYS_S = original
    assert "ComputeSchedule" in error.message


def test_allow(sim, provider, spec):
    provider.launch(spec)
    provider.allow(DEPLOYMENT, ["198.51.100.0/24"])
    (firewall,) = [thing for thing in sim.cloud.things.values() if thing["type"] == SPELLED[NSG]]
    assert networks.lets_in(sim.cloud, firewall["id"], "198.51.100.77", 22)
    assert not networks.lets_in(sim.cloud, firewall["id"], "203.0.113.7", 22)
    assert isinstance(error_of(lambda: provider.allow("other-abcdefgh", ["198.51.100.0/24"])), BadRequest)
