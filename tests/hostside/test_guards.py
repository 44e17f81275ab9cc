"""When a machine ends, decided on clock values alone."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpucloud.hostside.guards import Ending, due, held_until, notice_due, what_remains
from gpucloud.hostside.life import Life, Presence
from gpucloud.hostside.machine import open_machine
from gpucloud.hostside.work import Work
from gpucloud.providers.local.folder import Record, make_folder

BORN = 1_700_000_000.0
RECORD = Record("local-0123456789ab", "d-abcdefgh", "d", 0, 1, {}, "ssh-ed25519 AAAA", "me", BORN)


def record(**changes):
    return dataclasses.replace(RECORD, **changes)


@pytest.mark.parametrize(
    ("changes", "now_s", "busy_s", "ending"),
    [
        ({}, 1e9, 0, None),
        ({"deadline_epoch_s": BORN + 100}, 99, 0, None),
        ({"deadline_epoch_s": BORN + 100}, 100, 100, Ending("deadline", "stop")),
        ({"deadline_epoch_s": BORN + 100, "at_end": "delete"}, 90_000, 0, Ending("deadline", "delete")),
        ({"idle_s": 60}, 59, 0, None),
        ({"idle_s": 60}, 60, 0, Ending("idle", "stop")),
        ({"idle_s": 60}, 100, 41, None),
        ({"idle_s": 60, "deadline_epoch_s": BORN + 10}, 100, 0, Ending("deadline", "stop")),
    ],
)
def test_what_is_due(changes, now_s, busy_s, ending):
    assert due(record(**changes), BORN + now_s, BORN + busy_s) == ending


def test_a_hold_file_counts_as_work_at_its_time():
    assert held_until(None, 5.0) == 5.0
    assert held_until(3.0, 5.0) == 5.0
    assert held_until(9.0, 5.0) == 9.0


def test_results_that_nobody_has_are_kept():
    assert what_remains(Ending("idle", "delete"), 0) == Ending("idle", "delete")
    assert what_remains(Ending("idle", "delete"), 2) == Ending("idle", "stop")


def test_notice_comes_ten_minutes_before():
    assert not notice_due(record(deadline_epoch_s=BORN + 1000), BORN + 399)
    assert notice_due(record(deadline_epoch_s=BORN + 1000), BORN + 400)
    assert not notice_due(record(), BORN + 1e9)


# a machine in this process, its clock in our hands


class Runs:
    """Verbs of a machine whose runs are what the test says."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.signals: list[str] = []
        self.stubborn = 0
        self.broken = False

    def __call__(self, verb, args, stdin, stdout, stderr, machine):
        if self.broken:
            raise OSError("disk")
        if verb == "status":
            stdout.write(b"\ngpucloud:start \n")
            for path in args["runs"]:
                stdout.write(f"{self.states.get(Path(path).name, 'exited')} - 0 - -\n".encode())
        if verb == "signal":
            self.signals.append(f"{args['signal']} {Path(args['run']).name}")
            if self.stubborn:
                self.stubborn -= 1
            else:
                self.states[Path(args["run"]).name] = "exited"
        return 0


@pytest.fixture
def stage(tmp_path):
    """A machine's life with a clock of ours."""

    def build(**changes):
        folder = make_folder(tmp_path, record(grace_s=0.15, **changes), "")
        machine = open_machine(folder, record(**changes), {})
        now, runs, presence = [BORN], Runs(), Presence(lambda: now[0])
        work = Work(machine, runs)
        life = Life(machine, work, presence, lambda: now[0])

        def at(seconds):
            now[0] = BORN + seconds
            return life.look()

        def add_run(name, state="running"):
            (machine.base / "runs" / name).mkdir()
            runs.states[name] = state

        return SimpleNamespace(
            life=life, at=at, runs=runs, presence=presence, add_run=add_run, folder=folder, base=machine.base, work=work
        )

    return build


def test_runs_and_clients_hold_idleness_off(stage):
    s = stage(idle_s=100)
    assert s.at(50) is None
    s.add_run("1")
    assert s.at(90) is None
    s.runs.states["1"] = "exited"
    s.presence.joined()
    assert s.at(150) is None
    s.presence.left()
    assert s.at(200) is None
    assert s.at(249) is None
    assert s.at(251) == Ending("idle", "stop")


