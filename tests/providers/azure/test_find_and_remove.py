"""Finding what is ours, in every place and late as well, and removing nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpucloud.core.errors import BadRequest, CredentialsError, PermissionDenied
from tests.clouds.azure import compute, networks
from tests.clouds.azure.cloud import LOCATIONS, VM, Refusal
from tests.clouds.http import Fault
from tests.providers.azure.conftest import (
    DEPLOYMENT,
    ELSEWHERE,
    GROUP,
    HOME_ID,
    NODE,
    T4,
    error_of,
    make_spec,
    open_driver,
)

HERE = ("eastus",)


def states(scan):
    return sorted((item.kind, item.id, item.state) for item in scan.resources)


RUNNING = [("machine", NODE, "running"), ("resource-group", GROUP, "running")]


def test_one_deployment_and_all(sim, provider, spec):
    provider.launch(spec)
    assert states(provider.find(DEPLOYMENT, HERE)) == RUNNING
    everything = provider.find(None)
    assert states(everything) == RUNNING
    assert everything.scanned == LOCATIONS and not everything.unscanned
    assert provider.find("other-abcdefgh", HERE).resources == ()
    assert provider.find(DEPLOYMENT, ("westeurope",)).resources == ()


def test_a_new_deployment_is_found_before_the_index_knows_it(sim, provider, spec):
    sim.cloud.index_lag_s = 300
    provider.launch(spec)
    assert states(provider.find(DEPLOYMENT, HERE)) == RUNNING
    assert provider.find(None).resources == ()
    sim.clock.advance(301)
    assert states(provider.find(None)) == RUNNING


def test_pages(sim, provider, spec):
    provider.launch(replace(spec, nodes=3))
    sim.page_size = 1
    assert len(provider.find(DEPLOYMENT, HERE).resources) == 4


@pytest.mark.parametrize(
    "call", ["LIST resourceGroups", "GET resources", "LIST virtualMachines", "GET virtualMachines"]
)
@pytest.mark.parametrize("kind", ["throttle_forever", "garbage"])
def test_a_list_that_fails_silences_every_region(sim, provider, spec, call, kind):
    provider.launch(spec)
    sim.forget_calls()
    sim.faults = [Fault(call, kind, nth) for nth in range(1, 5)]
    scan = provider.find(DEPLOYMENT, ("eastus", "westus2"))
    assert scan.scanned == () and set(scan.unscanned) == {"eastus", "westus2"} and scan.resources == ()


def test_one_answer_that_is_lost_is_asked_for_again(sim, provider, spec):
    provider.launch(spec)
    sim.forget_calls()
    sim.faults = [Fault("GET resources", "drop_after"), Fault("LIST resourceGroups", "error_before")]
    assert states(provider.find(DEPLOYMENT, HERE)) == RUNNING


def test_nobody_may_look(sim, provider, spec):
    provider.launch(spec)
    sim.granted = set()
    scan = provider.find(DEPLOYMENT, HERE)
    assert "does not have authorization" in scan.unscanned["eastus"]
    assert isinstance(error_of(lambda: provider.find(None)), PermissionDenied)


def test_tokens_that_are_not_good_any_more(sim, provider, spec):
    provider.launch(spec)
    sim.tokens.expired = True
    assert isinstance(error_of(lambda: provider.find(DEPLOYMENT, HERE)), CredentialsError)


def test_a_guest_that_is_off_still_bills(sim, provider, spec):
    provider.launch(spec)
    compute.guest_off(sim.cloud, sim.machine(NODE))
    (machine,) = [item for item in provider.find(DEPLOYMENT, HERE).resources if item.kind == "machine"]
    assert machine.state == "stopping" and "it bills" in machine.tags["gpucloud-power"] and machine.endpoint is None
    assert compute.bills(sim.machine(NODE))
    provider.stop(machine)
    (machine,) = [item for item in provider.find(DEPLOYMENT, HERE).resources if item.kind == "machine"]
    assert machine.state == "stopped" and "gpucloud-power" not in machine.tags
    assert not compute.bills(sim.machine(NODE))


def test_a_machine_that_is_being_made(sim, provider, spec):
    sim.cloud.operation_s = 60
    body = {"location": "eastus", "tags": dict(spec.tags)}
    sim.cloud.put_group(GROUP, body)
    thing, _ = sim.cloud.make(GROUP, VM, NODE, body)
    thing |= {"_power": "", "_failure": None}
    interfaces = {"networkInterfaces": []}
    thing["properties"] = {"provisioningState": "Creating", "osProfile": {}, "networkProfile": interfaces}
    assert ("machine", NODE, "pending") in states(provider.find(DEPLOYMENT, HERE))
    thing["properties"]["provisioningState"] = "Failed"
    assert ("machine", NODE, "failed") in states(provider.find(DEPLOYMENT, HERE))
    thing["properties"]["provisioningState"] = "Deleting"
    assert ("machine", NODE, "stopping") in states(provider.find(DEPLOYMENT, HERE))


def remove_all(provider):
    for item in sorted(provider.find(DEPLOYMENT, HERE).resources, key=lambda item: item.kind != "machine"):
        provider.destroy(item)


def test_removed_twice(sim, provider, spec):
    (machine,) = provider.launch(spec)
    found = provider.find(DEPLOYMENT, HERE).resources
    remove_all(provider)
    assert provider.find(DEPLOYMENT, HERE).resources == () and sim.left() == []
    for item in (machine, *found):
        provider.destroy(item)


def test_what_is_going_is_shown_as_going(sim, provider, spec):
    provider.launch(spec)
    sim.cloud.operation_s = 60
    remove_all(provider)
    assert {state for _, _, state in states(provider.find(DEPLOYMENT, HERE))} == {"stopping"}
    remove_all(provider)
    sim.clock.advance(61)
    assert sim.left() == []


@pytest.mark.parametrize("tags", [{}, {"gpucloud-deployment": DEPLOYMENT, "gpucloud-home": "somebodyelse"}])
@pytest.mark.parametrize("kind", ["machine", "resource-group"])
def test_what_is_not_ours_is_not_removed(sim, provider, spec, tags, kind):
    provider.launch(spec)
    (item,) = [item for item in provider.find(DEPLOYMENT, HERE).resources if item.kind == kind]
    thing = sim.machine(NODE) if kind == "machine" else sim.cloud.groups[GROUP.lower()]
    thing["tags"] = tags
    before = sim.left()
    assert isinstance(error_of(lambda: provider.destroy(item)), BadRequest)
    assert sim.left() == before
    if kind == "machine":
        assert isinstance(error_of(lambda: provider.stop(item)), BadRequest)


def test_a_stranger_in_our_group_stays(sim, provider, spec):
    provider.launch(spec)
    body = {"location": "eastus", "tags": {"team": "x"}, "properties": {"publicIPAllocationMethod": "Static"}}
    networks.put(sim.cloud, GROUP, "microsoft.network/publicipaddresses", "theirs", body)
    remove_all(provider)
    assert provider.find(DEPLOYMENT, HERE).resources == ()
    assert sim.left() == [f"resourceGroup {GROUP}", "publicIPAddresse theirs"]
    assert not [key for key in sim.cloud.groups[GROUP.lower()]["tags"] if key.startswith("gpucloud-")]


def test_a_group_that_cannot_be_removed_is_said(lab):
    lab.up()
    (group,) = lab.cloud.groups
    lab.cloud.stuck, lab.waits = {group}, replace(lab.waits, destroy=60)
    result = lab.down()
    assert result.error.exit_code == 9 and group in result.error.message
    kinds = {name.split()[0] for name in lab.sim.left()}
    assert kinds == {"resourceGroup", "networkSecurityGroup", "virtualNetwork"}  # nothing that bills


def test_two_homes_do_not_touch_each_other(sim, provider, spec, tmp_path):
    provider.launch(spec)
    other = open_driver(sim, tmp_path / "other", "otherhome")
    (machine,) = [item for item in other.find(None).resources if item.kind == "machine"]
    assert machine.home_id == HOME_ID
    with pytest.raises(BadRequest):
        other.allow(DEPLOYMENT, ["198.51.100.1/32"])
    foreign = make_spec(sim.clock, tags={**spec.tags, "gpucloud-home": "otherhome"})
    assert isinstance(error_of(lambda: other.launch(foreign)), BadRequest)


# ---- through the flows


def test_up_and_down(lab):
    deployment = lab.up()
    assert deployment.state == "ready" and deployment.current.region == "eastus"
    result = lab.down()
    assert result.error is None and lab.sim.left() == []


def test_failover_to_the_next_region(lab):
    lab.cloud.refusals = [Refusal("SkuNotAvailable", region="eastus"), Refusal("AllocationFailed", late=True, times=1)]
    result = error_of(lambda: lab.up(T4, ELSEWHERE))
    assert result.exit_code == 5 and lab.sim.left() == []
    assert [line["outcome"] for line in result.details["attempts"]] == ["capacity", "capacity"]
    deployment = lab.up(T4, ELSEWHERE)
    assert deployment.current.region == "westus2"
    lab.down()
    assert lab.sim.left() == []


def test_a_lost_journal(lab):
    lab.up(nodes=2)
    lab.lose_journal()
    lab.sim.clock.advance(3600)
    result = lab.gc()
    assert {item.kind for item in result.removed} == {"machine", "resource-group"} and result.error is None
    assert lab.sim.left() == []


def test_ls_says_what_became_of_a_spot_machine(lab):
    deployment = lab.up(replace(T4, market="spot"))
    lab.sim.take_back(deployment.machines[0].id)
    lab.ls()
    (now,) = lab.journal.present().deployments.values()
    assert now.state == "preempted"
    lab.down()
    assert lab.sim.left() == []


@pytest.mark.parametrize("options", [{}, {"resource-group": "team"}])
def test_a_request_that_lands_after_everything_was_removed(lab, options):
    """In a group of ours it lands nowhere; in the user's, `down` says until when it may, and then finds it."""
    lab.cloud.put_group("team", {"location": "eastus"})
    lab.cloud.groups["team"]["_given"] = True
    lab.sim.late_s = 400
    assert error_of(lambda: lab.up(options=options)).code == "ambiguous"
    lab.sim.late_s = 0
    first = lab.down()
    assert first.error is not None and first.error.exit_code == 9
    lab.sim.clock.advance(1000)
    assert lab.down().error is None
    assert lab.sim.left() == []
