"""The run verbs in Python: start a supervisor, follow a log, signal a job, tell how runs stand."""

from __future__ import annotations

import contextlib
import fcntl
import json
import marshal
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from gpucloud.hostside.verbs import Call, Refused

SUPERVISOR = Path(__file__).with_name("supervise.py")
PIECE = 1 << 18
FAST_LOOK_S, SLOW_LOOK_S, SLOW_AFTER_S = 0.003, 0.008, 30.0
ALIVE_LOOK_S = 0.5
START_WAIT_S, SIGNAL_WAIT_S = 5.0, 1.0
MARKER = "GPUCLOUD_MACHINE"  # in the environment of everything a machine starts, so that its end finds them


def start(call: Call) -> None:
    """Begin a run; mkdir of its folder is the lock, so a repeated start leaves it alone."""
    try:
        job = json.loads(call.read_all().decode("utf-8", "surrogateescape"))
    except ValueError:
        raise Refused("the job was cut") from None
    call.begin()
    run, work = call.path(call.arguments["run"]), call.path(call.arguments["work"])
    run.parent.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    try:
        run.mkdir(mode=0o700)
    except FileExistsError:
        _await(lambda: (run / "sup").exists(), START_WAIT_S)
    else:
        _start_supervisor(call, run, work, job)
    call.say(b"ok\n")


def _start_supervisor(call: Call, run: Path, work: Path, job: dict[str, object]) -> None:
    own = {**call.machine.environment, MARKER: call.machine.id, "HOME": os.fspath(call.machine.home)}
    given = job["environment"]
    assert isinstance(given, dict)
    job["environment"] = {**own, "PWD": os.fspath(work), **given, MARKER: call.machine.id}
    job["stamp"] = os.fspath(call.path(str(job["stamp"])))
    job |= {"work": os.fspath(work), "tty": call.arguments["tty"], "cap": call.arguments["cap"]}
    (run / "log").touch(mode=0o600)
    (run / "cap").write_text(f"{job['cap']}\n")
    (run / "started").write_text(f"{time.time():.3f}\n")
    words = [sys.executable, "-I", "-S", os.fspath(SUPERVISOR), os.fspath(run)]
    child = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=own, cwd="/", start_new_session=True
    )
    said, _ = child.communicate(marshal.dumps(job), timeout=60)
    if said != b"ready\n":
        shutil.rmtree(run, ignore_errors=True)
        raise Refused("the supervisor did not start")


def _await(ready: object, wait_s: float) -> bool:
    assert callable(ready)
    end = time.monotonic() + wait_s
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def alive(run: Path) -> bool:
    """Whether the run's supervisor lives: it holds a lock that the system takes away with it."""
    try:
        descriptor = os.open(run / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def first(path: Path) -> str:
    """The first word of a small file, `-` where there is none."""
    with contextlib.suppress(OSError):
        words = path.read_text().split()
        return words[0] if words else "-"
    return "-"


def tell(run: Path) -> str:
    """The status line of a run."""
    living = not (run / "exit").exists() and alive(run)
    state, code = "lost" if run.is_dir() else "none", "-"
    if (run / "exit").exists():
        state, code = "exited", first(run / "exit")
        if (run / "setup").exists():
            state = "setup-failed"
    elif living:
        state = "setup" if (run / "setup").exists() else "running"
    size = (run / "log").stat().st_size if (run / "log").exists() else 0
    full = "full" if (run / "full").exists() else "-"
    times = f"{first(run / 'started')} {first(run / 'ended')} {time.time():.3f}"
    return f"{state} {code} {size} {times} {full} {first(run / 'others')}"


def status(call: Call) -> None:
    """One status line per run."""
    call.begin()
    call.say("".join(tell(call.path(run)) + "\n" for run in call.arguments["runs"]).encode())


def signal_run(call: Call) -> None:
    """Send a signal to the job's process group."""
    call.begin()
    run = call.path(call.arguments["run"])
    number = getattr(signal, f"SIG{call.arguments['signal']}", None)
    if number is None:
        raise Refused(f"unknown signal {call.arguments['signal']}")
    _await(lambda: (run / "pid").exists() or not alive(run), SIGNAL_WAIT_S)
    pid = first(run / "pid")
    if not pid.isdigit() or (run / "exit").exists() or not alive(run):
        call.say(b"gone\n")
        return
    if call.arguments.get("others") and not (run / "others").exists():
        (run / "others").write_text(f"{time.time():.3f}\n")
    try:
        os.killpg(int(pid), number)
    except ProcessLookupError:
        call.say(b"gone\n")
    else:
        call.say(b"ok\n")


def limit(run: Path) -> int:
    """How many bytes of the log count for good; 0 when it has no cap."""
    capped = first(run / "capped")
    word = capped if capped != "-" else first(run / "cap")
    return int(word) if word.isdigit() else 0


def follow(call: Call) -> None:
    """The log from `offset` on, until the run has ended or (without `wait`) as far as it is."""
    run, offset = call.path(call.arguments["run"]), int(call.arguments["offset"])
    if not run.is_dir():
        call.begin(limit=0)
        call.complain("gpucloud-status none - 0 - -")
        return
    most = limit(run)
    call.begin(limit=most)
    line = tell(run)
    log = os.open(run / "log", os.O_RDONLY)
    try:
        offset = _send_log(call, log, offset, most)
        if call.arguments["wait"] and not _ended(line):
            offset = _follow_on(call, run, log, offset, most)
            line = tell(run)
    finally:
        os.close(log)
    if limit(run) == most or offset < most:
        call.complain(f"gpucloud-status {line}")


def _ended(line: str) -> bool:
    return line.split()[0] in ("exited", "setup-failed", "lost", "none")


def _send_log(call: Call, log: int, offset: int, most: int) -> int:
    """What is in the log from `offset` on, up to `most`; returns the new offset."""
    while True:
        size = PIECE if not most else min(PIECE, most - offset)
        data = os.pread(log, size, offset) if size > 0 else b""
        if not data:
            return offset
        call.say(data)
        offset += len(data)


def _follow_on(call: Call, run: Path, log: int, offset: int, most: int) -> int:
    """Send what comes until the supervisor has ended. Returns early when the cap was reached and marked."""
    exit_file = os.fspath(run / "exit")
    moved_at = looked_at = time.monotonic()
    while True:
        ended = os.path.exists(exit_file)  # before the log is read: what is there then is all
        before, offset = offset, _send_log(call, log, offset, most)
        now = time.monotonic()
        if ended:
            return offset
        if offset != before:
            moved_at = now
        if now - looked_at > ALIVE_LOOK_S:
            looked_at = now
            if call.machine.gone.is_set():
                return offset
            if not alive(run) and not os.path.exists(exit_file):
                return _send_log(call, log, offset, most)
            if most and offset >= most and limit(run) != most:
                return offset
        time.sleep(FAST_LOOK_S if now - moved_at < SLOW_AFTER_S else SLOW_LOOK_S)
