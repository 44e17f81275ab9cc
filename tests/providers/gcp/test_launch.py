"""Launching: what is asked for, all or nothing, the same token twice, and what each refusal leaves (nothing)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpucloud.core import errors
from gpucloud.core.guards import BACKSTOP_S
from gpucloud.core.tags import is_of
from tests.clouds.http import Fault
from tests.providers.gcp.conftest import DEPLOYMENT, HOME_ID, T4, error_of, make_spec

NODE = f"{DEPLOYMENT}-1-0"


def metadata(instance):
    return {item["key"]: item["value"] for item in instance["metadata"]["items"]}


def test_one_machine_as_it_was_ordered(sim, provider, spec):
    (machine,) = provider.launch(spec)
    assert (machine.id, machine.rank, machine.attempt, machine.state) == (NODE, 0, 1, "pending")
    assert (machine.region, machine.zone, machine.market) == ("us-central1", "us-central1-a", "on-demand")
    assert machine.instance_type == "n1-standard-8+T4:1" and machine.endpoint.host.startswith("127.77.")
    assert machine.endpoint.base_dir == f"gpucloud/{DEPLOYMENT}" and machine.endpoint.user == "ubuntu"
    assert is_of(machine, DEPLOYMENT, HOME_ID)
    found = sim.cloud.instance(NODE)
    assert found["guestAccelerators"][0]["acceleratorType"].endswith("/nvidia-tesla-t4")
    assert found["scheduling"]["onHostMaintenance"] == "TERMINATE" and not found.get("serviceAccounts")
    words = metadata(found)
    assert words["user-data"].startswith("#cloud-boothook\n#!/bin/sh\n")
    assert words["startup-script"].startswith("#!/bin/sh\n") and NODE in words["startup-script"]
    assert (words["block-project-ssh-keys"], words["enable-oslogin"]) == ("TRUE", "FALSE")
    assert words["install-nvidia-driver"] == "True"


def test_the_disk_carries_the_labels_and_goes_with_the_machine(sim, provider, spec):
    (machine,) = provider.launch(spec)
    (disk,) = sim.cloud.all_of("disks")
    assert disk["labels"] == sim.cloud.instance(NODE)["labels"] and disk["sizeGb"] == "100"
    provider.destroy(machine)
    assert sim.cloud.all_of("disks") == [] and provider.find(None).resources[0].kind == "firewall"


def test_the_cloud_deletes_it_a_day_after_the_deadline(sim, provider, spec):
    provider.launch(spec)
    sim.clock.advance(6 * 3600 + BACKSTOP_S - 60)
    assert sim.cloud.all_of("instances")
    sim.clock.advance(120)
    assert sim.cloud.all_of("instances") == [] == sim.cloud.all_of("disks")
    assert sim.cloud.deleted == [NODE]


def test_to_be_deleted_at_the_deadline_means_by_the_cloud(sim, provider):
    provider.launch(make_spec(sim.clock, at_end="delete"))
    sim.clock.advance(6 * 3600 - 60)
    assert sim.cloud.all_of("instances")
    sim.clock.advance(61)
    assert sim.cloud.all_of("instances") == []


def test_without_a_deadline_there_is_no_limit(sim, provider):
    provider.launch(make_spec(sim.clock, deadline_epoch_s=None))
    assert "maxRunDuration" not in sim.cloud.instance(NODE)["scheduling"]
    assert "gpucloud-limit" not in sim.cloud.instance(NODE)["labels"]


def test_a_deadline_that_the_cloud_cannot_hold_needs_no_guard(sim, provider):
    long = make_spec(sim.clock, deadline_epoch_s=sim.clock() + 130 * 86400)
    error = error_of(lambda: provider.launch(long))
    assert isinstance(error, errors.BadRequest) and "--no-guard" in error.hint and sim.left() == []
    provider.launch(replace(long, options={"no-guard": "yes"}))
    assert "maxRunDuration" not in sim.cloud.instance(NODE)["scheduling"]


def test_spot_is_deleted_when_it_is_taken_back(sim, provider):
    (machine,) = provider.launch(make_spec(sim.clock, offer=replace(T4, market="spot")))
    assert machine.market == "spot"
    sim.cloud.preempt(NODE)
    assert [item.kind for item in provider.find(DEPLOYMENT, ("us-central1",)).resources] == ["firewall", "firewall"]


def test_the_same_token_twice_is_the_same_machines(sim, provider):
    spec = make_spec(sim.clock, nodes=3)
    first = provider.launch(spec)
    again = provider.launch(spec)
    assert [item.id for item in first] == [item.id for item in again] and len(sim.cloud.all_of("instances")) == 3
    assert {item["name"] for item in sim.cloud.all_of("instances")} == {f"{DEPLOYMENT}-1-{rank}" for rank in range(3)}


def test_after_an_hour_the_name_is_what_is_known(sim, provider, spec):
    provider.launch(spec)
    sim.clock.advance(2 * 3600)
    assert [item.id for item in provider.launch(spec)] == [NODE]


def test_an_image_of_the_users(sim, provider):
    provider.launch(make_spec(sim.clock, image="ubuntu-os-cloud/ubuntu-2204-lts", disk_gib=5))
    disk = sim.cloud.instance(NODE)["disks"][0]
    assert disk["diskSizeGb"] == "10", "never less than the image needs"
    error = error_of(lambda: provider.launch(make_spec(sim.clock, image="nobody/nothing")))
    assert isinstance(error, errors.NotOffered) and "nobody/nothing" in error.message


@pytest.mark.parametrize(
    "words",
    [
        "projects/ubuntu-os-cloud/global/images/ubuntu-2204-lts-v20261105",
        "projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts",
        "https://www.googleapis.com/compute/v1/projects/ubuntu-os-cloud/global/images/ubuntu-2204-lts-v20261105",
        "ubuntu-2204-lts",
    ],
)
def test_every_way_to_name_an_image(provider, words):
    from gpucloud.providers.gcp.images import find_image

    image = find_image(provider._api, words, True)
    assert image.link.endswith("projects/ubuntu-os-cloud/global/images/ubuntu-2204-lts-v20261105")


def test_the_newest_image_with_a_driver_and_cloud_init(provider):
    from gpucloud.providers.gcp.images import find_image

    image = find_image(provider._api, "", True)
    assert image.link.endswith("/common-cu129-ubuntu-2404-nvidia-580-v20261101") and image.least_gib == 50
    assert find_image(provider._api, "", False).link.endswith("/ubuntu-2404-lts-amd64-v20261105")


@pytest.mark.parametrize("code", ["ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"])
def test_no_capacity_leaves_nothing(sim, provider, spec, code):
    sim.cloud.script.capacity["us-central1-a"] = 0
    sim.cloud.script.stockout_code = code
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, errors.CapacityError) and "us-central1-a" in error.message
    assert ("us-central1-b" in error.message) == code.endswith("DETAILS")
    assert sim.left() == []
    assert sim.calls.count("instances.insert") == 1, "a stockout is not tried again in vain"


def test_half_of_the_nodes_is_none(sim, provider):
    sim.cloud.script.capacity["us-central1-a"] = 2
    error = error_of(lambda: provider.launch(make_spec(sim.clock, nodes=4)))
    assert isinstance(error, errors.CapacityError) and sim.left() == []


@pytest.mark.parametrize("at_once", [True, False])
def test_no_quota_leaves_nothing(sim, provider, spec, at_once):
    sim.cloud.script.limits["us-central1", "NVIDIA_T4_GPUS"] = 0
    sim.cloud.script.quota_at_once = at_once
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, errors.QuotaError) and "NVIDIA_T4_GPUS" in error.message and sim.left() == []


def test_quota_over_all_regions(sim, provider, spec):
    sim.cloud.script.all_regions = 0
    assert isinstance(error_of(lambda: provider.launch(spec)), errors.QuotaError) and sim.left() == []


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (lambda sim: sim.cloud.script.unsold.add(("us-central1-a", "n1-standard-8")), errors.NotOffered),
        (lambda sim: setattr(sim.cloud.script, "policy", "constraints/compute.vmExternalIpAccess"), errors.PolicyError),
        (lambda sim: setattr(sim, "granted", {"compute.networks.get"}), errors.PermissionDenied),
        (lambda sim: setattr(sim, "enabled", False), errors.NotRegistered),
        (lambda sim: setattr(sim.tokens, "revoked", True), errors.CredentialsError),
    ],
)
def test_refusals_leave_nothing(sim, provider, spec, trouble, kind):
    trouble(sim)
    assert isinstance(error_of(lambda: provider.launch(spec)), kind)
    assert sim.left() == []


def test_what_may_not_be_made_after_the_rules_takes_them_along(sim, provider, spec):
    from tests.clouds.gcp.sim import PERMISSIONS

    everything = {word for words in PERMISSIONS.values() for word in words} | {"compute.subnetworks.useExternalIp"}
    sim.granted = everything - {"compute.instances.create"}
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, errors.PermissionDenied) and "compute.instances.create" in error.message
    assert "firewalls.delete" in sim.calls and sim.left() == []


def test_a_roll_back_that_fails_is_no_refusal(sim, provider, spec):
    from tests.clouds.gcp.sim import PERMISSIONS

    everything = {word for words in PERMISSIONS.values() for word in words} | {"compute.subnetworks.useExternalIp"}
    sim.granted = everything - {"compute.firewalls.delete"}
    sim.cloud.script.capacity["us-central1-a"] = 0
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, errors.AmbiguousError) and "could not be removed" in error.message
    assert sim.left(), "and that is why"


def test_what_is_somebody_elses_is_never_touched(sim, provider, spec):
    other = make_spec(sim.clock, tags={**spec.tags, "gpucloud-home": "otherhom"}, token="other")
    provider.launch(other)
    before = sim.left()
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, errors.BadRequest) and "not this deployment's" in error.message
    assert sorted(sim.left()) == sorted(before)


def test_a_foreign_machine_of_that_name(sim, provider, spec):
    provider.launch(spec)
    sim.cloud.instance(NODE)["labels"] = {"team": "other"}
    sim.clock.advance(2 * 3600)
    assert isinstance(error_of(lambda: provider.launch(spec)), errors.BadRequest)
    assert sim.cloud.instance(NODE)["status"] == "RUNNING"


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "error_after", "error_before", "garbage"])
@pytest.mark.parametrize("call", ["instances.insert", "firewalls.insert", "zoneOperations.wait"])
def test_an_answer_lost_once_is_asked_for_again(sim, provider, spec, call, kind):
    sim.faults.append(Fault(call, kind))
    assert [item.id for item in provider.launch(spec)] == [NODE]
    assert len(sim.cloud.all_of("instances")) == 1


def test_an_answer_lost_for_ever_is_doubt(sim, provider, spec):
    sim.faults += [Fault("instances.insert", "drop_after", nth) for nth in range(1, 9)]
    assert isinstance(error_of(lambda: provider.launch(spec)), errors.AmbiguousError)
    sim.heal()
    assert [item.id for item in provider.launch(spec)] == [NODE]


def test_doubt_about_one_node_outweighs_a_refusal_of_another(sim, provider):
    sim.cloud.script.capacity["us-central1-a"] = 1
    sim.faults += [Fault("instances.insert", "drop_after", nth) for nth in (1, 3, 4, 5, 6)]
    error = error_of(lambda: provider.launch(make_spec(sim.clock, nodes=2)))
    assert isinstance(error, (errors.AmbiguousError, errors.CapacityError))
    if isinstance(error, errors.CapacityError):
        assert sim.left() == []


def test_too_many_requests_for_ever(sim, provider, spec):
    sim.faults.append(Fault("instances.insert", "throttle_forever"))
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, errors.ThrottledError) and error.retry_after_s == 1.0
    assert sim.left() == []
    sim.heal()
    assert [item.id for item in provider.launch(spec)] == [NODE], "the token can be sent again, rules and all"


def test_labels_that_google_does_not_take(sim, provider):
    error = error_of(lambda: provider.launch(make_spec(sim.clock, own_tags={"Team": "ML"})))
    assert isinstance(error, errors.BadRequest) and "Team=ML" in error.message and "instances.insert" not in sim.calls
    provider.launch(make_spec(sim.clock, own_tags={"team": "ml_3"}))
    assert sim.cloud.instance(NODE)["labels"]["team"] == "ml_3"


def test_an_identity_only_when_asked_for(sim, provider):
    provider.launch(make_spec(sim.clock, options={"identity": "train@lab-project.iam.gserviceaccount.com"}))
    (account,) = sim.cloud.instance(NODE)["serviceAccounts"]
    assert account["email"].startswith("train@")


def test_a_private_machine_has_no_public_address(sim, provider):
    (machine,) = provider.launch(make_spec(sim.clock, options={"private": "yes"}))
    assert machine.endpoint.host == machine.private_ip
    assert not sim.cloud.instance(NODE)["networkInterfaces"][0]["accessConfigs"]


def test_tpus_are_not_offered(sim, provider):
    tpu = replace(T4, instance_type="tpu-v5e-8", accelerator="TPU-v5e", accelerator_count=8)
    error = error_of(lambda: provider.launch(make_spec(sim.clock, offer=tpu)))
    assert isinstance(error, errors.NotOffered) and "TPU" in error.message and sim.calls == []


def test_the_boot_data_fits_and_tells_no_secret_but_the_token(sim, provider, spec):
    provider.launch(spec)
    text = metadata(sim.cloud.instance(NODE))["user-data"]
    assert len(text.encode()) <= 13 * 1024 and "PRIVATE KEY" not in text and spec.proof_token in text
    assert spec.proof_token not in repr(spec)
