"""Runs on machines of both dialects: exact exit codes, logs exactly once, signals, set-up, secrets, lost machines."""

from __future__ import annotations

import os
import re
import shutil
import signal as signals
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gpucloud.core.errors import SyncError, Unreachable, UsageError
from gpucloud.core.wire import Secret
from gpucloud.remote.runs import RunSpec, follow, job_text, signal, start, status

BASE = "gpucloud/test-aaaaaaaa"
WAITING = """
import time
try: print('up'); time.sleep(30)
except KeyboardInterrupt: print('down'); raise SystemExit(5)
"""


def spec_of(command, number: int = 1, **more) -> RunSpec:
    return RunSpec(f"{BASE}/runs/{number}", f"{BASE}/work", command, **more)


def finished(machine, spec: RunSpec):
    """(log, end) of a run from its start."""
    start(machine, spec)
    return followed(machine, spec)


def followed(machine, spec: RunSpec, offset: int = 0):
    parts = []
    end = follow(lambda: machine, spec.run_dir, offset, parts.append)
    return b"".join(parts), end


def until(true, wait_s: float = 10.0) -> None:
    end = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.01)


def words(text: str) -> tuple[str, ...]:
    return (sys.executable, "-u", "-c", text)


def test_output_exit_code_folder_and_times(machine):
    before = time.time()
    log, end = finished(machine, spec_of("echo out; echo err >&2; pwd -P; exit 7"))
    assert log.decode().splitlines() == ["out", "err", str((machine.home / BASE / "work").resolve())]
    assert (end.state, end.exit_code, end.log_bytes) == ("exited", 7, len(log))
    assert before - 1 <= end.started_epoch_s <= end.ended_epoch_s <= time.time() + 1


@pytest.mark.parametrize(("name", "code"), [("KILL", 137), ("TERM", 143), ("SEGV", 139)])
def test_a_killed_job_has_128_plus_the_signal(machine, name, code):
    assert finished(machine, spec_of(f"kill -{name} $$"))[1].exit_code == code
    assert finished(machine, spec_of(("sh", "-c", f"kill -{name} $$"), 2))[1].exit_code == code


def test_words_keep_their_blanks_and_text_is_shell(machine):
    assert finished(machine, spec_of(("printf", "%s|", "a  b", "$HOME", "it's", "\n")))[0] == b"a  b|$HOME|it's|\n|"
    assert finished(machine, spec_of("printf '%s|' a  b | tr a-z A-Z", 2))[0] == b"A|B|"
    assert finished(machine, spec_of("for i in 1 2; do echo $i; done", 3, launcher=()))[0] == b"1\n2\n"
    assert finished(machine, spec_of(("b",), 4, launcher=("printf", "%s-", "a")))[0] == b"a-b-"


def test_a_command_that_does_not_exist(machine):
    log, end = finished(machine, spec_of(("no-such-program",)))
    assert end.exit_code == 127
    assert b"no-such-program" in log


def test_environment_and_secrets_arrive_and_show_nowhere(machine):
    value = "se'cr\"et\\n $x `y` !\nline two \t\u00e9"
    show = words("import os, time; print(repr((os.environ['TOKEN'], os.environ['PLAIN']))); time.sleep(0.5)")
    spec = spec_of(show, env={"PLAIN": "a b"}, secrets={"TOKEN": Secret(value)})
    assert "line two" not in repr(spec)
    start(machine, spec)
    run = machine.home / spec.run_dir
    until(lambda: (run / "log").stat().st_size > 0)
    listed = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
    assert "line two" not in listed
    for path in run.iterdir():
        if path.is_file() and path.name != "log":
            assert b"line two" not in path.read_bytes()
    assert followed(machine, spec)[0].decode().strip() == repr((value, "a b"))


def test_a_name_that_is_no_variable(machine):
    with pytest.raises(UsageError, match="A-B"):
        start(machine, spec_of("true", env={"A-B": "x"}))


