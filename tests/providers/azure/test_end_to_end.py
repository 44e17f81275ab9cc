"""The whole loop at the simulated Azure: the real command line, the real libraries, real SSH servers."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.clouds.azure.machines import Machines
from tests.clouds.azure.sim import AzureSim
from tests.clouds.http import Fault
from tests.clouds.lab import Lab
from tests.clouds.machine import needs_sshd
from tests.machines import until
from tests.providers.azure.test_guards import IDENTITY

PLACE = ("--cloud", "azure", "--region", "eastus", "--gpu", "T4:1", "--instance-type", "Standard_NC4as_T4_v3")
UP = ("up", "demo", *PLACE)


def machines(sim: AzureSim, folder: Path, port: int) -> Machines:
    """Machines that reach the simulator as their metadata service, and trust it."""
    metadata = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": sim.url}
    return Machines(sim, folder, port, {**metadata, "CURL_CA_BUNDLE": sim.environ["REQUESTS_CA_BUNDLE"]})


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path, AzureSim(tmp_path / "cloud"), machines, UP, patience_s=90)
    with made.sim:
        yield made
        made.machines.close()
    assert made.sim.problems == []


@needs_sshd
def test_up_run_pull_down(lab):
    lab.up()
    (deployment,) = lab.json("ls")["deployments"]
    assert (deployment["state"], deployment["cloud"], deployment["region"]) == ("ready", "azure", "eastus")
    assert {"in_machine_deadline", "provider"} <= {guard["kind"] for guard in deployment["guards"]}
    assert "rank 0" in lab("run", "--on", "demo", "--pull", "model.txt", "python3", "train.py")
    assert (lab.work / "model.txt").read_text() == "weights"
    lab("stop", "demo", "--yes")
    name = deployment["nodes"][0]["id"]
    assert lab.sim.machine(name)["_power"] == "deallocated"
    lab("start", "demo", "--yes")
    assert "hello" in lab("exec", "demo", "--", "echo", "hello")
    down = lab.json("down", "demo", "--yes")
    assert {item["kind"] for item in down["removed"]} >= {"machine", "resource-group"} and not down["remaining"]
    assert lab.sim.left() == []


@needs_sshd
def test_two_nodes_and_a_lost_journal(lab):
    lab.up("--nodes", "2")
    output = lab("run", "--on", "demo", "--launcher", "none", "python3", "train.py")
    assert "rank 0" in output and "rank 1" in output
    lab.lose_journal()
    lab("down", "demo", "--yes")
    assert lab.sim.left() == []


@needs_sshd
def test_killed_in_the_middle(lab):
    """`kill -9` while the machine is being made; `down` leaves nothing."""
    lab.sim.cloud.operation_s = 0.4
    process = lab.start_up()
    end = time.monotonic() + 60
    while "PUT virtualMachines" not in lab.sim.calls:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    lab.sim.cloud.operation_s = 0
    time.sleep(0.5)
    assert lab.sim.left()
    lab("down", "demo", "--yes")
    assert lab.sim.left() == []


@needs_sshd
def test_a_machine_with_an_identity_ends_its_own_bill(lab):
    """The real boot script asks the metadata service for a token, with curl, and deallocates its machine; Azure
    is busy at first."""
    lab.up("--identity", IDENTITY)
    (machine,) = lab.machines.by_name.values()
    name = next(iter(lab.machines.by_name))
    assert "userAssignedIdentities/ender" in str(lab.sim.machine(name)["identity"])
    lab.sim.faults = [Fault("POST deallocate", "throttle_once")]
    machine.move_clock(25 * 3600)
    until(lambda: lab.sim.machine(name)["_power"] == "deallocated", 30)
    assert lab.sim.calls.count("POST deallocate") >= 2 and machine.state == "off"
    assert (lab.json("ls", "--refresh")["deployments"][0])["state"] in ("ended_by_guard", "stopped")
    lab("down", "demo", "--yes")
    assert lab.sim.left() == []
