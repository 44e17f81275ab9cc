"""Launching: one request for all nodes, everything tagged, and nothing left behind by a refusal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpucloud.core import errors
from gpucloud.core.names import attempt_token
from gpucloud.core.tags import is_of
from tests.clouds.aws.images import AMAZON, BIG
from tests.clouds.aws.sim import Refusal
from tests.clouds.aws.wire import tags_in
from tests.clouds.http import Fault
from tests.providers.aws.conftest import DEPLOYMENT, HOME, make_offer, make_spec


def run_words(sim):
    """The words of the newest RunInstances."""
    return sim.seen["RunInstances"][-1].words


def test_one_machine_with_its_own_group_and_everything_tagged(sim, driver, spec):
    (node,) = driver.launch(spec)
    assert (node.kind, node.rank, node.attempt, node.region, node.zone) == ("machine", 0, 1, "us-east-1", "us-east-1a")
    assert is_of(node, DEPLOYMENT, HOME) and node.tags["team"] == "vision"
    scan = driver.find(DEPLOYMENT, ("us-east-1",))
    assert scan.scanned == ("us-east-1",) and not scan.unscanned
    assert sorted(item.kind for item in scan.resources) == ["machine", "security-group"]
    assert all(is_of(item, DEPLOYMENT, HOME) for item in scan.resources)
    words = run_words(sim)
    for kind in ("instance", "volume", "network-interface"):
        assert tags_in(words, kind)["gpucloud-deployment"] == DEPLOYMENT
    assert words["MinCount"] == words["MaxCount"] == "1"
    assert words["InstanceInitiatedShutdownBehavior"] == "stop"
    assert words["BlockDeviceMapping.1.Ebs.VolumeSize"] == "100"
    assert words["BlockDeviceMapping.1.Ebs.VolumeType"] == "gp3"
    assert "IamInstanceProfile.Name" not in words and "KeyName" not in words


def test_the_machine_has_an_address_once_it_runs(sim, driver, spec):
    driver.launch(spec)
    machine = next(item for item in driver.find(DEPLOYMENT, ("us-east-1",)).resources if item.kind == "machine")
    assert machine.state == "running" and machine.endpoint is not None
    assert (machine.endpoint.user, machine.endpoint.port, machine.endpoint.host) == ("ubuntu", 22, "192.0.2.7")


def test_ssh_is_open_to_the_caller_only_and_nodes_reach_each_other(sim, driver, ec2):
    driver.launch(make_spec(sim.clock(), nodes=2, ssh_from=("203.0.113.5/32", "2001:db8::/64")))
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "tag-key", "Values": ["gpucloud-home"]}])[
        "SecurityGroups"
    ]
    ssh, inside = sorted(group["IpPermissions"], key=lambda rule: rule["IpProtocol"], reverse=True)
    assert (ssh["IpProtocol"], ssh["FromPort"], ssh["ToPort"]) == ("tcp", 22, 22) and ssh["UserIdGroupPairs"] == []
    assert [item["CidrIp"] for item in ssh["IpRanges"]] == ["203.0.113.5/32"]
    assert [item["CidrIpv6"] for item in ssh["Ipv6Ranges"]] == ["2001:db8::/64"]
    assert inside["IpProtocol"] == "-1" and inside["IpRanges"] == inside["Ipv6Ranges"] == []
    assert [pair["GroupId"] for pair in inside["UserIdGroupPairs"]] == [group["GroupId"]]


def test_one_machine_alone_opens_nothing_but_ssh(driver, ec2, spec):
    driver.launch(spec)
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "tag-key", "Values": ["gpucloud-home"]}])[
        "SecurityGroups"
    ]
    assert [rule["IpProtocol"] for rule in group["IpPermissions"]] == ["tcp"]


def test_four_nodes_come_with_one_request_and_have_ranks(sim, driver):
    nodes = driver.launch(make_spec(sim.clock(), nodes=4))
    assert [node.rank for node in nodes] == [0, 1, 2, 3]
    assert sim.calls.count("RunInstances") == 1 and len(sim.instances()) == 4
    assert [node.name for node in nodes] == [f"{DEPLOYMENT}-1-{rank}" for rank in range(4)]


def test_the_same_token_again_gives_the_same_machines(sim, open_driver, spec):
    first = open_driver().launch(spec)
    second = open_driver().launch(spec)
    assert [node.id for node in first] == [node.id for node in second]
    assert len(sim.instances()) == 1 and len(sim.groups()) == 1


def test_spot_is_one_time_and_ends_on_shutdown(sim, driver):
    (node,) = driver.launch(make_spec(sim.clock(), make_offer(market="spot")))
    words = run_words(sim)
    assert words["InstanceMarketOptions.MarketType"] == "spot"
    assert words["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert tags_in(words, "spot-instances-request")["gpucloud-deployment"] == DEPLOYMENT
    assert node.market == "spot"


@pytest.mark.parametrize(
    ("at_end", "options", "behaviour"),
    [("delete", {}, "terminate"), ("delete", {"one-shot": "yes"}, "stop"), ("stop", {}, "stop")],
)
def test_what_a_shutdown_does_is_fixed_at_launch(sim, driver, at_end, options, behaviour):
    driver.launch(make_spec(sim.clock(), at_end=at_end, options=options))
    assert run_words(sim)["InstanceInitiatedShutdownBehavior"] == behaviour


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InsufficientInstanceCapacity", errors.CapacityError),
        ("Unsupported", errors.NotOffered),
        ("VcpuLimitExceeded", errors.QuotaError),
        ("MaxSpotInstanceCountExceeded", errors.QuotaError),
        ("UnauthorizedOperation", errors.PermissionDenied),
        ("OptInRequired", errors.NotRegistered),
        ("RequestLimitExceeded", errors.ThrottledError),
    ],
)
def test_a_refusal_is_sorted_and_leaves_nothing(sim, driver, spec, code, kind):
    sim.refusals.append(Refusal(code))
    with pytest.raises(kind) as caught:
        driver.launch(spec)
    assert type(caught.value) is kind and isinstance(caught.value, errors.REFUSALS)
    assert sim.left() == []
    assert sim.calls.count("RunInstances") == 1
    assert "AbCdEf0123456789" not in caught.value.message and code in caught.value.message


@pytest.mark.parametrize("code", ["InternalError", "SomethingNew"])
def test_an_answer_that_says_nothing_leaves_the_question_open(sim, driver, spec, code):
    sim.refusals.append(Refusal(code))
    with pytest.raises(errors.AmbiguousError):
        driver.launch(spec)
    assert sim.calls.count("RunInstances") == 1


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "garbage", "error_after"])
def test_a_lost_answer_is_open_and_the_same_token_finds_out(sim, driver, spec, kind):
    sim.faults.append(Fault("RunInstances", kind))
    with pytest.raises(errors.AmbiguousError):
        driver.launch(spec)
    (node,) = driver.launch(spec)
    assert list(sim.instances()) == [node.id]


def test_a_request_whose_effect_lands_late_is_not_made_twice(sim, driver, spec):
    sim.late_s = 30
    with pytest.raises(errors.AmbiguousError):
        driver.launch(spec)
    assert sim.instances() == {}
    (node,) = driver.launch(spec)
    sim.clock.move(60)
    assert list(sim.instances()) == [node.id]


def test_a_token_whose_machine_has_ended_is_no_capacity_and_leaves_nothing(sim, driver, spec):
    (node,) = driver.launch(spec)
    sim.take_back(node.id)
    with pytest.raises(errors.CapacityError):
        driver.launch(spec)
    assert sim.left() == []


def test_a_token_of_which_one_machine_has_ended_takes_the_others_with_it(sim, driver):
    sim.ending_s = 20
    spec = make_spec(sim.clock(), nodes=3)
    nodes = driver.launch(spec)
    sim.take_back(nodes[1].id)
    with pytest.raises(errors.CapacityError):
        driver.launch(spec)
    assert sim.left() == []


def test_a_newer_image_between_two_sendings_does_not_hide_the_machine(sim, open_driver, spec, monkeypatch):
    (node,) = open_driver().launch(spec)
    monkeypatch.setattr("gpucloud.providers.aws.images.DEEP_LEARNING", "/company/golden")
    (again,) = open_driver().launch(spec)
    assert again.id == node.id and len(sim.instances()) == 1


def test_a_refusal_while_an_earlier_sending_came_through_is_no_refusal(sim, driver, spec):
    sim.faults.append(Fault("RunInstances", "drop_after"))
    with pytest.raises(errors.AmbiguousError):
        driver.launch(spec)
    sim.faults.append(Fault("RunInstances", "throttle_once", nth=2))
    with pytest.raises(errors.AmbiguousError):
        driver.launch(spec)
    assert len(sim.instances()) == 1


def test_a_group_that_cannot_be_removed_makes_a_refusal_an_open_question(sim, driver, spec):
    sim.refusals.append(Refusal("InsufficientInstanceCapacity"))
    sim.faults.append(Fault("DeleteSecurityGroup", "throttle_forever"))
    with pytest.raises(errors.AmbiguousError) as caught:
        driver.launch(spec)
    assert "sufficient capacity" in caught.value.message and len(sim.groups()) == 1


def test_a_foreign_group_of_our_name_is_never_touched(sim, driver, spec):
    sim.foreign_group("us-east-1", f"gpucloud-{DEPLOYMENT}-1")
    with pytest.raises(errors.BadRequest) as caught:
        driver.launch(spec)
    assert "not touched" in caught.value.message
    (group,) = sim.groups()
    assert group.ingress_rules == [] and sim.instances() == {}


def test_the_users_subnet_group_identity_and_privacy(sim, driver):
    subnet, group = sim.subnet("us-east-1b"), sim.foreign_group("us-east-1", "ours-of-the-company")
    options = {"subnet": subnet, "security-group": group, "identity": "trainer", "private": "yes", "ssh-user": "me"}
    sim.profile("trainer")
    offer = make_offer(zone="")
    (place,) = driver.places(offer, options)
    assert place.zone == "us-east-1b"
    (node,) = driver.launch(make_spec(sim.clock(), place, options=options))
    words = run_words(sim)
    assert words["NetworkInterface.1.SubnetId"] == subnet and words["NetworkInterface.1.SecurityGroupId.1"] == group
    assert words["NetworkInterface.1.AssociatePublicIpAddress"] == "false"
    assert words["IamInstanceProfile.Name"] == "trainer" and node.zone == "us-east-1b"
    assert "CreateSecurityGroup" not in sim.calls
    sim.refusals.append(Refusal("InsufficientInstanceCapacity"))
    with pytest.raises(errors.CapacityError):
        driver.launch(make_spec(sim.clock(), place, attempt=2, options=options))
    assert [item.name for item in sim.groups("") if item.id == group] == ["ours-of-the-company"]


def test_a_subnet_of_another_region_rules_the_offer_out(sim, driver):
    options = {"subnet": sim.subnet("us-east-1b")}
    with pytest.raises(errors.NotOffered) as caught:
        driver.places(make_offer(region="us-west-2", zone=""), options)
    assert "--region" in caught.value.hint


def test_a_group_of_another_region_rules_the_offer_out(sim, driver):
    options = {"security-group": sim.foreign_group("us-west-2", "theirs")}
    with pytest.raises(errors.NotOffered):
        driver.launch(make_spec(sim.clock(), options=options))


def test_places_are_the_zones_that_sell_the_type(sim, driver):
    sim.refusals.append(Refusal("NotSold", place="us-east-1b"))
    places = driver.places(make_offer(zone=""), {})
    assert [place.zone for place in places] == ["us-east-1a", "us-east-1c"]
    tokens = {attempt_token(DEPLOYMENT, 1, place) for place in places}
    assert len(tokens) == 2


def test_a_zone_is_a_pure_function_of_the_token_where_none_is_named(sim, open_driver):
    spec = make_spec(sim.clock(), make_offer(zone=""))
    first, second = open_driver().launch(spec), open_driver().launch(spec)
    assert first[0].id == second[0].id and len(sim.instances()) == 1


def test_no_default_vpc_names_the_way_out(sim, driver):
    sim.without_default_vpc.add("us-east-1")
    with pytest.raises(errors.PolicyError) as caught:
        driver.places(make_offer(zone=""), {})
    assert "--subnet" in caught.value.hint
    with pytest.raises(errors.PolicyError):
        driver.launch(make_spec(sim.clock()))
    assert sim.left() == []


def test_a_tag_policy_is_met_by_tag_and_named_otherwise(sim, driver):
    sim.required_tags.add("costcenter")
    spec = make_spec(sim.clock())
    with pytest.raises(errors.PolicyError) as caught:
        driver.launch(spec)
    assert "costcenter" in caught.value.message and "--tag" in caught.value.hint and sim.left() == []
    driver.launch(replace(spec, tags={**spec.tags, "costcenter": "7"}))
    assert len(sim.instances()) == 1


def test_regions_that_are_off_denied_or_unknown_are_called_that(sim, driver):
    sim.zones["af-south-1"] = ("af-south-1a",)
    with pytest.raises(errors.PolicyError) as caught:
        driver.places(make_offer(region="af-south-1", zone=""), {})
    assert "enable-region" in caught.value.hint
    with pytest.raises(errors.NotOffered):
        driver.launch(make_spec(sim.clock(), make_offer(region="mars-north-1", zone="mars-north-1a")))
    sim.denied_regions.add("us-west-2")
    with pytest.raises(errors.PolicyError):
        driver.places(make_offer(region="us-west-2", zone=""), {})


@pytest.mark.parametrize(
    ("image", "kind", "word"),
    [
        ("ami-00000000000000ff", errors.NotOffered, "ami-00000000000000ff"),
        ("/no/such/parameter", errors.NotOffered, "/no/such/parameter"),
        ("ubuntu", errors.BadRequest, "--image"),
        (BIG, errors.BadRequest, "500 GiB"),
    ],
)
def test_an_image_that_will_not_do_is_named_and_nothing_is_made(sim, driver, image, kind, word):
    with pytest.raises(kind) as caught:
        driver.launch(make_spec(sim.clock(), image=image, disk_gib=50))
    assert word in caught.value.message + caught.value.hint
    assert sim.left() == [] and "CreateSecurityGroup" not in sim.calls


@pytest.mark.parametrize("image", [AMAZON, "/company/golden", "resolve:ssm:/company/golden"])
def test_another_image_brings_its_own_user_and_root_device(sim, driver, image):
    (node,) = driver.launch(make_spec(sim.clock(), image=image))
    assert run_words(sim)["BlockDeviceMapping.1.DeviceName"] == "/dev/xvda"
    assert node.tags["gpucloud-ssh-user"] == "ec2-user"


def test_machines_without_gpu_or_of_arm_get_their_image(sim, driver):
    driver.launch(make_spec(sim.clock(), make_offer(instance_type="c7i.large", accelerator="", accelerator_count=0)))
    assert run_words(sim)["BlockDeviceMapping.1.Ebs.VolumeSize"] == "30"
    offer = make_offer(instance_type="g5g.xlarge", accelerator="T4G", arch="arm64")
    driver.launch(make_spec(sim.clock(), offer, attempt=2))
    assert len(sim.instances()) == 2


def test_user_data_is_a_boothook_without_a_secret_but_the_token(sim, driver, spec):
    driver.launch(spec)
    (made,) = sim.made.values()
    assert made.user_data.startswith("#cloud-boothook\n#!/bin/sh\n")
    assert len(made.user_data.encode()) < 12 * 1024 + 100
    assert spec.proof_token in made.user_data and "AKIAMINE" not in made.user_data


def test_every_request_is_signed_by_us(sim, driver, spec):
    driver.launch(spec)
    assert {call.key for calls in sim.seen.values() for call in calls} == {"AKIAMINE"}