def test_starting_twice_runs_once(machine):
    spec = spec_of("echo once; sleep 0.3")
    threads = [threading.Thread(target=start, args=(machine, spec)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert followed(machine, spec)[0] == b"once\n"
    start(machine, spec)
    assert followed(machine, spec)[0] == b"once\n"


def test_a_log_line_is_seen_while_the_job_runs(machine):
    spec = spec_of(words("import time\nprint('first')\ntime.sleep(0.4)\nprint(time.time())\ntime.sleep(0.3)"))
    seen = []
    start(machine, spec)
    follow(lambda: machine, spec.run_dir, 0, lambda data: seen.append((time.time(), data)))
    printed = float(b"".join(data for _, data in seen).split()[1])
    assert seen[0][1].startswith(b"first")
    assert seen[-1][0] - printed < 0.25  # the job still sleeps then


class Dropping:
    """A machine whose connections die after some bytes, each time with an Unreachable in the middle of a read."""

    def __init__(self, machine, after: int) -> None:
        self.machine, self.after, self.lost = machine, after, 0
        self.dialect, self.base_dir = machine.dialect, machine.base_dir

    def run(self, command: str, *, tty: bool = False):
        process = self.machine.run(command, tty=tty)
        left, read = self.after, process.read

        def cut(size: int) -> bytes:
            nonlocal left
            if left <= 0:
                self.lost += 1
                raise Unreachable("the cable")
            data = read(min(size, left))
            left -= len(data)
            return data

        process.read = cut
        return process

    def close(self) -> None:
        pass


def test_each_byte_once_and_in_order_over_lost_connections(machine):
    text = "import sys\nfor i in range(60000): print(i, 'x' * 20)\nsys.exit(9)"
    spec = spec_of(words(text))
    dropping = Dropping(machine, 400_000)
    start(machine, spec)
    parts, told = [], []
    end = follow(lambda: dropping, spec.run_dir, 0, parts.append, on_lost=told.append)
    assert b"".join(parts) == b"".join(b"%d %s\n" % (i, b"x" * 20) for i in range(60000))
    assert end.exit_code == 9
    assert len(told) == dropping.lost >= 3


def test_patience_ends(machine):
    def connect():
        raise Unreachable("no route")

    with pytest.raises(Unreachable, match="no route"):
        follow(connect, "x", 0, lambda _: None, patience_s=0.2)


def test_two_clients_at_once_and_one_from_the_middle(machine):
    spec = spec_of(words("import time\nfor i in range(20): print(i); time.sleep(0.02)"))
    start(machine, spec)
    until(lambda: (machine.home / spec.run_dir / "log").stat().st_size >= 7)
    logs: dict[int, bytes] = {}
    threads = [
        threading.Thread(target=lambda at=at: logs.update({at: followed(machine, spec, at)[0]})) for at in (0, 1, 7)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = b"".join(b"%d\n" % i for i in range(20))
    assert logs == {0: whole, 1: whole[1:], 7: whole[7:]}


def test_what_is_there_now_without_waiting(machine):
    spec = spec_of("echo now; exec sleep 30")
    start(machine, spec)
    until(lambda: (machine.home / spec.run_dir / "log").stat().st_size == 4)
    parts = []
    assert follow(lambda: machine, spec.run_dir, 0, parts.append, wait=False).state == "running"
    assert parts == [b"now\n"]
    assert signal(machine, spec.run_dir, "KILL")
    followed(machine, spec)


def test_interrupt_reaches_the_job_as_keyboard_interrupt(machine):
    spec = spec_of(words(WAITING))
    start(machine, spec)
    until(lambda: (machine.home / spec.run_dir / "log").stat().st_size > 0)
    assert signal(machine, spec.run_dir, "INT")
    log, end = followed(machine, spec)
    assert (log, end.exit_code) == (b"up\ndown\n", 5)
    assert not signal(machine, spec.run_dir, "INT")
    assert not signal(machine, f"{BASE}/runs/none", "INT")


def test_signals_reach_children_too_and_the_code_is_kept(machine):
    spec = spec_of("trap '' INT TERM; echo up; sleep 33.25 & sleep 33.25")
    start(machine, spec)
    until(lambda: (machine.home / spec.run_dir / "log").stat().st_size > 0)
    assert signal(machine, spec.run_dir, "TERM")
    assert status(machine, [spec.run_dir])[spec.run_dir].state == "running"
    assert signal(machine, spec.run_dir, "KILL")
    assert followed(machine, spec)[1].exit_code == 137
    until(lambda: not subprocess.run(["pgrep", "-f", "sleep 33.25"], capture_output=True).stdout)


def test_set_up_runs_once_per_key_and_says_when_it_fails(machine):
    set_up = {"setup": "echo preparing >&2\necho $KEY >made", "setup_key": "k1", "env": {"KEY": "v"}}
    assert finished(machine, spec_of("cat made", 1, **set_up))[0] == b"preparing\nv\n"
    assert finished(machine, spec_of("cat made", 2, **set_up))[0] == b"v\n"
    log, end = finished(machine, spec_of("echo no", 3, setup="false\necho no", setup_key="k2"))
    assert (end.state, end.exit_code, end.setup_failed) == ("exited", 1, True)
    assert b"set-up failed with exit code 1" in log and b"\nno\n" not in log
    assert finished(machine, spec_of("echo yes", 4, setup="true", setup_key="k2"))[1].setup_failed is False
    with pytest.raises(UsageError):
        start(machine, spec_of("true", 5, setup="true"))


def test_two_runs_share_one_set_up(machine):
    set_up = {"setup": "sleep 0.4; echo x >>count", "setup_key": "k"}
    for number in (1, 2):
        start(machine, spec_of("cat count", number, **set_up))
    states = status(machine, [f"{BASE}/runs/1"])
    assert states[f"{BASE}/runs/1"].state == "setup"
    assert [followed(machine, spec_of("", number))[0] for number in (1, 2)] == [b"x\n", b"x\n"]


def test_a_terminal_when_asked_for(machine):
    text = "import sys, os; print(sys.stdout.isatty(), os.get_terminal_size().columns); sys.exit(4)"
    log, end = finished(machine, spec_of(words(text), tty=True, env={"COLUMNS": "123", "LINES": "40"}))
    assert (log, end.exit_code) == (b"True 123\r\n", 4)
    assert (
        finished(machine, spec_of(words(text.replace("os.get", "0 and os.get").replace(".columns", "")), 2))[0][:5]
        == b"False"
    )


def test_interrupt_on_a_terminal(machine):
    spec = spec_of(words(WAITING), tty=True)
    start(machine, spec)
    until(lambda: (machine.home / spec.run_dir / "log").stat().st_size > 0)
    assert signal(machine, spec.run_dir, "INT")
    assert followed(machine, spec)[1].exit_code == 5


def test_the_log_has_a_cap_and_the_job_goes_on(machine):
    """What is beyond the cap is cut, and the last of it stands behind a line that says how much is missing."""
    text = "import time\nfor i in range(40):\n print('%09d' % i * 100)\n time.sleep(0.05)\nraise SystemExit(3)"
    spec = spec_of(words(text), log_cap_bytes=2000)
    log, end = finished(machine, spec)
    whole = "".join(f"{i:09d}" * 100 + "\n" for i in range(40)).encode()
    assert log[:2000] == whole[:2000] and b"reached its cap of 2000 bytes" in log[2000:2100]
    assert log[-901:] == whole[-901:]
    told = re.search(rb"\n\[gpucloud: (\d+) bytes are left out here\]\n", log)
    assert told and len(log) - told.end() == 2000
    assert 0 <= len(whole) - 4000 - int(told[1]) <= 901 * 10  # a line printed while it is cut goes uncounted
    assert end.exit_code == 3
    assert (machine.home / spec.run_dir / "log").stat().st_size == len(log) == end.log_bytes
    assert followed(machine, spec, 1990)[0] == log[1990:]


def test_a_lost_supervisor_is_lost(machine):
    spec = spec_of("exec sleep 30")
    start(machine, spec)
    run = machine.home / spec.run_dir
    until(lambda: (run / "pid").exists())
    os.kill(int((run / "sup").read_text().split()[0]), signals.SIGKILL)
    log, end = followed(machine, spec)
    assert (log, end.state, end.exit_code) == (b"", "lost", None)
    os.killpg(int((run / "pid").read_text()), signals.SIGKILL)


def test_a_reboot_is_lost(sh_machine):
    spec = spec_of("exec sleep 30")
    start(sh_machine, spec)
    run = sh_machine.home / spec.run_dir
    until(lambda: (run / "pid").exists())
    (run / "boot").write_text("another boot\n")
    assert status(sh_machine, [spec.run_dir])[spec.run_dir].state == "lost"
    assert followed(sh_machine, spec)[1].state == "lost"
    os.killpg(int((run / "pid").read_text()), signals.SIGKILL)


def test_several_runs_and_unknown_ones(machine):
    for number in (1, 2):
        start(machine, spec_of(f"exit {number}", number))
    for number in (1, 2):
        followed(machine, spec_of("", number))
    found = status(machine, [f"{BASE}/runs/{number}" for number in (2, 1, 3)])
    assert [(one.state, one.exit_code) for one in found.values()] == [("exited", 2), ("exited", 1), ("none", None)]
    assert follow(lambda: machine, f"{BASE}/runs/3", 0, lambda _: None).state == "none"
    assert status(machine, []) == {}


def test_a_job_that_was_cut_is_not_started(machine):
    class Cutting:
        dialect, base_dir = machine.dialect, machine.base_dir

        def run(self, command, *, tty=False):
            process = machine.run(command, tty=tty)
            write = process.write
            process.write = lambda data: write(data[: len(data) // 2])
            return process

    with pytest.raises(SyncError):
        start(Cutting(), spec_of("touch started"))
    assert not (machine.home / BASE / "runs" / "1").exists()


@pytest.mark.parametrize("shell", ["fish", "tcsh", "bash", "sh", "zsh"])
def test_login_shells(sh_machine, shell):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    sh_machine.shell = (path, "-c")
    sh_machine.environment["SHELL"] = path
    (sh_machine.home / ".profile").write_text("echo noise\nexport FROM_PROFILE=yes\n")
    log, end = finished(sh_machine, spec_of("echo $FROM_PROFILE $SHELL; exit 3"))
    expected = b"yes" if shell != "zsh" else b""
    assert (log.split(), end.exit_code) == ([*([expected] if expected else []), path.encode()], 3)


@pytest.mark.parametrize("lacking", ["setsid", "setsid python3"])
def test_without_setsid(sh_machine, tmp_path, lacking):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in "sh cat mkdir rm rmdir mv ls wc tail head date sleep mkfifo kill dd perl python3 setsid".split():
        found = sys.executable if name == "python3" else shutil.which(name)
        if name not in lacking.split() and found:
            os.symlink(os.path.realpath(found), programs / name)
    sh_machine.environment["PATH"] = str(programs)
    spec = spec_of(
        (
            sys.executable,
            "-c",
            "import os, signal\n"
            "print(os.getpgrp() == os.getpid(), signal.getsignal(2), flush=True); os.kill(os.getpid(), 9)",
        )
    )
    log, end = finished(sh_machine, spec)
    assert end.exit_code == 137
    assert log.startswith(b"True <built-in function default_int_handler>")


def test_tail_without_pid_option(sh_machine, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "tail").write_text(
        '#!/bin/sh\ncase $1 in --*) echo "tail: unknown"; exit 1;; esac\nexec /usr/bin/tail "$@"\n'
    )
    (programs / "tail").chmod(0o755)
    sh_machine.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    log, end = finished(sh_machine, spec_of("for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; exit 6"))
    assert (log, end.exit_code) == (b"1\n2\n3\n4\n5\n", 6)


def test_the_machine_needs_no_programs(embedded_machine, tmp_path):
    embedded_machine.environment = {"PATH": str(tmp_path)}
    spec = spec_of((sys.executable, "-c", "print('ran')"), setup="x=1", setup_key="k")
    log, end = finished(embedded_machine, spec)
    assert (log, end.exit_code) == (b"ran\n", 0)


def test_secrets_are_in_the_text_of_the_job_only():
    assert "export S='hush'" in job_text(spec_of("true", secrets={"S": Secret("hush")}))
    assert str(Secret("hush")) == "*****" and "hush" not in f"{Secret('hush')!r}"


@pytest.fixture(autouse=True)
def nothing_left(tmp_path):
    """Whatever a test starts has ended with it."""
    yield
    until(lambda: not supervisors(tmp_path), 3)


def supervisors(home: Path) -> list[int]:
    listed = subprocess.run(["pgrep", "-f", f"(gpucloud-run|supervise.py) {home}"], capture_output=True, text=True)
    return [int(word) for word in listed.stdout.split()]
