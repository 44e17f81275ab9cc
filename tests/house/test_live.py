"""`make live-…` itself, rehearsed on the fake cloud with real SSH servers: it must not fail for the first user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpucloud.core.offers import CLOUDS_WITH_DRIVER
from tests.live.up_one import SMALL, offer

ROOT = Path(__file__).parents[2]


def live(folder, **environ):
    script = folder / "script.json"
    script.write_text(environ.pop("script", "[]"))
    ours = {
        "GPUCLOUD_FAKE_SSH": "1",
        "GPUCLOUD_FAKE_SCRIPT": str(script),
        "GPUCLOUD_WAIT_SETTLE_QUIET": "1",
        "GPUCLOUD_WAIT_SETTLE_GAP": "0.2",
        "LIVE_KILLED_AFTER_S": "0.6",
        "TMPDIR": str(folder),
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.live", "fake"],
        cwd=ROOT,
        env={**os.environ, **ours, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_passes_and_leaves_nothing(tmp_path):
    done = live(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == ["the whole loop", "killed after 0.6 s", "the journal lost"]
    assert lines[-1].endswith("left: nothing")
    assert list(tmp_path.glob("gpucloud-live-*")) == []


def test_what_fails_is_removed_all_the_same(tmp_path):
    done = live(tmp_path, script='[{"verb": "stop", "fault": "permission", "times": 0}]')
    assert done.returncode != 0
    assert "the whole loop: passed" not in done.stdout
    assert done.stdout.splitlines()[-1].endswith("left: nothing")


@pytest.mark.parametrize("cloud", CLOUDS_WITH_DRIVER)
def test_every_cloud_has_a_small_machine_and_a_target(cloud):
    assert SMALL[cloud].cloud == cloud and not SMALL[cloud].accelerator
    assert offer(cloud, {"LIVE_REGION": "elsewhere"}).zone == ""
    done = subprocess.run(["make", "-n", f"live-{cloud}", "VENV=x"], cwd=ROOT, capture_output=True, text=True)
    assert f"x/bin/python -m tests.live {cloud}" in done.stdout
