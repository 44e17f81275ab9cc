"""`bench` on a local machine: what it says without PyTorch, what it keeps, a real measurement where one can be had."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpucloud.core.errors import UsageError
from gpucloud.flows.measuring import Measured, benchmark_row

# At import: the tests' own environment has no variable of ours.
TORCH_PYTHON = os.environ.get("GPUCLOUD_TEST_TORCH_PYTHON", "").split(":")[0]
LINE = {
    "model": "resnet50", "precision": "fp16", "batch_size": 64, "count": 2, "unit": "samples/s",
    "value": 2345.678, "low": 2300.0, "high": 2400.0, "windows": [2300.0, 2345.678, 2400.0],
    "device": "NVIDIA H100", "torch": "2.9.0", "cuda": "12.8", "driver": "570.86", "memory_gib": 12.5,
}  # fmt: skip


class Machine:
    """A home with a local deployment."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "GPUCLOUD_HOME": str(self.home), "NO_COLOR": "1"}
        command = [sys.executable, "-m", "gpucloud", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    there = Machine(tmp_path_factory.mktemp("bench home"))
    assert there("up", "b1", "--cloud", "local", "--yes").returncode == 0
    yield there
    assert there("down", "b1", "--yes").returncode == 0


def stand_in(folder: Path, says: str, code: int = 0) -> Path:
    """A `python` that prints what a measurement would."""
    path = folder / "python stand-in"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_a_measurement_is_told(machine: Machine, tmp_path: Path) -> None:
    python = stand_in(tmp_path, "noise\ngpucloud-bench " + json.dumps(LINE))
    done = machine("bench", "b1", "--python", str(python), "-o", "json")
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["results"]
    assert (row["value"], row["low"], row["high"], row["driver"]) == (2345.678, 2300.0, 2400.0, "570.86")
    refused = machine("bench", "b1", "--python", str(python), "--save")
    assert refused.returncode == 2 and "without a GPU" in refused.stderr


@pytest.mark.parametrize(
    ("says", "code", "exit_code", "words"),
    [
        ("", 3, 2, "no PyTorch"),
        ("", 4, 2, "--gpus"),
        ("", 5, 2, "batch of 1"),
        ("gpucloud-bench {broken", 0, 7, "cannot be read"),
        ('gpucloud-bench {"model": 1}', 0, 7, "cannot be read"),
        ("nothing of use", 0, 7, "it said nothing"),
        ("", 9, 7, "ended with 9"),
    ],
)
def test_what_goes_wrong_is_a_sentence(
    machine: Machine, tmp_path: Path, says: str, code: int, exit_code: int, words: str
) -> None:
    done = machine("bench", "b1", "--python", str(stand_in(tmp_path, says, code)))
    assert done.returncode == exit_code and words in done.stderr and "Traceback" not in done.stderr


def test_the_real_program_says_that_pytorch_is_missing(machine: Machine) -> None:
    if importlib.util.find_spec("torch"):
        pytest.skip("this Python has PyTorch")
    done = machine("bench", "b1", "--python", sys.executable)
    assert done.returncode == 2 and "'b1' has no PyTorch" in done.stderr


@pytest.mark.parametrize("model", ["resnet50", "gpt2"])
def test_a_real_measurement(machine: Machine, model: str) -> None:
    python = TORCH_PYTHON or (sys.executable if importlib.util.find_spec("torch") else "")
    if not python:
        pytest.skip("no Python with PyTorch: name one in GPUCLOUD_TEST_TORCH_PYTHON")
    words = ("--model", model, "--small", "--seconds", "0.2", "--windows", "3", "--batch", "2", "--python", python)
    done = machine("bench", "b1", *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["results"]
    assert row["low"] <= row["value"] <= row["high"] and len(row["windows"]) == 3 and row["value"] > 0


def test_the_kept_row_names_the_software(tmp_path: Path) -> None:
    measured = Measured(**{**LINE, "windows": tuple(LINE["windows"]), "device": "NVIDIA H100; 80GB, ü"})  # type: ignore[arg-type]
    row = benchmark_row(measured, "H100-SXM-80GB", "", 2026)
    assert (row["accelerator_count"], row["batch_size"], row["throughput"]) == (2, 128, 2345.68)
    assert row["flags"] == "synthetic_data;torch=2.9.0;cuda=12.8;driver=570.86;device=NVIDIA_H100__80GB___"
    from gpucloud.catalog.importing import Imported
    from gpucloud.flows import import_catalog
    from gpucloud.state.home import Home

    home = Home(tmp_path / "home")
    import_catalog.write(home, Imported("benchmarks", {"benchmarks.csv": [row]}))
    done = Machine(tmp_path / "home")(
        "throughput", "H100-SXM-80GB:2", "--model", "resnet50", "--precision", "fp16", "-o", "json"
    )
    rows = [row for row in json.loads(done.stdout)["rows"] if row["basis"] == "measured"]
    assert (2345.68, "own") in [(row["value"], row["source"]) for row in rows]
    with pytest.raises(UsageError):
        benchmark_row(measured, "", "", 2026)
