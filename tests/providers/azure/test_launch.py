"""What a launch makes, how it looks to Azure, and that nothing is left of one that is refused."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from gpucloud.core.errors import AmbiguousError, BadRequest, CapacityError, NotOffered, QuotaError
from tests.clouds.azure import networks
from tests.clouds.azure.cloud import NIC, NSG, SPELLED, SUBSCRIPTION, VM, Refusal
from tests.clouds.http import Fault
from tests.providers.azure.conftest import CPU, DEPLOYMENT, GROUP, HOME_ID, NODE, T4, error_of, make_spec, open_driver


def things(sim, kind):
    return [thing for thing in sim.cloud.things.values() if thing["type"] == SPELLED[kind]]


def given_group(sim, name="team", tags=None):
    """A resource group that was there before."""
    sim.cloud.put_group(name, {"location": "eastus", "tags": tags or {}})
    sim.cloud.groups[name.lower()]["_given"] = True


def test_one_machine(sim, provider, spec):
    (machine,) = provider.launch(spec)
    assert (machine.id, machine.kind, machine.state, machine.rank, machine.attempt) == (
        NODE,
        "machine",
        "running",
        0,
        1,
    )
    assert machine.instance_type == T4.instance_type and machine.market == "on-demand"
    assert machine.endpoint.host == things(sim, "microsoft.network/publicipaddresses")[0]["properties"]["ipAddress"]
    assert machine.endpoint.user == "azureuser" and machine.private_ip.startswith("10.83.")
    assert machine.account == SUBSCRIPTION and machine.home_id == HOME_ID
    for thing in [*sim.cloud.things.values(), *sim.cloud.groups.values()]:
        if thing["type"] != "Microsoft.Compute/disks":  # Azure's own create request
            assert spec.tags.items() <= thing["tags"].items(), thing["type"]


def test_what_azure_is_told_of_the_machine(sim, provider, spec):
    provider.launch(replace(spec, disk_gib=300))
    (thing,) = things(sim, VM)
    disk = thing["properties"]["storageProfile"]["osDisk"]
    assert (disk["deleteOption"], disk["diskSizeGB"]) == ("Delete", 300)
    assert disk["managedDisk"]["storageAccountType"] == "Premium_LRS"
    assert thing["properties"]["storageProfile"]["imageReference"]["version"] == "22.04.2026010100"
    assert thing["properties"]["networkProfile"]["networkInterfaces"][0]["properties"]["deleteOption"] == "Delete"
    assert "priority" not in thing["properties"] and "identity" not in thing
    boot = base64.b64decode(thing["properties"]["osProfile"]["customData"]).decode()
    assert boot.startswith("#cloud-boothook\n#!/bin/sh") and NODE in boot and "ab" * 32 in boot
    assert "\nidle=''" in boot  # switching itself off would not end its bill


def test_a_small_disk_is_made_large_enough_for_the_image(sim, provider, spec):
    provider.launch(replace(spec, disk_gib=10))
    assert things(sim, VM)[0]["properties"]["storageProfile"]["osDisk"]["diskSizeGB"] == 64


def test_only_the_caller_and_the_other_nodes_get_in(sim, provider, spec):
    provider.launch(replace(spec, nodes=2))
    (firewall,) = things(sim, NSG)
    assert networks.lets_in(sim.cloud, firewall["id"], "203.0.113.7", 22)
    assert not networks.lets_in(sim.cloud, firewall["id"], "203.0.113.8", 22)
    assert not networks.lets_in(sim.cloud, firewall["id"], "203.0.113.7", 80)
    rules = {rule["name"]: rule["properties"] for rule in firewall["properties"]["securityRules"]}
    (group,) = rules["mesh"]["sourceApplicationSecurityGroups"]
    for nic in things(sim, NIC):
        inner = nic["properties"]["ipConfigurations"][0]["properties"]
        assert inner["applicationSecurityGroups"] == [group]
        assert nic["properties"]["networkSecurityGroup"]["id"] == firewall["id"]


def test_spot(sim, provider, spec):
    (machine,) = provider.launch(replace(spec, offer=replace(T4, market="spot")))
    properties = things(sim, VM)[0]["properties"]
    assert (properties["priority"], properties["evictionPolicy"]) == ("Spot", "Delete")
    assert properties["billingProfile"]["maxPrice"] == -1 and machine.market == "spot"


def test_a_zone(sim, provider, spec):
    (machine,) = provider.launch(replace(spec, offer=replace(T4, zone="2")))
    assert machine.zone == "2"
    assert things(sim, "microsoft.network/publicipaddresses")[0].get("zones", ["2"]) == ["2"]


def test_without_a_gpu_it_is_canonicals_ubuntu(sim, provider, spec):
    provider.launch(replace(spec, offer=CPU))
    assert things(sim, VM)[0]["properties"]["storageProfile"]["imageReference"]["publisher"] == "Canonical"


def test_an_image_with_a_plan(sim, provider, spec):
    provider.launch(replace(spec, image="nvidia:ngc-base:gen2:latest"))
    assert things(sim, VM)[0]["plan"] == {"name": "gen2", "publisher": "nvidia", "product": "ngc-base"}


def test_an_image_by_id(sim, provider, spec):
    identifier = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/team/providers/Microsoft.Compute/images/mine"
    provider.launch(replace(spec, image=identifier))
    assert things(sim, VM)[0]["properties"]["storageProfile"]["imageReference"] == {"id": identifier}


@pytest.mark.parametrize("image", ["nobody:knows:it:latest", "microsoft-dsvm:ubuntu-hpc:2204:1.1.1"])
def test_an_image_that_is_not_there(sim, provider, spec, image):
    assert isinstance(error_of(lambda: provider.launch(replace(spec, image=image))), NotOffered)
    assert sim.left() == []


def test_words_that_are_no_image(provider, spec):
    assert isinstance(error_of(lambda: provider.launch(replace(spec, image="ubuntu"))), BadRequest)


def test_the_same_request_again_gives_the_same_machines(sim, provider, spec, tmp_path):
    spec = replace(spec, nodes=2)
    first = provider.launch(spec)
    before, planned = sorted(sim.left()), dict(sim.cloud.planned)
    again = open_driver(sim, tmp_path).launch(spec)
    assert [item.id for item in again] == [item.id for item in first]
    assert sorted(sim.left()) == before and sim.cloud.planned == planned


def test_a_key_that_azure_does_not_take(sim, provider, spec):
    sim.cloud.rsa_only = True
    provider.launch(spec)
    profile = things(sim, VM)[0]["properties"]["osProfile"]
    assert profile["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"].startswith("ssh-rsa ")
    assert KEY_IN_BOOT in base64.b64decode(profile["customData"]).decode()


KEY_IN_BOOT = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE"


def test_a_login_that_azure_forbids_comes_through_the_boot_data(sim, provider, spec):
    (machine,) = provider.launch(replace(spec, options={"ssh-user": "root"}))
    assert machine.endpoint.user == "root"
    assert things(sim, VM)[0]["properties"]["osProfile"]["adminUsername"] == "azureuser"


@pytest.mark.parametrize(("code", "nodes"), [("AllocationFailed", 1), ("OverconstrainedAllocationRequest", 4)])
def test_an_allocation_that_fails_leaves_nothing(sim, provider, spec, code, nodes):
    sim.cloud.refusals = [Refusal(code, late=True, times=1)]
    assert isinstance(error_of(lambda: provider.launch(replace(spec, nodes=nodes))), CapacityError)
    assert sim.left() == []


def test_one_of_four_is_refused_and_none_is_left(sim, provider, spec):
    sim.cloud.refusals = [Refusal("SkuNotAvailable", times=1)]
    assert isinstance(error_of(lambda: provider.launch(replace(spec, nodes=4))), CapacityError)
    assert sim.left() == []


def test_a_quota_names_family_and_numbers(sim, provider, spec):
    sim.cloud.limits["Standard NCASv3_T4 Family"] = 2
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, QuotaError) and "NCASv3_T4" in error.message and "Current Limit: 2" in error.message
    assert sim.left() == []


def test_a_size_that_azure_does_not_know(sim, provider, spec):
    error = error_of(lambda: provider.launch(replace(spec, offer=replace(T4, instance_type="Standard_NC9_v9"))))
    assert isinstance(error, NotOffered) and sim.left() == []


def test_what_was_made_cannot_be_removed_again(sim, provider, spec):
    """Then it is no refusal: the attempt stays open."""
    sim.cloud.refusals = [Refusal("SkuNotAvailable")]
    sim.cloud.locked = {GROUP}
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, AmbiguousError) and "could not be removed" in error.message


def test_an_answer_that_is_lost_and_then_refused_stays_open(sim, provider, spec):
    sim.faults = [Fault("PUT virtualMachines", "drop_before"), Fault("PUT virtualMachines", "drop_after", 2)]
    sim.cloud.refusals = [Refusal("SkuNotAvailable")]
    assert isinstance(error_of(lambda: provider.launch(spec)), AmbiguousError)


def test_a_machine_that_is_still_being_made_is_waited_for(sim, provider, spec):
    sim.cloud.operation_s = 0.2
    sim.faults = [Fault("PUT virtualMachines", "drop_after")]
    (machine,) = provider.launch(spec)
    assert machine.state == "running"


def test_a_machine_that_failed_behind_a_lost_answer(sim, provider, spec):
    sim.cloud.refusals = [Refusal("AllocationFailed", late=True, times=1)]
    sim.faults = [Fault("PUT virtualMachines", "drop_after")]
    assert isinstance(error_of(lambda: provider.launch(spec)), CapacityError)
    assert sim.left() == []


def test_spot_taken_while_it_is_made_is_lack_of_room(sim, provider, spec):
    sim.cloud.evicts = True
    error = error_of(lambda: provider.launch(replace(spec, offer=replace(T4, market="spot"))))
    assert isinstance(error, CapacityError) and sim.left() == []


# ---- what the user brings


def test_a_foreign_group_of_our_name_is_not_touched(sim, provider, spec):
    given_group(sim, GROUP, {"owner": "somebody"})
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, BadRequest) and GROUP in error.message
    assert sim.cloud.groups[GROUP.lower()]["tags"] == {"owner": "somebody"} and sim.left() == []


def test_the_users_own_group(sim, provider, spec):
    given_group(sim)
    spec = replace(spec, options={"resource-group": "team"}, nodes=2)
    machines = provider.launch(spec)
    found = provider.find(DEPLOYMENT, ("eastus",)).resources
    kinds = sorted({item.kind for item in found})
    assert kinds == ["address", "firewall", "interface", "machine", "network", "node-group"]
    assert {item.endpoint.host for item in machines} == {item.endpoint.host for item in found if item.kind == "machine"}
    for item in sorted(found, key=lambda item: item.kind != "machine"):
        if item.kind == "machine":
            provider.destroy(item)
    for kind in ("interface", "address", "firewall", "node-group", "network"):
        for item in provider.find(DEPLOYMENT, ("eastus",)).resources:
            if item.kind == kind:
                provider.destroy(item)
    assert provider.find(DEPLOYMENT, ("eastus",)).resources == () and sim.left() == []
    assert "team" in sim.cloud.groups


def test_a_refusal_in_the_users_group(sim, provider, spec):
    given_group(sim)
    sim.cloud.refusals = [Refusal("AllocationFailed", late=True, times=1)]
    spec = replace(spec, options={"resource-group": "team"}, nodes=2)
    assert isinstance(error_of(lambda: provider.launch(spec)), CapacityError)
    assert sim.left() == [] and "team" in sim.cloud.groups


def test_a_foreign_thing_of_our_name_in_the_users_group(sim, provider, spec):
    given_group(sim)
    body = {"location": "eastus", "tags": {}, "properties": {"publicIPAllocationMethod": "Static"}}
    thing, _ = networks.put(sim.cloud, "team", "microsoft.network/publicipaddresses", f"{NODE}-ip", body)
    thing["_given"] = True
    error = error_of(lambda: provider.launch(replace(spec, options={"resource-group": "team"})))
    assert isinstance(error, BadRequest)
    assert thing["tags"] == {} and sim.left() == [] and thing["id"].lower() in sim.cloud.things


def test_a_group_that_is_not_there(sim, provider, spec):
    error = error_of(lambda: provider.launch(replace(spec, options={"resource-group": "nowhere"})))
    assert isinstance(error, BadRequest) and "nowhere" in error.message


def company(sim):
    """A group with a network and a firewall of the company's."""
    given_group(sim)
    subnets = [{"name": "gpus", "properties": {"addressPrefix": "10.1.0.0/24"}}]
    body = {"location": "eastus", "tags": {}, "properties": {"subnets": subnets}}
    network, _ = networks.put(sim.cloud, "team", "microsoft.network/virtualnetworks", "corp", body)
    rules = {"location": "eastus", "tags": {}, "properties": {"securityRules": []}}
    firewall, _ = networks.put(sim.cloud, "team", NSG, "corp-nsg", rules)
    network["_given"] = firewall["_given"] = True
    return network, firewall


