"""`up --dry-run`: what will be used and made, without network, credentials or a cloud's library."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gpucloud.cli.app import main
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


@pytest.mark.skipif(not has_driver(DRIVERS["aws"]), reason="no driver for aws here")
def test_regions_for_other_kinds_of_accounts_are_tried_only_when_named():
    def regions(*words: str) -> set[str]:
        done = alone("up", "trial", "--cloud", "aws", "--gpu", "T4", *words, "--dry-run", "-o", "json")
        return {offer["region"] for offer in json.loads(done.stdout)["plan"]["order"]}

    assert not {region for region in regions() if region.startswith("us-gov-")}
    assert regions("--region", "us-gov-west-1") == {"us-gov-west-1"}


@pytest.mark.skipif(not has_driver(DRIVERS["aws"]), reason="no driver for aws here")
def test_a_region_of_no_cloud_is_a_mistake_and_one_without_offers_is_not(capsys):
    assert main(["up", "trial", "--gpu", "A100", "--cloud", "aws", "--region", "us-eest-1", "--dry-run"]) == 2
    assert "No region is called 'us-eest-1'.\n  Did you mean us-" in capsys.readouterr().err
    assert main(["up", "trial", "--gpu", "GB200", "--cloud", "aws", "--region", "af-south-1", "--dry-run"]) == 3
    assert "No on-demand offer of GB200 in aws, af-south-1" in capsys.readouterr().err


def test_a_person_reads_five_offers_and_programs_all(capsys):
    words = ["up", "trial", "--gpu", "A100", "--cloud", "gcp", "--dry-run"]
    assert main(words) == 0
    table = capsys.readouterr().out
    rows = [line for line in table.splitlines() if line.startswith("gcp ")]
    assert main([*words, "-o", "json"]) == 0
    every = json.loads(capsys.readouterr().out)["plan"]["order"]
    assert len(rows) == 5 and f"… and {len(every) - 5} more offers if those have no capacity" in table
    for output in ("wide", "csv"):
        assert main([*words, "-o", output]) == 0
        assert sum(line.startswith("gcp") for line in capsys.readouterr().out.splitlines()) == len(every)


def test_the_worst_case_says_when_another_offer_is_dearer():
    asked = ("up", "trial", "--cloud", "aws", "--region", "us-east-1", "--dry-run")
    several = alone(*asked, "--gpu", "A100:8", COLUMNS="200").stdout
    assert "USD with the first offer; the dearest costs " in several
    one = alone(*asked, "--gpu", "A100:8", "--instance-type", "p4d.24xlarge", COLUMNS="200").stdout
    assert "at worst: " in one and "the dearest" not in one


def test_the_plan_of_the_fake_cloud_tells_everything():
    words = ("up", "trial", "--cloud", "fake", "--gpu", "T4", "--image", "mine", "--nodes", "2", "--dry-run")
    done = alone(*words, COLUMNS="200")
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


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("boto3", "botocore", "google", "azure"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from gpucloud.cli.app import main
sys.exit(main({words!r}))
"""


def without_libraries(*words: str) -> subprocess.CompletedProcess[str]:
    """The command as after `pip install gpucloud` without an extra."""
    code, env = WITHOUT.format(words=list(words)), {**os.environ, "GPUCLOUD_SSH_FROM": "203.0.113.7"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60)


@pytest.mark.parametrize("cloud", CLOUDS_WITH_DRIVER)
def test_a_missing_library_names_the_extra_and_is_exit_2(cloud, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")  # without a trace of credentials, the library is not missed
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    done = without_libraries("up", "trial", "--cloud", cloud, "--gpu", "T4", "--yes")
    assert done.returncode == 2, done.stderr
    assert f'pip install "gpucloud[{cloud}]"' in done.stderr and "Traceback" not in done.stderr
    assert json.loads(without_libraries("ls", "-o", "json").stdout)["deployments"] == []


def test_without_any_library_check_and_gc_still_answer():
    done = without_libraries("check", "-o", "json")
    clouds = {item["cloud"]: item for item in json.loads(done.stdout)["clouds"]}
    for cloud in CLOUDS_WITH_DRIVER:
        reason = clouds[cloud]["reason"]
        assert clouds[cloud]["usable"] is False
        assert f"gpucloud[{cloud}]" in reason or "credentials" in reason
    done = without_libraries("gc", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert {place["cloud"] for place in json.loads(done.stdout)["unscanned"]} >= set(CLOUDS_WITH_DRIVER)


@pytest.mark.parametrize("cloud", CLOUDS_WITH_DRIVER)
def test_without_credentials_it_is_exit_4_with_the_step_that_helps_and_the_name_stays_free(cloud):
    done = alone("up", "trial", "--cloud", cloud, "--gpu", "T4", "--yes", GPUCLOUD_SSH_FROM="203.0.113.7")
    assert "code: 4" in done.stderr, done.stderr
    assert json.loads(alone("ls", "-o", "json").stdout)["deployments"] == []
