"""The reference template is manual and schema: it and the `Task` fields agree in both directions."""

from __future__ import annotations

import csv
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gpucloud.core.task import FIELDS, SYNC_FIELDS, Task, parse_fields, settle

SHELF = Path(__file__).parents[2] / "templates" / "tasks"
REFERENCE = SHELF / "reference.yaml"
UNSET = re.compile(r"^#(?=[a-z_]+:|  \S)", re.MULTILINE)  # `#name:` and the indented lines below it
TASK_FILES = sorted(SHELF.rglob("*.yaml"))


def with_everything_set() -> dict:
    return yaml.safe_load(UNSET.sub("", REFERENCE.read_text()))


def test_the_reference_has_every_field_and_no_other():
    every = with_everything_set()
    assert sorted(every) == sorted(FIELDS)
    assert sorted(every["sync"]) == sorted(SYNC_FIELDS)


def test_every_example_value_is_accepted_and_sets_something():
    task = settle(parse_fields(with_everything_set(), "reference.yaml"))
    live = yaml.safe_load(REFERENCE.read_text())
    for name in set(FIELDS) - set(live):
        assert getattr(task, name) != getattr(Task(), name), f"the example of {name} is the default"


def test_as_it_stands_it_is_the_defaults():
    assert settle(parse_fields(yaml.safe_load(REFERENCE.read_text()), "reference.yaml")) == Task()


def test_every_field_is_explained_above_it():
    lines = REFERENCE.read_text().splitlines()
    for name in FIELDS:
        at = next(number for number, line in enumerate(lines) if re.match(rf"#?{name}:", line))
        above = at - 1
        while re.match(r"#?[a-z_]+:", lines[above]):  # fields that share an explanation
            above -= 1
        assert re.match(r"# .{20}", lines[above]), f"{name} has no explanation"


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: str(path.relative_to(SHELF)))
def test_every_task_file_is_valid_and_begins_with_a_sentence(path):
    parse_fields(yaml.safe_load(path.read_text()), path.name)
    assert re.match(r"# [A-Z][^\n]*\.", path.read_text())


def test_the_demo_data_is_the_published_set():
    with gzip.open(SHELF / "demo" / "digits.csv.gz", "rt") as file:
        rows = [[int(float(cell)) for cell in row] for row in csv.reader(file)]
    assert len(rows) == 1797 and {len(row) for row in rows} == {65}
    assert {row[-1] for row in rows} == set(range(10)) and max(max(row[:-1]) for row in rows) == 16
    assert "CC BY 4.0" in (SHELF / "demo" / "NOTICE").read_text()


def train(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SHELF / "demo" / "train.py"), "--hidden", "32", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def losses(done: subprocess.CompletedProcess[str]) -> list[float]:
    return [float(loss) for loss in re.findall(r"loss (\S+)", done.stdout)]


def test_the_demo_learns_and_an_interrupted_run_goes_on_to_the_same_end(tmp_path):
    np = pytest.importorskip("numpy")
    whole = train(tmp_path, "--epochs", "4", "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    found = losses(whole)
    assert len(found) == 4 and found == sorted(found, reverse=True) and found[-1] < found[0] / 3
    metrics = json.loads((tmp_path / "whole" / "metrics.json").read_text())
    assert metrics["epochs"] == 4 and metrics["test_accuracy"] > 0.9

    assert train(tmp_path, "--epochs", "2").returncode == 0
    rest = train(tmp_path, "--epochs", "4")
    assert losses(rest) == found[2:] and "going on" in rest.stdout
    first, second = np.load(tmp_path / "whole" / "model.npz"), np.load(tmp_path / "out" / "model.npz")
    assert all((first[name] == second[name]).all() for name in first.files)


@pytest.mark.parametrize("words", [("--rate", "90"), ("--rate", "1e-9", "--epochs", "1")])
def test_a_failed_training_ends_with_a_sentence_and_not_with_zero(tmp_path, words):
    pytest.importorskip("numpy")
    done = train(tmp_path, *words)
    assert done.returncode == 1 and "Traceback" not in done.stderr and done.stderr.strip()
