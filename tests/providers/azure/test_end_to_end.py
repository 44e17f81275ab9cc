"""The whole loop at the simulated Azure: the real command line, the real libraries, real SSH servers."""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.clouds.azure.machines import Machines
from tests.clouds.azure.sim import AzureSim
from tests.clouds.boots import free_port
from tests.clouds.machine import needs_sshd
from tests.machines import until
from tests.providers.azure.test_guards import IDENTITY

TRAIN = "import os\nprint('rank', os.environ.get('NODE_RANK', '0'))\nopen('model.txt', 'w').write('weights')\n"
PLACE = ("--cloud", "azure", "--region", "eastus", "--gpu", "T4:1", "--instance-type", "Standard_NC4as_T4_v3")
UP = ("up", "demo", *PLACE)
WAITS = {
    "POLL": "0.05",
    "POLL_MAX": "0.3",
    "SETTLE_GAP": "0.1",
    "SETTLE_QUIET": "0.5",
    "SETTLE": "3",
    "DESTROY_AGAIN": "1",
}


class Lab:
    """A simulated cloud with machines, a home, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.home, self.work = folder / "home", folder / "work"
        self.work.mkdir()
        (self.work / "train.py").write_text(TRAIN)
        self.sim = AzureSim(folder / "cloud")
        port = free_port("127.0.0.1")
        own = {"GPUCLOUD_HOME": str(self.home), "GPUCLOUD_SSH_PORT": str(port), "GPUCLOUD_SSH_FROM": "127.0.0.1/32"}
        waits = {f"GPUCLOUD_WAIT_{name}": value for name, value in WAITS.items()}
        self.environment = {**os.environ, **self.sim.environ, **own, **waits}
        self.port = port
        metadata = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": self.sim.url}
        trusted = {"CURL_CA_BUNDLE": self.sim.environ["REQUESTS_CA_BUNDLE"]}
        self.machines = Machines(self.sim, folder / "machines", port, {**metadata, **trusted})

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gpucloud", *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.work, env={**self.environment, **more}, text=True, **pipes)

    def __call__(self, *words: str, code: int = 0, **more: str) -> str:
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=90)
        assert process.returncode == code, f"{words} ended with {process.returncode}, not {code}\n{out}\n{err}"
        assert "Traceback" not in err
        return out + err

    def json(self, *words: str, code: int = 0) -> dict:
        process = self.start("-o", "json", *words)
        out, err = process.communicate(timeout=90)
        assert process.returncode == code, err
        return json.loads(out)

    def up(self, *more: str) -> None:
        self(*UP, "--ssh-user", getpass.getuser(), "--yes", *more)


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path)
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
    for file in lab.home.glob("state.db*"):
        file.unlink()
    lab("down", "demo", "--yes")
    assert lab.sim.left() == []


@needs_sshd
def test_killed_in_the_middle(lab):
    """`kill -9` while the machine is being made; `down` leaves nothing."""
    lab.sim.cloud.operation_s = 0.4
    process = lab.start(*UP, "--yes", "--ssh-user", getpass.getuser())
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
    """The real boot script asks the metadata service for a token, with curl, and deallocates its machine."""
    lab.up("--identity", IDENTITY)
    (machine,) = lab.machines.by_name.values()
    name = next(iter(lab.machines.by_name))
    assert "userAssignedIdentities/ender" in str(lab.sim.machine(name)["identity"])
    machine.move_clock(25 * 3600)
    until(lambda: lab.sim.machine(name)["_power"] == "deallocated", 30)
    assert "POST deallocate" in lab.sim.calls and machine.state == "off"
    assert (lab.json("ls", "--refresh")["deployments"][0])["state"] in ("ended_by_guard", "stopped")
    lab("down", "demo", "--yes")
    assert lab.sim.left() == []
