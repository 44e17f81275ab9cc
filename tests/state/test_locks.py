"""One command at a time per deployment name, and no lock outlives its process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gpucloud.core.errors import StateConflict
from gpucloud.state.home import Home
from gpucloud.state.locks import deployment_lock, holder

HOLD = """
import sys, time
from pathlib import Path
from gpucloud.state.home import Home
from gpucloud.state.locks import deployment_lock
with deployment_lock(Home(Path(sys.argv[1])), "train", "up"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_the_second_is_told_who_holds_it(home):
    with deployment_lock(home, "train", "up"):
        assert holder(home, "train") == f"up, process {os.getpid()}"
        with (
            pytest.raises(StateConflict, match=f"in use by up, process {os.getpid()}") as caught,
            deployment_lock(home, "train", "down"),
        ):
            pass
        assert caught.value.exit_code == 8
        with deployment_lock(home, "other", "up"):
            pass
    assert holder(home, "train") == ""


def test_it_dies_with_its_process(home):
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(home.root)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    heard: list[str] = []

    def kill_then_wait(seconds: float) -> None:
        child.send_signal(signal.SIGKILL)
        child.wait()

    with deployment_lock(home, "train", "down", wait_s=10, waiting=heard.append, sleep=kill_then_wait):
        assert heard == [f"up, process {child.pid}"]
    child.stdout.close()
