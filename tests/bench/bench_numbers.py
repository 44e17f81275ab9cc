"""The numbers: what `recommend` costs beyond `import typer`, and how wrong predictions are on the shipped rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from tests.bench.report import Row, command, interleaved

ROUNDS = 9
BOUNDS = {"card": {"median_error": 0.12, "p90_error": 0.45}, "chip": {"median_error": 0.16, "p90_error": 0.60}}
QUESTIONS = {
    "resnet50, 90 epochs": ("--model", "resnet50", "--work", "90 epochs"),
    "7B, 1e12 tokens": ("--params", "7e9", "--work", "1e12 tokens", "--profile", "startup", "--deadline", "30d"),
}


def run() -> list[Row]:
    """All rows."""
    with tempfile.TemporaryDirectory(prefix="gpucloud bench ") as folder:
        home = {**os.environ, "GPUCLOUD_HOME": folder}
        return [*_recommend(home), *_predictions(home)]


def _recommend(home: dict[str, str]) -> list[Row]:
    here = (sys.executable, "-m", "gpucloud", "recommend")
    works = {name: command(*here, *words, env=home) for name, words in QUESTIONS.items()}
    times = interleaved({"typer": command(sys.executable, "-c", "import typer"), **works}, ROUNDS)
    return [
        Row(f"recommend {name}, beyond typer", times[name] - times["typer"], 0.5, "s", f"{times[name]:.2f} s in all")
        for name in QUESTIONS
    ]


def _predictions(home: dict[str, str]) -> list[Row]:
    words = [sys.executable, "-m", "gpucloud", "throughput", "--self-check", "-o", "json"]
    sweeps = json.loads(subprocess.check_output(words, env=home, text=True))["self_check"]
    return [row for sweep in sweeps for row in _sweep(sweep)]


def _sweep(sweep: dict[str, Any]) -> list[Row]:
    leave, cells = sweep["left_out"], f"{sweep['cells']} predictions"
    errors = [
        Row(f"{leave} left out, {name.replace('_', ' ')}", sweep[name], bound, "", cells)
        for name, bound in BOUNDS[leave].items()
    ]
    misses = Row(f"{leave} left out, coverage off 81 % by", abs(sweep["coverage"] - 0.81), 0.11, "", cells)
    return [*errors, misses]
