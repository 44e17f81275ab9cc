"""Looking: every region and every kind, and never "nothing" where nobody could look."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from gpucloud.core import errors
from gpucloud.core.tags import is_of
from tests.clouds.http import Fault
from tests.providers.aws.conftest import DEPLOYMENT, HOME, OTHER_HOME, make_offer, make_spec


def kinds(scan):
    return sorted(item.kind for item in scan.resources)


def test_without_regions_every_one_that_is_on_is_asked(sim, driver):
    driver.launch(make_spec(sim.clock(), make_offer(region="us-west-2", zone="us-west-2a")))
    scan = driver.find(None)
    assert scan.scanned == ("us-east-1", "us-west-2") and not scan.unscanned
    assert kinds(scan) == ["machine", "security-group"]
    assert {item.region for item in scan.resources} == {"us-west-2"}


def test_disks_that_lost_their_machine_and_alarms_are_found_too(sim, driver, spec):
    sim.volume("us-east-1b", spec.tags)
    driver.launch(make_spec(sim.clock(), options={"alarm": "yes"}))
    scan = driver.find(DEPLOYMENT, ("us-east-1",))
    assert kinds(scan) == ["alarm", "machine", "security-group", "volume"]
    assert all(is_of(item, DEPLOYMENT, HOME) for item in scan.resources)


def test_other_deployments_and_homes_are_told_apart(sim, driver, spec):
    driver.launch(spec)
    driver.launch(make_spec(sim.clock(), deployment_id="other-abcdefgh", home_id=OTHER_HOME))
    assert {item.deployment_id for item in driver.find(DEPLOYMENT).resources} == {DEPLOYMENT}
    assert {item.home_id for item in driver.find(None).resources} == {HOME, OTHER_HOME}


def test_untagged_things_of_others_are_never_seen(sim, driver, ec2):
    ec2.create_volume(AvailabilityZone="us-east-1a", Size=10)
    sim.foreign_group("us-east-1", "gpucloud-looks-like-ours")
    assert driver.find(None).resources == ()


def test_a_denied_region_is_unscanned_with_the_reason(sim, driver, spec):
    driver.launch(spec)
    sim.denied_regions.add("us-west-2")
    scan = driver.find(None)
    assert scan.scanned == ("us-east-1",) and "service control policy" in scan.unscanned["us-west-2"]
    assert kinds(scan) == ["machine", "security-group"]


@pytest.mark.parametrize("label", ["DescribeInstances", "DescribeVolumes", "DescribeSecurityGroups", "DescribeAlarms"])
@pytest.mark.parametrize("kind", ["throttle_forever", "garbage"])
def test_half_a_look_is_none(sim, driver, spec, label, kind):
    driver.launch(spec)
    sim.faults += [Fault(label, kind, nth) for nth in range(1, 9)]
    scan = driver.find(DEPLOYMENT, ("us-east-1",))
    assert scan.scanned == () and scan.resources == () and list(scan.unscanned) == ["us-east-1"]


@pytest.mark.parametrize("kind", ["throttle_once", "drop_before", "drop_after", "garbage"])
def test_one_stumble_is_nothing(sim, driver, spec, kind):
    driver.launch(spec)
    sim.faults.append(Fault("DescribeInstances", kind, 1))
    assert driver.find(DEPLOYMENT, ("us-east-1",)).scanned == ("us-east-1",)


def test_a_machine_that_is_not_shown_yet_comes_later(sim, driver, spec):
    sim.invisible_s = 5
    (node,) = driver.launch(spec)
    assert "machine" not in kinds(driver.find(DEPLOYMENT, ("us-east-1",)))
    sim.clock.move(6)
    assert node.id in [item.id for item in driver.find(DEPLOYMENT, ("us-east-1",)).resources]


def test_a_machine_without_its_tags_makes_the_look_worthless(sim, driver, spec):
    sim.untagged_s = 5
    (node,) = driver.launch(spec)
    assert is_of(node, DEPLOYMENT, HOME)  # we know what we asked for
    scan = driver.find(DEPLOYMENT, ("us-east-1",))
    assert scan.scanned == () and "no tags yet" in scan.unscanned["us-east-1"]
    with pytest.raises(errors.CloudError):
        driver.destroy(node)
    sim.clock.move(6)
    assert driver.find(DEPLOYMENT, ("us-east-1",)).scanned == ("us-east-1",)


def test_spot_that_was_taken_back_is_preempted_while_its_group_is_there_and_then_gone(sim, driver):
    (node,) = driver.launch(make_spec(sim.clock(), make_offer(market="spot")))
    sim.take_back(node.id)
    scan = driver.find(DEPLOYMENT, ("us-east-1",))
    assert {item.kind: item.state for item in scan.resources} == {"machine": "preempted", "security-group": "running"}
    for thing in scan.resources:
        driver.destroy(thing)
    assert driver.find(DEPLOYMENT, ("us-east-1",)).resources == () and sim.left() == []


def test_credentials_that_are_refused_everywhere_are_an_error_not_a_list(sim, open_driver):
    driver = open_driver()
    driver.identity()
    sim.expired = True
    with pytest.raises(errors.CredentialsError) as caught:
        driver.find(DEPLOYMENT, ("us-east-1", "us-west-2"))
    assert "aws sso login" in caught.value.hint


def test_who_may_not_look_at_alarms_still_gets_an_answer(sim, driver, spec):
    driver.launch(spec)
    used = {f"{'cloudwatch' if service == 'monitoring' else service}:{name}" for service, name in sim.used}
    sim.granted = used | {"ec2:DescribeInstances", "ec2:DescribeVolumes", "ec2:DescribeSecurityGroups"}
    scan = driver.find(DEPLOYMENT, ("us-east-1",))
    assert scan.scanned == ("us-east-1",) and "machine" in kinds(scan)
    assert "DescribeAlarms" in sim.calls


def test_seventeen_regions_at_once(sim, driver, open_driver, record_property):
    names = "ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-southeast-1 ap-southeast-2 ca-central-1"
    names += " eu-central-1 eu-north-1 eu-west-1 eu-west-2 eu-west-3 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2"
    sim.regions = dict.fromkeys(names.split(), "opt-in-not-required")
    driver.find(None)  # moto makes a region when it is first asked
    sim.latency_s = 0.05
    begun = time.perf_counter()
    scan = open_driver().find(None)
    assert len(scan.scanned) == 17 and not scan.unscanned
    record_property("told", f"aws: 17 regions at 50 ms latency in {time.perf_counter() - begun:.1f} s")


def test_a_plan_and_an_outline_load_no_library():
    code = (
        "import sys; from pathlib import Path; from gpucloud.providers.site import Site\n"
        "from gpucloud.providers.aws import open_provider; from gpucloud.core.offers import Offer\n"
        "from gpucloud.core.cloud import LaunchSpec\n"
        "driver = open_provider(Site(Path('.'), 'home', {}))\n"
        "offer = Offer('aws', 'g5.xlarge', 'A10G', 1, region='us-east-1', vcpus=4)\n"
        "spec = LaunchSpec('train-abcdefgh', 'train', 1, 't', offer, 2, {}, '', deadline_epoch_s=9e9)\n"
        "assert driver.outline(spec).image and driver.guards(spec) and driver.quota_needs(offer)\n"
        "assert not {'boto3', 'botocore'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
