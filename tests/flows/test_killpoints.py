"""`kill -9` at every journal write and every provider call leaves nothing that bills, runs or lies around."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killpoints.py")
ROOT = SCRIPT.parents[2]
STEPS = {"fake": ["up", "stop", "start", "down"]}


@pytest.mark.parametrize("cloud", STEPS)
def test_nothing_is_left_after_a_kill_at_any_point(cloud, tmp_path, capsys):
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, str(SCRIPT), cloud, str(tmp_path), *STEPS[cloud]]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=300, env=environ, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout)
    with capsys.disabled():
        counts = ", ".join(f"{verb} {count}" for verb, count in result["points"].items())
        print(f"\nkill points on {cloud}: {counts}; {len(result['leaks'])} left something")
    assert result["leaks"] == []
    assert all(result["points"][verb] >= 10 for verb in STEPS[cloud])
