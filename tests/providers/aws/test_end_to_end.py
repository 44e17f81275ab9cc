"""The whole loop at the simulated EC2: the real command line, the real library, real SSH servers."""

from __future__ import annotations

import getpass
import signal
import time

import pytest

from tests.clouds.aws.machines import Machines
from tests.clouds.aws.sim import Refusal, open_sim
from tests.clouds.http import Fault
from tests.clouds.lab import Lab
from tests.clouds.machine import needs_sshd

UP = ("up", "demo", "--cloud", "aws", "--region", "us-east-1", "--gpu", "A10G:1", "--instance-type", "g5.xlarge")


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path, open_sim(tmp_path), Machines, UP)
    yield made
    made.sim.close()
    made.machines.close()
    assert made.sim.problems == []


@needs_sshd
def test_up_run_pull_down(lab):
    lab.up()
    (deployment,) = lab.json("ls")["deployments"]
    assert (deployment["state"], deployment["cloud"], deployment["account"]) == ("ready", "aws", "123456789012")
    assert deployment["instance_type"] == "g5.xlarge" and deployment["zone"] == "us-east-1a"
    assert {"in_machine_deadline", "in_machine_idle"} <= {guard["kind"] for guard in deployment["guards"]}
    assert "rank 0" in lab("run", "--on", "demo", "--pull", "model.txt", "python3", "train.py")
    assert (lab.work / "model.txt").read_text() == "weights"
    lab("stop", "demo", "--yes")
    (instance,) = lab.sim.instances().values()
    assert instance.state == "stopped"
    lab("start", "demo", "--yes")
    assert "hello" in lab("exec", "demo", "--", "echo", "hello")
    down = lab.json("down", "demo", "--yes")
    assert {item["kind"] for item in down["removed"]} == {"machine", "security-group"} and not down["remaining"]
    assert lab.left() == []


@needs_sshd
def test_a_stockout_moves_to_the_next_zone_and_two_nodes_survive_a_lost_journal(lab):
    lab.sim.refusals.append(Refusal("InsufficientInstanceCapacity", place="us-east-1a"))
    lab.up("--nodes", "2")
    (deployment,) = lab.json("ls")["deployments"]
    assert deployment["zone"] == "us-east-1b"
    output = lab("run", "--on", "demo", "--launcher", "none", "python3", "train.py")
    price = f"{deployment['usd_per_hour']:.6f}"
    assert f"rank 0 price {price}" in output and f"rank 1 price {price}" in output
    lab.lose_journal()
    lab("down", "demo", "--yes")
    assert lab.left() == []


@needs_sshd
def test_the_guest_ends_itself_at_the_deadline_and_keeps_its_disk(lab):
    lab.up("--max-hours", "1", "--alarm")
    assert [alarm.evaluation_periods for alarm in lab.sim.alarms()] == [25]
    (machine,) = lab.machines.by_id.values()
    machine.move_clock(3700)
    end = time.monotonic() + 40
    while next(iter(lab.sim.instances().values())).state != "stopped":
        assert time.monotonic() < end, machine.log
        time.sleep(0.1)
    (deployment,) = lab.json("ls", "--refresh")["deployments"]
    assert deployment["state"] == "ended_by_guard"
    lab("down", "demo", "--yes")
    assert lab.left() == []


@needs_sshd
def test_an_image_without_driver_is_a_failed_attempt_that_is_removed(lab):
    lab.machines.without_driver = True
    lab.sim.refusals += [Refusal("InsufficientInstanceCapacity", place=f"us-east-1{letter}") for letter in "bc"]
    said = lab(*UP, "--ssh-user", getpass.getuser(), "--yes", code=5, GPUCLOUD_WAIT_GPUS="1")
    assert "shows 0 GPUs instead of 1" in said and "It is removed" in said
    assert lab.left() == []


@needs_sshd
def test_killed_in_the_middle(lab):
    """`kill -9` while the request is under way; `down` leaves nothing."""
    lab.sim.slow_s = 0.6
    lab.sim.faults.append(Fault("RunInstances", "slow"))
    process = lab.start_up()
    end = time.monotonic() + 60
    while "RunInstances" not in lab.sim.calls:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    lab.sim.heal()
    time.sleep(0.7)
    assert lab.left()
    lab("down", "demo", "--yes")
    assert lab.left() == []
