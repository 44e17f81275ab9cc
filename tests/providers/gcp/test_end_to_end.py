"""The whole loop at the simulated Compute Engine: the real command line, the real library, real SSH servers."""

from __future__ import annotations

import signal
import time

import pytest

from tests.clouds.gcp.machines import Machines
from tests.clouds.gcp.sim import GcpSim
from tests.clouds.lab import Lab
from tests.clouds.machine import needs_sshd

UP = (
    "up",
    "demo",
    "--cloud",
    "gcp",
    "--region",
    "us-central1",
    "--gpu",
    "T4:1",
    "--instance-type",
    "n1-standard-8+T4:1",
)


class GcpLab(Lab):
    """Looks are made when everything that was late has arrived."""

    def left(self) -> list[str]:
        self.sim.cloud.age()
        return super().left()


@pytest.fixture
def lab(tmp_path):
    made = GcpLab(tmp_path, GcpSim(tmp_path / "cloud"), Machines, UP)
    with made.sim:
        yield made
        made.machines.close()
    assert made.sim.problems == []


@needs_sshd
def test_up_run_pull_down(lab):
    lab.up()
    (deployment,) = lab.json("ls")["deployments"]
    assert (deployment["state"], deployment["cloud"], deployment["account"]) == ("ready", "gcp", "lab-project")
    assert deployment["instance_type"] == "n1-standard-8+T4:1" and deployment["zone"].startswith("us-central1-")
    assert {"in_machine_deadline", "in_machine_idle", "provider"} <= {guard["kind"] for guard in deployment["guards"]}
    name = deployment["nodes"][0]["id"]
    assert lab.sim.cloud.reaches(name, int(lab.environment["GPUCLOUD_SSH_PORT"]), "127.0.0.1")
    assert not lab.sim.cloud.reaches(name, 22, "203.0.113.9")
    assert "rank 0" in lab("run", "--on", "demo", "--pull", "model.txt", "python3", "train.py")
    assert (lab.work / "model.txt").read_text() == "weights"
    lab("stop", "demo", "--yes")
    assert lab.sim.cloud.instance(name)["status"] == "TERMINATED"
    lab("start", "demo", "--yes")
    assert "hello" in lab("exec", "demo", "--", "echo", "hello")
    down = lab.json("down", "demo", "--yes")
    assert {item["kind"] for item in down["removed"]} >= {"machine", "firewall"} and not down["remaining"]
    assert lab.left() == []


@needs_sshd
def test_two_nodes_and_a_lost_journal(lab):
    lab.up("--nodes", "2")
    output = lab("run", "--on", "demo", "--launcher", "none", "python3", "train.py")
    assert "rank 0" in output and "rank 1" in output
    lab.lose_journal()
    lab("down", "demo", "--yes")
    assert lab.left() == []


@needs_sshd
def test_killed_in_the_middle(lab):
    """`kill -9` while the instance is being made; `gc` with an empty journal and `down` with it leave nothing."""
    lab.sim.cloud.script.operation_s = 0.6
    process = lab.start_up()
    end = time.monotonic() + 60
    while "instances.insert" not in lab.sim.calls:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    lab.sim.cloud.script.operation_s = 0
    time.sleep(0.7)
    assert lab.left()
    lab("down", "demo", "--yes")
    assert lab.left() == []
