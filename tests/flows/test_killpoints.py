"""`kill -9` at every journal write, provider call and connection leaves nothing that bills, runs or lies around."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killpoints.py")
ROOT = SCRIPT.parents[2]


@pytest.mark.parametrize("verb", ["up", "run", "stop", "start", "down"])
@pytest.mark.parametrize("cloud", ["fake", "local"])
def test_nothing_is_left_after_a_kill_at_any_point(cloud, verb, tmp_path, record_property):
    with_ssh = "1" if verb == "run" else ""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "GPUCLOUD_FAKE_SSH": with_ssh}
    words = [sys.executable, str(SCRIPT), cloud, str(tmp_path), verb]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=400, env=environ, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout)
    count, left = result["points"][verb], len(result["leaks"])
    record_property("told", f"kill points of {verb} on {cloud}: {count}, of which {left} left something")
    assert result["leaks"] == []
    assert result["points"][verb] >= 8


def test_a_true_kill_of_a_fresh_process(tmp_path):
    """The same through the command line: started, killed in the middle of its life, cleaned up by the next ones."""
    home = tmp_path / "home"
    environ = {**os.environ, "GPUCLOUD_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "gpucloud"]
    child = subprocess.Popen(
        [*command, "up", "train", "--cloud", "local", "--yes"], env=environ, cwd=tmp_path, stderr=subprocess.PIPE
    )
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith(b"Asking"):
            break
    child.kill()
    child.wait()
    child.stderr.close()
    steps = (["ls", "--refresh"], ["down", "train", "--yes"], ["gc", "--yes"], ["ls"])
    ended = [subprocess.run([*command, *step], env=environ, cwd=tmp_path, capture_output=True) for step in steps]
    assert ended[1].returncode in (0, 9), ended[1].stderr
    assert ended[2].returncode == 0, ended[2].stderr
    assert [path for path in (home / "local").glob("*") if path.is_dir()] == []
