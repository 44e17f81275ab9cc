"""The strict door itself: it refuses what EC2 refuses, and what moto alone would let pass."""

from __future__ import annotations

import base64
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.clouds.aws.images import UBUNTU
from tests.clouds.aws.sim import AwsSim, Refusal, open_sim


@pytest.fixture
def sim(tmp_path):
    made = open_sim(tmp_path)
    yield made
    made.close()


@pytest.fixture
def ec2(sim: AwsSim) -> Any:
    session = boto3.Session("AKIAMINE", "secret", region_name="us-east-1")
    return session.client("ec2", endpoint_url=sim.url, config=Config(retries={"total_max_attempts": 1}))


def words(sim: AwsSim, zone: str = "us-east-1a", token: str = "train-abcdefgh-1-x", **more: Any) -> dict[str, Any]:
    tags = [{"Key": "gpucloud-deployment", "Value": "train-abcdefgh"}]
    kinds = ("instance", "volume", "network-interface")
    group = next((group.id for group in sim.groups("door")), None) or sim.foreign_group("us-east-1", "door")
    return {
        "ImageId": UBUNTU,
        "InstanceType": "c7i.large",
        "MinCount": 2,
        "MaxCount": 2,
        "ClientToken": token,
        "UserData": "#!/bin/sh\n",
        "MetadataOptions": {"HttpTokens": "required"},
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": True}}],
        "NetworkInterfaces": [{"DeviceIndex": 0, "SubnetId": sim.subnet(zone), "Groups": [group]}],
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in kinds],
        **more,
    }


def refused(call: Any, **given: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**given)
    return str(caught.value.response["Error"]["Code"])


def ids(answer: Any) -> list[str]:
    return [item["InstanceId"] for item in answer["Instances"]]


def test_a_token_gives_the_same_machines_but_not_in_another_zone(sim, ec2):
    first, again = ec2.run_instances(**words(sim)), ec2.run_instances(**words(sim))
    assert ids(first) == ids(again) and len(sim.instances()) == 2
    ec2.run_instances(**words(sim, zone="us-east-1b"))
    assert len(sim.instances()) == 4


def test_a_token_with_other_words_or_an_ended_machine_is_refused(sim, ec2):
    made = ids(ec2.run_instances(**words(sim)))
    assert refused(ec2.run_instances, **words(sim, InstanceType="c7i.xlarge")) == "IdempotentParameterMismatch"
    ec2.terminate_instances(InstanceIds=made[:1])
    assert refused(ec2.run_instances, **words(sim)) == "IdempotentInstanceTerminated"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"MinCount": 1}, "not all or nothing"),
        ({"MetadataOptions": {"HttpTokens": "optional"}}, "IMDSv1 is possible"),
        ({"TagSpecifications": []}, "no ClientToken of our own"),
        ({"ClientToken": "anything"}, "no ClientToken of our own"),
        ({"ImageId": "ami-1234abcd"}, "an unknown image"),
        ({"BlockDeviceMappings": []}, "a disk that stays"),
        ({"KeyName": "mine"}, "a key pair"),
        ({"InstanceMarketOptions": {"MarketType": "spot"}}, "a spot machine that stops"),
    ],
)
def test_requests_that_this_project_never_sends_are_refused_and_kept(sim, ec2, more, problem):
    assert refused(ec2.run_instances, **words(sim, **more)) == "InvalidParameterCombination"
    assert problem in sim.problems and sim.instances() == {}


def test_user_data_has_a_limit(sim, ec2):
    assert len(base64.b64encode(b"x" * 16385)) > 16384
    refused(ec2.run_instances, **words(sim, UserData="x" * 16385))
    assert "user data above 16 KiB" in sim.problems


def test_stock_quota_and_where_they_hold(sim, ec2):
    sim.refusals += [Refusal("InsufficientInstanceCapacity", place="us-east-1a"), Refusal("VcpuLimitExceeded", "mars")]
    with pytest.raises(ClientError) as caught:
        ec2.run_instances(**words(sim))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert len(ids(ec2.run_instances(**words(sim, zone="us-east-1b")))) == 2


def test_a_group_in_use_stays_and_machines_end_slowly(sim, ec2):
    sim.ending_s = 10
    made = ids(ec2.run_instances(**words(sim)))
    group = next(item.id for item in sim.groups("door"))
    ec2.terminate_instances(InstanceIds=made)
    assert refused(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    shown = ec2.describe_instances(InstanceIds=made)["Reservations"][0]["Instances"]
    assert {item["State"]["Name"] for item in shown} == {"shutting-down"}
    sim.clock.move(11)
    ec2.delete_security_group(GroupId=group)
    assert sim.instances() == {}


def test_new_machines_are_out_of_sight_and_then_without_tags_and_then_as_they_are(sim, ec2):
    sim.invisible_s, sim.untagged_s = 5, 10
    made = ids(ec2.run_instances(**words(sim)))
    assert refused(ec2.describe_instances, InstanceIds=made) == "InvalidInstanceID.NotFound"
    sim.clock.move(6)
    ours = [{"Name": "tag-key", "Values": ["gpucloud-deployment"]}]
    found = ec2.describe_instances(Filters=ours)["Reservations"][0]["Instances"]
    assert [item.get("Tags") for item in found] == [None, None]
    sim.clock.move(6)
    found = ec2.describe_instances(Filters=ours)["Reservations"][0]["Instances"]
    assert all(item["Tags"] for item in found)


def test_a_late_request_has_its_effect_later(sim, ec2):
    sim.late_s = 20
    with pytest.raises(ConnectionClosedError):
        ec2.run_instances(**words(sim))
    assert sim.instances() == {}
    sim.clock.move(21)
    assert len(sim.instances()) == 2


def test_regions_that_are_off_look_like_wrong_keys_as_they_do_at_aws(sim):
    session = boto3.Session("AKIAMINE", "secret", region_name="af-south-1")
    away = session.client("ec2", endpoint_url=sim.url, config=Config(retries={"total_max_attempts": 1}))
    assert refused(away.describe_instances) == "AuthFailure"
    stranger = boto3.Session("AKIANOBODY", "secret", region_name="us-east-1").client("ec2", endpoint_url=sim.url)
    assert refused(stranger.describe_instances) == "AuthFailure"
