"""Changes to things that exist: only ours, safe to repeat, and honest about what is not done yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpucloud.core import errors
from tests.clouds.http import Fault
from tests.providers.aws.conftest import DEPLOYMENT, HOME, OTHER_HOME, make_offer, make_spec


def one(driver, kind="machine"):
    return next(item for item in driver.find(DEPLOYMENT, ("us-east-1",)).resources if item.kind == kind)


def ports(ec2):
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "tag-key", "Values": ["gpucloud-home"]}])[
        "SecurityGroups"
    ]
    found = [rule for rule in group["IpPermissions"] if rule["IpProtocol"] == "tcp"]
    return sorted(item["CidrIp"] for rule in found for item in rule["IpRanges"])


def test_removing_twice_is_success(sim, driver, spec):
    driver.launch(spec)
    machine, group = one(driver), one(driver, "security-group")
    for _ in range(2):
        driver.destroy(machine)
    for _ in range(2):
        driver.destroy(group)
    assert sim.left() == []


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "throttle_once", "error_after"])
@pytest.mark.parametrize("label", ["TerminateInstances", "DeleteSecurityGroup"])
def test_a_removal_whose_answer_is_lost_is_asked_again(sim, driver, spec, label, kind):
    driver.launch(spec)
    machine, group = one(driver), one(driver, "security-group")
    sim.faults.append(Fault(label, kind))
    driver.destroy(machine)
    driver.destroy(group)
    assert sim.left() == []


def test_a_group_waits_for_its_machine(sim, driver, spec):
    sim.ending_s = 30
    driver.launch(spec)
    machine, group = one(driver), one(driver, "security-group")
    driver.destroy(machine)
    assert one(driver).state == "stopping"
    with pytest.raises(errors.CloudError) as caught:
        driver.destroy(group)
    assert "still used" in caught.value.message
    sim.clock.move(31)
    driver.destroy(group)
    assert sim.left() == []


def test_what_belongs_to_another_home_or_deployment_is_not_touched(sim, driver, spec):
    driver.launch(spec)
    for kind in ("machine", "security-group"):
        thing = one(driver, kind)
        for tags in ({"gpucloud-home": OTHER_HOME}, {"gpucloud-deployment": "other-abcdefgh"}):
            with pytest.raises(errors.BadRequest):
                driver.destroy(replace(thing, tags={**thing.tags, **tags}))
    assert len(sim.instances()) == len(sim.groups()) == 1


def test_a_disk_that_was_left_is_removed_and_a_foreign_one_is_not(sim, driver, spec, ec2):
    sim.volume("us-east-1a", spec.tags)
    disk = one(driver, "volume")
    foreign = ec2.create_volume(AvailabilityZone="us-east-1a", Size=10)["VolumeId"]
    with pytest.raises(errors.CloudError):
        driver.destroy(replace(disk, id=foreign))
    driver.destroy(disk)
    driver.destroy(disk)
    assert sim.left() == [f"volume {foreign}"]


def test_stop_and_start_with_a_new_deadline_everywhere(sim, driver, spec, ec2):
    driver.launch(spec)
    machine = one(driver)
    driver.stop(machine)
    driver.stop(machine)
    assert one(driver).state == "stopped" and one(driver).endpoint is None
    later = spec.deadline_epoch_s + 3600
    driver.start(machine, later)
    driver.start(machine, later)
    assert one(driver).state == "running"
    tagged = ec2.describe_tags(Filters=[{"Name": "key", "Values": ["gpucloud-deadline"]}])["Tags"]
    kinds = {tag["ResourceType"] for tag in tagged if tag["Value"] == str(round(later))}
    assert {"instance", "volume", "security-group"} <= kinds


def test_a_deadline_can_be_taken_away(sim, driver, spec):
    driver.launch(spec)
    driver.extend(one(driver), None)
    assert "gpucloud-deadline" not in one(driver).tags
    assert "gpucloud-deadline" not in one(driver, "security-group").tags


def test_spot_cannot_be_stopped_and_the_sentence_says_what_to_do(sim, driver):
    driver.launch(make_spec(sim.clock(), make_offer(market="spot")))
    with pytest.raises(errors.StateConflict) as caught:
        driver.stop(one(driver))
    assert "gpucloud down" in caught.value.hint and "StopInstances" not in sim.calls


def test_a_machine_that_is_gone_cannot_be_started(sim, driver, spec):
    (node,) = driver.launch(spec)
    driver.destroy(node)
    for change in (driver.stop, lambda thing: driver.start(thing, None), lambda thing: driver.extend(thing, None)):
        with pytest.raises(errors.StateConflict):
            change(node)


def test_allow_opens_to_the_new_address_and_closes_the_old_one(sim, driver, spec, ec2):
    driver.launch(spec)
    assert ports(ec2) == ["203.0.113.5/32"]
    for _ in range(2):
        driver.allow(DEPLOYMENT, ("198.51.100.7/32", "203.0.113.9/32"))
        assert ports(ec2) == ["198.51.100.7/32", "203.0.113.9/32"]
    order = [call for call in sim.calls if call.endswith("GroupIngress")]
    assert order == ["AuthorizeSecurityGroupIngress"] * 3 + ["RevokeSecurityGroupIngress"]


def test_allow_leaves_the_rule_among_nodes_and_other_homes_alone(sim, open_driver, ec2):
    open_driver().launch(make_spec(sim.clock(), nodes=2))
    with pytest.raises(errors.UsageError):
        open_driver(OTHER_HOME).allow(DEPLOYMENT, ("198.51.100.7/32",))
    open_driver(HOME).allow(DEPLOYMENT, ("198.51.100.7/32",))
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "tag-key", "Values": ["gpucloud-home"]}])[
        "SecurityGroups"
    ]
    assert "-1" in [rule["IpProtocol"] for rule in group["IpPermissions"]]


def test_allow_without_a_group_of_ours_says_whose_it_is(sim, driver):
    group = sim.foreign_group("us-east-1", "company")
    driver.launch(make_spec(sim.clock(), options={"security-group": group}))
    with pytest.raises(errors.UsageError) as caught:
        driver.allow(DEPLOYMENT, ("198.51.100.7/32",))
    assert "--security-group" in caught.value.hint


def alarm_of(sim):
    (found,) = sim.alarms()
    return found


def test_an_alarm_ends_every_machine_a_day_after_the_deadline(sim, driver):
    spec = make_spec(sim.clock(), nodes=2, options={"alarm": "yes"})
    nodes = driver.launch(spec)
    found = sorted(sim.alarms(), key=lambda alarm: alarm.name)
    assert [alarm.name for alarm in found] == [f"gpucloud-{DEPLOYMENT}-1-{rank}" for rank in (0, 1)]
    for alarm, node in zip(found, nodes, strict=True):
        assert [(item.name, item.value) for item in alarm.dimensions] == [("InstanceId", node.id)]
        assert alarm.alarm_actions == ["arn:aws:automate:us-east-1:ec2:terminate"]
        assert (alarm.period, alarm.evaluation_periods, alarm.threshold) == (3600, 30, 0.0)
        assert alarm.treat_missing_data == "notBreaching"


def test_the_alarm_moves_with_the_deadline_and_goes_with_it(sim, driver):
    spec = make_spec(sim.clock(), options={"alarm": "yes"})
    (node,) = driver.launch(spec)
    driver.extend(node, spec.deadline_epoch_s + 10 * 3600)
    assert alarm_of(sim).evaluation_periods == 40
    assert one(driver, "alarm").tags["gpucloud-deadline"] == str(round(spec.deadline_epoch_s + 10 * 3600))
    driver.extend(node, None)
    assert sim.alarms() == []


def test_an_alarm_that_cannot_be_armed_takes_the_machines_with_it(sim, driver):
    sim.faults += [Fault("PutMetricAlarm", "error_before", nth) for nth in range(1, 6)]
    with pytest.raises(errors.PolicyError):
        driver.launch(make_spec(sim.clock(), nodes=2, options={"alarm": "yes"}))
    assert sim.left() == []


def test_an_alarm_whose_machine_is_gone_is_removed(sim, driver):
    (node,) = driver.launch(make_spec(sim.clock(), options={"alarm": "yes"}))
    sim.take_back(node.id)
    for thing in driver.find(DEPLOYMENT).resources:
        driver.destroy(thing)
        driver.destroy(thing)
    assert sim.left() == []


def test_unknown_kinds_are_our_bug(driver, spec, sim):
    driver.launch(spec)
    with pytest.raises(errors.BadRequest):
        driver.destroy(replace(one(driver), kind="spaceship"))
