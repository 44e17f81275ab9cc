"""`up --dry-run`: what will be used and made, without network, credentials or a cloud's library."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gpucloud.core.offers import CLOUDS_WITH_DRIVER
from gpucloud.providers.registry import DRIVERS, has_driver

SDKS = ("boto3", "botocore", "google.cloud", "google.auth", "azure", "googleapiclient")
ALONE = """
import socket, sys
def refuse(*words, **options):
    raise AssertionError("a dry run asked the network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from gpucloud.cli.app import main
code = main({words!r})
loaded = [name for name in {sdks!r} if name in sys.modules]
print("loaded:", loaded, "code:", code, file=sys.stderr)
"""


def alone(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command in a fresh process that has no network and tells which cloud libraries it loaded."""
    code = ALONE.format(words=list(words), sdks=SDKS)
    env = {**os.environ, **environ}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60)


@pytest.mark.parametrize("cloud", CLOUDS_WITH_DRIVER)
def test_the_plan_needs_no_library_no_network_and_no_credentials(cloud):
    if not has_driver(DRIVERS[cloud]):
        pytest.skip(f"no driver for {cloud} here")
    done = alone("up", "trial", "--cloud", cloud, "--gpu", "T4", "--dry-run", "-o", "json")
    assert "loaded: [] code: 0" in done.stderr, done.stderr
    plan = json.loads(done.stdout)["plan"]
    assert plan["image"] and plan["ssh_user"] and plan["order"]
    assert "machine" in {item["kind"] for item in plan["resources"]}
    assert plan["worst_case_usd"] > 0 and plan["guards"]
    assert plan["ssh_from"] == ["auto"]


def test_the_plan_of_the_fake_cloud_tells_everything():
    done = alone("up", "trial", "--cloud", "fake", "--gpu", "T4", "--image", "mine", "--nodes", "2", "--dry-run")
    assert "  image mine\n  login as fake\n" in done.stdout
    assert "machine trial-xxxxxxxx-1-0, machine trial-xxxxxxxx-1-1, firewall fw-trial-xxxxxxxx" in done.stdout


def test_refusing_to_launch_without_a_guard_says_how_to_go_on(tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"verb": "launch", "fault": "unguarded", "times": 0}]))
    words = ("up", "trial", "--cloud", "fake", "--gpu", "T4", "--yes", "-o", "json")
    refused = alone(*words, GPUCLOUD_FAKE_SCRIPT=str(script))
    error = json.JSONDecoder().raw_decode(refused.stderr[refused.stderr.index("\n{") + 1 :])[0]["error"]
    assert (error["code"], error["exit_code"]) == ("policy", 6)
    assert "Nothing outside the machine can end it" in error["message"]
    assert "--no-guard" in error["hint"]
    accepted = alone(*words, "--no-guard", "--alarm", GPUCLOUD_FAKE_SCRIPT=str(script))
    assert json.loads(accepted.stdout)["deployments"][0]["state"] == "ready"
