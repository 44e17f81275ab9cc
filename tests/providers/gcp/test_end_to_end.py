"""The whole loop at the simulated Compute Engine: the real command line, the real library, real SSH servers."""

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

from tests.clouds.boots import free_port
from tests.clouds.gcp.machines import Machines
from tests.clouds.gcp.sim import GcpSim
from tests.clouds.machine import needs_sshd

TRAIN = "import os\nprint('rank', os.environ.get('NODE_RANK', '0'))\nopen('model.txt', 'w').write('weights')\n"
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
        self.sim = GcpSim(folder / "cloud")
        port = free_port("127.0.0.1")
        self.machines = Machines(self.sim, folder / "machines", port)
        waits = {f"GPUCLOUD_WAIT_{name}": value for name, value in WAITS.items()}
        own = {"GPUCLOUD_HOME": str(self.home), "GPUCLOUD_SSH_PORT": str(port), "GPUCLOUD_SSH_FROM": "127.0.0.1/32"}
        self.environment = {**os.environ, **self.sim.environ, **own, **waits}

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gpucloud", *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.work, env={**self.environment, **more}, text=True, **pipes)

    def __call__(self, *words: str, code: int = 0, **more: str) -> str:
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=50)
        assert process.returncode == code, f"{words} ended with {process.returncode}, not {code}\n{out}\n{err}"
        assert "Traceback" not in err
        return out + err

    def json(self, *words: str, code: int = 0) -> dict:
        process = self.start("-o", "json", *words)
        out, err = process.communicate(timeout=50)
        assert process.returncode == code, err
        return json.loads(out)

    def up(self, *more: str) -> None:
        self(*UP, "--ssh-user", getpass.getuser(), "--yes", *more)

    def left(self) -> list[str]:
        self.sim.cloud.age()
        return self.sim.left()


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
    for file in lab.home.glob("state.db*"):
        file.unlink()
    lab("down", "demo", "--yes")
    assert lab.left() == []


@needs_sshd
def test_killed_in_the_middle(lab):
    """`kill -9` while the instance is being made; `gc` with an empty journal and `down` with it leave nothing."""
    lab.sim.cloud.script.operation_s = 0.6
    process = lab.start(*UP, "--yes", "--ssh-user", getpass.getuser())
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