def test_a_subnet_and_a_firewall_of_the_company(sim, provider, spec):
    network, firewall = company(sim)
    options = {"resource-group": "team", "subnet": "corp/gpus", "security-group": "corp-nsg", "private": "yes"}
    (machine,) = provider.launch(replace(spec, options=options, ssh_from=()))
    (nic,) = things(sim, NIC)
    assert nic["properties"]["networkSecurityGroup"]["id"] == firewall["id"]
    assert nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"] == f"{network['id']}/subnets/gpus"
    assert machine.endpoint.host == machine.private_ip and machine.private_ip
    assert things(sim, "microsoft.network/publicipaddresses") == []
    names = sorted(provider.outline(replace(spec, options=options)).resources)
    assert [kind for kind, _ in names] == ["disk", "interface", "machine"]


def test_a_subnet_by_id_in_another_region(sim, provider, spec):
    network, _ = company(sim)
    options = {"subnet": f"{network['id']}/subnets/gpus"}
    far = replace(spec, options=options, offer=replace(T4, region="westus2"))
    error = error_of(lambda: provider.launch(far))
    assert isinstance(error, NotOffered) and sim.left() == []


@pytest.mark.parametrize("options", [{"subnet": "corp/gpus"}, {"security-group": "corp-nsg"}, {"identity": "nobody"}])
def test_words_that_do_not_say_what_is_meant(provider, spec, options):
    assert isinstance(error_of(lambda: provider.launch(replace(spec, options=options))), BadRequest)


def test_nobody_may_come_in(sim, provider, spec):
    error = error_of(lambda: provider.launch(replace(spec, ssh_from=("2001:db8::/64",))))
    assert isinstance(error, BadRequest) and sim.left() == []


def test_tags_that_azure_does_not_take(sim, provider):
    spec = make_spec(sim.clock, own_tags={"a/b": "x"})
    assert isinstance(error_of(lambda: provider.launch(spec)), BadRequest)
    assert sim.calls == []


def test_a_confidential_size_is_not_made(provider, spec):
    offer = replace(T4, instance_type="Standard_NCC40ads_H100_v5")
    assert isinstance(error_of(lambda: provider.launch(replace(spec, offer=offer))), NotOffered)


def test_the_outline_names_what_is_made(sim, provider, spec):
    spec = replace(spec, nodes=2)
    provider.launch(spec)
    told = {name for _, name in provider.outline(spec).resources}
    made = {thing["name"] for thing in [*sim.cloud.things.values(), *sim.cloud.groups.values()]}
    assert told == made