def test_a_client_between_two_looks_counts(stage):
    s = stage(idle_s=100)
    s.at(90)
    s.presence.joined()
    s.presence.left()  # at 90
    assert s.at(180) is None
    assert s.at(191) == Ending("idle", "stop")


def test_what_cannot_be_told_is_busy(stage):
    s = stage(idle_s=100)
    s.add_run("1", "exited")
    s.runs.broken = True
    assert s.at(500) is None
    s.runs.broken = False
    assert s.at(601) == Ending("idle", "stop")


def test_a_hold_file_extends(stage):
    s = stage(idle_s=100)
    hold = s.base / "hold"
    hold.touch()
    os.utime(hold, (BORN + 400, BORN + 400))
    assert s.at(499) is None
    assert s.at(501) == Ending("idle", "stop")


def test_a_laptop_that_slept_past_the_deadline_ends_when_it_wakes(stage):
    s = stage(deadline_epoch_s=BORN + 3600)
    assert s.at(10) is None
    assert s.at(90_000) == Ending("deadline", "stop")


def test_extend_moves_the_deadline_and_takes_the_notice_back(stage):
    s = stage(deadline_epoch_s=BORN + 1000)
    s.at(500)
    assert (s.base / "ending-soon").read_text() == f"{BORN + 1000:.0f}\n"
    s.folder.write_record(record(deadline_epoch_s=BORN + 9000))
    assert s.at(1001) is None
    assert not (s.base / "ending-soon").exists()
    s.folder.write_record(record())
    assert s.at(1e8) is None


def test_a_lost_folder_ends_it(stage):
    s = stage()
    (s.folder.path / "machine.json").unlink()
    assert s.at(1) == Ending("folder_gone", "delete")


def test_a_record_that_is_being_rewritten_is_no_reason(stage):
    s = stage()
    (s.folder.path / "machine.json").write_text("{")
    assert s.at(1) is None


def test_runs_are_interrupted_terminated_killed(stage):
    s = stage()
    for name, state in (("1", "exited"), ("2", "running"), ("3", "setup")):
        s.add_run(name, state)
    s.runs.stubborn = 3
    s.work.end(0.1)
    assert s.runs.signals == ["INT 2", "INT 3", "TERM 2", "TERM 3", "KILL 2"]


def test_the_end_is_written_down(stage):
    s = stage(at_end="delete")
    s.add_run("1")
    s.life.end(Ending("deadline", "delete"))
    ended = json.loads((s.folder.path / "ended.json").read_text())
    assert ended == {"reason": "deadline", "action": "stop", "ended_epoch_s": BORN}  # outputs were not pulled
    assert s.runs.signals == ["INT 1"]
    (s.base / "runs" / "1" / "pulled").touch()
    s.life.end(Ending("deadline", "delete"))
    assert not s.folder.path.exists()


def test_stop_is_seen_at_once(stage):
    s = stage()
    threading.Timer(0.05, s.life.ask_to_stop).start()
    assert s.life.watch() == Ending("stop", "stop")


def test_more_answers_than_runs_is_an_error(stage):
    s = stage()
    s.add_run("1")
    s.work._serve_verb = lambda verb, args, i, out, e, m: out.write(b"running\nrunning\n") * 0
    with pytest.raises(RuntimeError):
        s.work.running()


POWER = re.compile(
    r"poweroff|\bhalt\b|\breboot\b|sysrq|systemctl|\binit 0\b|\btelinit\b|(?<!\.)(?<!_)\bshutdown\b(?!\()|suspend-",
    re.IGNORECASE,
)


def test_no_power_command_anywhere_on_the_local_side():
    root = Path(__file__).parents[2] / "gpucloud"
    sources = [*(root / "hostside").rglob("*.py"), *(root / "providers" / "local").rglob("*.py")]
    assert len(sources) > 10
    found = [f"{p.name}: {m[0]}" for p in sources for m in POWER.finditer(p.read_text())]
    assert found == []
    for word in (
        "poweroff -f",
        "/sbin/shutdown -h now",
        "sudo reboot",
        "echo o >/proc/sysrq-trigger",
        "systemctl stop",
    ):
        assert POWER.search(word)
