"""The fault matrix over the simulated clouds: whatever goes wrong at whichever call, nothing is left that bills."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clouds.http import KINDS, Fault
from tests.clouds.matrix import Case, Matrix
from tests.clouds.worlds import CLOUDS, open_world

ROOT = Path(__file__).parents[2]
HERE = [cloud for cloud in CLOUDS if importlib.util.find_spec(f"tests.clouds.{cloud}.sim")]
PAIRS = [KINDS[at : at + 2] for at in range(0, len(KINDS), 2)]  # few tests, so that few simulators are made
LOST_ANSWERS = ("error_after", "drop_after", "throttle_forever")


@pytest.fixture
def matrix_of(tmp_path: Path) -> Iterator[Callable[[str], Matrix]]:
    """The matrix of a cloud; its simulator ends with the test."""
    worlds = []

    def opened(cloud: str) -> Matrix:
        worlds.append(open_world(cloud, tmp_path / "cloud"))
        return Matrix(worlds[-1], tmp_path)

    yield opened
    for world in worlds:
        world.close()


def verdict(matrix: Matrix, what: str, record_property) -> None:
    """Say the counts; any problem fails."""
    tally = matrix.tally
    record_property("told", f"{what}: {tally.cases} cases, {tally.leaked} resources leaked")
    assert tally.cases >= 10 and tally.struck >= 0.9 * tally.cases
    assert not tally.problems, "\n".join(f"{case}\n    " + "\n    ".join(p) for case, p in tally.problems.items())
    assert tally.leaked == 0


@pytest.mark.parametrize("kinds", PAIRS, ids="+".join)
@pytest.mark.parametrize("cloud", HERE)
def test_every_call_of_up_and_down_goes_wrong(cloud, kinds, matrix_of, record_property):
    matrix = matrix_of(cloud)
    matrix.sweep(kinds)
    verdict(matrix, f"fault matrix of {cloud}, {' and '.join(kinds)} at every call of up and down", record_property)


@pytest.mark.parametrize("cloud", HERE)
def test_four_nodes_are_made_all_or_nothing(cloud, matrix_of, record_property):
    """The calls that make and remove, the last one of each label among them."""
    matrix = matrix_of(cloud)
    for step in ("up", "down"):
        calls = matrix.calls(Case(step, None, nodes=4), nth_at_most=4)
        last = dict(calls)
        for label in [label for label in last if matrix.changes(label)]:
            for kind in LOST_ANSWERS:
                for nth in sorted({1, last[label]}):
                    matrix.run(Case(step, Fault(label, kind, nth), nodes=4))
    verdict(matrix, f"fault matrix of {cloud}, four nodes", record_property)


@pytest.mark.parametrize("cloud", HERE)
def test_spot_machines_are_taken_while_they_start(cloud, matrix_of, record_property):
    """With and without a lost answer on top of it."""
    matrix = matrix_of(cloud)
    base = Case("up", None, market="spot")
    matrix.run(Case("up", None, market="spot", spoil="taken"))
    for label, nth in matrix.calls(base):
        if matrix.changes(label) or nth == 1:
            matrix.run(Case("up", Fault(label, "drop_after", nth), market="spot", spoil="taken"))
    verdict(matrix, f"spot taken while starting on {cloud}", record_property)


@pytest.mark.parametrize("cloud", HERE)
def test_with_the_journal_lost_as_well(cloud, matrix_of, record_property):
    matrix = matrix_of(cloud)
    for label, nth in matrix.calls(Case("up", None)):
        matrix.run(Case("up", Fault(label, "drop_after", nth), lose_journal=True))
    verdict(matrix, f"a lost answer at every call of up on {cloud}, and the journal lost", record_property)


@pytest.mark.parametrize("cloud", HERE)
def test_killed_at_every_call_and_every_journal_write(cloud, tmp_path, record_property):
    words = [sys.executable, "-m", "tests.clouds.killpoints", cloud, str(tmp_path)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, timeout=500, env=environ, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    sentence = f"kill points of up and down on {cloud}: {result['points']}, {result['leaked']} resources leaked"
    record_property("told", sentence)
    assert result["problems"] == {} and result["leaked"] == 0
    assert result["points"] >= 40
