"""The whole loop on a real local machine over a real SSH connection, through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gpucloud.providers.local.folder import Folder
from tests.machines import until

TRAIN = """\
import os, sys, time
for step in range(3):
    print("loss", 1 / (step + 1), flush=True)
    time.sleep(0.05)
open("model.txt", "w").write(os.environ.get("SEED", "none"))
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""


class Loop:
    """A home, a work folder and the command line."""

    def __init__(self, folder: Path) -> None:
        self.home, self.work = folder / "the home", folder / "the work"
        self.work.mkdir()
        self.environment = {**os.environ, "GPUCLOUD_HOME": str(self.home)}

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gpucloud", *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.work, env={**self.environment, **more}, text=True, **pipes)

    def __call__(self, *words: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, f"{words} ended with {process.returncode}, not {code}\n{out}\n{err}"
        assert "Traceback" not in err
        return subprocess.CompletedProcess(words, code, out, err)

    def json(self, *words: str, code: int = 0) -> dict:
        body = json.loads(self("-o", "json", *words, code=code).stdout)
        assert body["version"] == 1 and body["kind"]
        return body


@pytest.fixture
def loop(tmp_path):
    found = Loop(tmp_path)
    (found.work / "train.py").write_text(TRAIN)
    yield found
    subprocess.run(
        [sys.executable, "-m", "gpucloud", "down", "--all", "--yes"],
        env=found.environment,
        cwd=found.work,
        capture_output=True,
    )


@pytest.fixture
def demo(loop):
    """With one machine up."""
    loop("up", "demo", "--cloud", "local", "--yes")
    return loop


def bring_the_deadline(loop: Loop) -> None:
    """The only machine's deadline is now; what was to happen before has happened, at any speed of this computer."""
    (name,) = machines(loop)
    folder = Folder(loop.home / "local" / name)
    record = folder.record()
    assert record is not None
    folder.write_record(replace(record, deadline_epoch_s=time.time()))


def machines(loop: Loop) -> list[str]:
    shelf = loop.home / "local"
    return sorted(path.name for path in shelf.glob("local-*")) if shelf.exists() else []


def test_up_run_pull_down(demo):
    (deployment,) = demo.json("ls")["deployments"]
    assert (deployment["name"], deployment["state"], deployment["cloud"]) == ("demo", "ready", "local")
    assert {guard["kind"] for guard in deployment["guards"]} and deployment["deadline_at"] > deployment["created_at"]
    done = demo("run", "--env", "SEED=7", "--pull", "model.txt", "python", "train.py")
    assert done.stdout == "loss 1.0\nloss 0.5\nloss 0.3333333333333333\n"
    assert (demo.work / "model.txt").read_text() == "7"
    assert demo("logs").stdout == done.stdout
    assert demo("logs", "demo/1", "--from", "9").stdout == done.stdout[9:]
    (run,) = demo.json("ps")["runs"]
    assert (run["id"], run["state"], run["exit_code"], run["usd"]) == ("demo/1", "succeeded", 0, 0.0)
    assert demo.json("cost")["total_usd"] == 0.0
    (gone,) = demo.json("down", "--yes")["deployments"]
    assert gone["state"] == "down" and gone["billing_ended"]
    assert machines(demo) == [] and demo.json("gc")["orphans"] == []
    demo("down", "demo", "--yes")  # once more is no error


def test_the_commands_own_exit_code_comes_back(demo):
    demo("run", "python", "train.py", "7", code=7)
    demo("wait", "demo/1", code=7)
    assert demo("run", "--no-sync", "kill -9 $$", code=137).stdout == ""
    demo("run", "--no-sync", "no-such-command", code=127)
    body = demo.json("run", "--no-sync", "exit 3", code=3)
    assert body["runs"][0]["exit_code"] == 3 and body["runs"][0]["state"] == "failed"


def test_a_detached_run_is_followed_waited_for_and_cancelled(demo):
    demo("run", "--detach", "python", "-c", "import time; print('begun', flush=True); time.sleep(60)")
    for _ in range(100):
        if demo("logs").stdout == "begun\n":
            break
        time.sleep(0.05)
    waiting = demo.start("wait", "demo/1")
    demo("cancel", "demo/1", "--grace", "2")
    assert waiting.wait(timeout=30) != 0
    waiting.communicate()
    (run,) = demo.json("ps")["runs"]
    assert run["state"] == "cancelled" and run["exit_code"] == 130


def test_ctrl_c_without_a_terminal_interrupts_the_command(demo):
    code = """
import time
try:
    print("up", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped")
    raise SystemExit(9)
"""
    process = demo.start("run", "--no-sync", "--no-input", "python", "-c", code)
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (9, "stopped\n"), err
    assert demo.json("ps")["runs"][0]["state"] == "cancelled"


def test_a_killed_client_loses_nothing(demo):
    code = "import time\nfor i in range(20): print(i, flush=True); time.sleep(0.05)"
    process = demo.start("run", "--no-sync", "python", "-c", code)
    first = process.stdout.readline()
    process.kill()
    process.communicate()
    demo("wait", "demo/1")
    assert first == "0\n" and demo("logs").stdout == "".join(f"{i}\n" for i in range(20))


def test_secrets_reach_the_command_and_nothing_else(demo):
    demo("run", "--no-sync", "--secret", "TOKEN", 'test "${TOKEN#hush-}" = 4711', TOKEN="hush-4711")
    for path in demo.home.rglob("*"):
        if path.is_file():
            assert b"hush-4711" not in path.read_bytes(), path


def test_the_users_cloud_credentials_do_not_reach_the_machine(demo):
    out = demo("exec", "demo", "--", "env", AWS_SECRET_ACCESS_KEY="hush", GPUCLOUD_X="hush").stdout
    assert "hush" not in out and f"HOME={demo.home}" in out


def test_exec_push_and_pull(demo):
    assert demo("exec", "demo", "--", "echo", "a  b").stdout == "a  b\n"
    demo("exec", "demo", "--", "exit 5", code=5)
    (demo.work / "data").mkdir()
    (demo.work / "data" / "a.txt").write_text("one")
    demo("push", "demo", "data", "inputs")
    assert demo("exec", "demo", "--", "cat inputs/a.txt").stdout == "one"
    demo("exec", "demo", "--", "echo two > inputs/b.txt")
    demo("pull", "demo", "inputs", "back")
    assert (demo.work / "back" / "b.txt").read_text() == "two\n"
    demo("push", "demo", "data", "inputs")  # exactly what is here: b.txt goes
    demo("exec", "demo", "--", "test ! -e inputs/b.txt")


def test_results_that_were_not_pulled_survive_the_next_sync(demo):
    demo("run", "--detach", "--pull", "out.bin", "echo precious > out.bin")
    demo("exec", "demo", "--", "until [ -s out.bin ]; do sleep 0.05; done")
    demo("run", "cat out.bin")
    assert demo("logs").stdout == "precious\n"


def test_stop_and_start_keep_the_disk_and_the_key(demo):
    demo("exec", "demo", "--", "echo kept > note")
    assert demo.json("stop", "demo", "--yes")["deployments"][0]["state"] == "stopped"
    refused = demo("run", "--no-sync", "true", code=8)
    assert "gpucloud start demo" in refused.stderr
    assert demo.json("start", "demo", "--yes")["deployments"][0]["state"] == "ready"
    assert demo("exec", "demo", "--", "cat note").stdout == "kept\n"
    before = demo.json("ls")["deployments"][0]["deadline_at"]
    assert demo.json("extend", "demo", "2h", "--yes")["deployments"][0]["deadline_at"] > before


def test_the_deadline_ends_the_machine_and_says_so(loop):
    loop("up", "brief", "--cloud", "local", "--max-hours", "1h", "--yes")
    bring_the_deadline(loop)
    end = time.monotonic() + 30
    while loop.json("ls", "--refresh")["deployments"][0]["state"] not in ("ended_by_guard", "stopped"):
        assert time.monotonic() < end, "the deadline did not end the machine"
        time.sleep(0.3)
    loop("down", "brief", "--yes")
    assert machines(loop) == []


def test_a_run_that_ended_before_the_guard_did_has_its_code_after_the_next_start(loop):
    loop("up", "brief", "--cloud", "local", "--max-hours", "1h", "--yes")
    loop("run", "--detach", "--no-sync", "exit 3")
    loop("run", "--detach", "--no-sync", "sleep 600")
    until(lambda: list((loop.home / "local").glob("*/home/gpucloud/*/runs/*/exit")), 30)
    bring_the_deadline(loop)
    end = time.monotonic() + 30
    while loop.json("ls", "--refresh")["deployments"][0]["state"] != "ended_by_guard":
        assert time.monotonic() < end, "the deadline did not end the machine"
        time.sleep(0.3)
    assert [run["state"] for run in loop.json("ps")["runs"]] == ["lost", "lost"]
    said = loop("start", "brief", "--max-hours", "1h", "--yes").stderr
    assert "brief/1 had ended with exit code 3" in said
    first, second = sorted(loop.json("ps")["runs"], key=lambda run: run["id"])
    assert (first["state"], first["exit_code"]) == ("failed", 3)
    assert second["exit_code"] != 0 and second["state"] in ("lost", "failed", "cancelled")


def test_two_nodes_have_ranks_and_prefixes(loop):
    loop("up", "pair", "--cloud", "local", "--nodes", "2", "--yes")
    out = loop("run", "--no-sync", 'echo "$NODE_RANK of $NNODES"; exit $NODE_RANK', code=1).stdout
    assert sorted(out.splitlines()) == ["[0] 0 of 2", "[1] 1 of 2"]


def test_up_again_resumes_and_another_spec_is_a_conflict(demo):
    again = demo("up", "demo", "--cloud", "local", "--yes")
    assert "demo" in again.stdout and len(machines(demo)) == 1
    demo("up", "demo", "--cloud", "local", "--nodes", "2", "--yes", code=8)


def test_a_fresh_machine_for_one_run_is_gone_afterwards(loop):
    done = loop("run", "--cloud", "local", "--yes", "--pull", "model.txt", "python", "train.py")
    assert "loss 0.5" in done.stdout and (loop.work / "model.txt").exists()
    assert machines(loop) == [] and loop.json("ls")["deployments"] == []


def test_down_without_the_journal_finds_everything(demo):
    for path in demo.home.glob("state.db*"):
        path.unlink()
    demo("down", "demo", "--yes")
    assert machines(demo) == []


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("run", "--on", "dmo", "true"), 2, "demo"),
        (("logs", "demo/9"), 2, "demo/9"),
        (("down", "nothing-here", "--yes"), 2, "nothing-here"),
        (("up", "Big_Name", "--cloud", "local"), 2, "Big_Name"),
        (("up", "x", "--cloud", "lcal", "--yes"), 2, "local"),
        (("up", "x", "--cloud", "local", "--gpu", "A1000", "--yes"), 2, "A100"),
        (("up", "x", "--cloud", "local", "--gpu", "H100:8", "--yes"), 3, "H100:8"),
        (("up", "x", "--yes"), 2, "--gpu"),
        (("run", "--no-sync", "--secret", "NOT_SET_ANYWHERE", "true"), 2, "NOT_SET_ANYWHERE"),
        (("run", "--sync", "no-such-folder", "true"), 2, "no-such-folder"),
        (("run", "--no-sync", "--nodes", "5", "true"), 2, "1 nodes"),
        (("run",), 2, "command"),
        (("extend", "demo", "soon", "--yes"), 2, "soon"),
        (("forward", "demo", "http"), 2, "http"),
        (("push", "demo", "no-such-folder"), 2, "no-such-folder"),
    ],
)
def test_every_mistake_is_one_sentence_and_one_hint(demo, words, code, text):
    failed = demo(*words, code=code)
    assert failed.stderr.count("Error: ") == 1 and text in failed.stderr
    assert demo("exec", "demo", "--", "echo alive").stdout == "alive\n"


def test_nobody_is_asked_where_nobody_can_answer(demo):
    refused = demo("down", "demo", code=130)
    assert "--yes" in refused.stderr and len(machines(demo)) == 1


def test_a_foreign_state_file_is_not_touched(loop):
    loop.home.mkdir(mode=0o700)
    (loop.home / "state.db").write_bytes(b"somebody else's data")
    assert "not a journal" in loop("ls", code=8).stderr
    assert (loop.home / "state.db").read_bytes() == b"somebody else's data"


def test_plain_ssh_works_with_strict_checking(demo):
    if not Path("/usr/bin/ssh").exists():
        pytest.skip("no ssh program here")
    command = [
        "ssh",
        "-F",
        str(demo.home / "ssh_config"),
        "-o",
        "ControlMaster=no",
        "-o",
        "ControlPath=none",
        "demo",
        "echo plain",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, "plain\n"), done.stderr
