"""The library does what the command line does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import gpucloud


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPUCLOUD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_compare_is_what_the_command_prints() -> None:
    words = ("compare", "A100:8", "T4", "--market", "any", "--cloud", "aws,gcp", "-o", "json")
    printed = subprocess.run([sys.executable, "-m", "gpucloud", *words], capture_output=True, check=True).stdout
    assert gpucloud.compare("A100:8", "T4", market="any", cloud=["aws", "gcp"]) == json.loads(printed)["offers"]


def test_numbers() -> None:
    told = gpucloud.estimate("spot", checkpoint="60s", mtbf="10h")
    assert told["interval_s"] == pytest.approx((2 * 60 * 36000) ** 0.5)
    options = gpucloud.recommend("90 epochs", model="resnet50", deadline="24h")["options"]
    assert options and options[0]["usd"] > 0
    assert gpucloud.gpus("V100")[0]["name"].startswith("V100")


def test_errors_are_ours() -> None:
    with pytest.raises(gpucloud.GpucloudError) as caught:
        gpucloud.compare("X9000")
    assert (caught.value.exit_code, caught.value.code) == (2, "usage")
    with pytest.raises(gpucloud.GpucloudError) as caught:
        gpucloud.compare("T4", no_such_option=1)
    assert caught.value.exit_code == 2
    with pytest.raises(AttributeError):
        gpucloud.nothing_of_this_name  # noqa: B018


def test_a_machine_for_a_block(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "job.py").write_text("print('at work')\nraise SystemExit(3)\n")
    with gpucloud.machine("train", cloud="local", max_hours=0.5) as name:
        run = gpucloud.run("python3", "job.py", on=name, sync=str(work))
        assert (run["state"], run["exit_code"]) == ("failed", 3)
        assert [row["state"] for row in gpucloud.ls()] == ["ready"]
    assert gpucloud.ls() == []
    assert gpucloud.cost()["items"]


def test_importing_it_loads_nothing() -> None:
    code = (
        "import sys, gpucloud; print([name for name in sys.modules if name.startswith('gpucloud.') or name == 'typer'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
