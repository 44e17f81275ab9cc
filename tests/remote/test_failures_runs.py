"""Runs on real OpenSSH servers when things go wrong: the exit code, the log and the secrets stay what they are."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import signal as signals
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gpucloud.core.errors import SyncError, Unreachable
from gpucloud.core.wire import Secret
from gpucloud.remote.runs import RunSpec, follow, signal, start, status
from tests.machines import alive, until
from tests.remote.test_failures_files import COMMON, SHELLS, small_disk  # noqa: F401 (a fixture)
from tests.sshd import needs_sshd, openssh_server

pytestmark = needs_sshd
BASE = "gpucloud/test-aaaaaaaa"


@pytest.fixture
def host(tmp_path):
    with openssh_server(tmp_path / "host") as server:
        yield server
        until(lambda: not supervisors(server.home))


def supervisors(home: Path) -> list[str]:
    listed = subprocess.run(["pgrep", "-f", f"gpucloud-run {home}"], capture_output=True, text=True)
    return listed.stdout.split()


def spec_of(command, number=1, **more) -> RunSpec:
    return RunSpec(f"{BASE}/runs/{number}", f"{BASE}/work", command, **more)


def followed(server, spec, offset=0):
    parts: list[bytes] = []
    end = follow(server.connect, spec.run_dir, offset, parts.append)
    return b"".join(parts), end


def finished(server, spec):
    start(server.connect(), spec)
    return followed(server, spec)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 0", 0),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -SEGV $$", 139),
        ("no-such-program", 127),
        ("./log", 126),
    ],
)
def test_exit_codes_are_exact(host, command, code):
    (host.home / BASE / "work").mkdir(parents=True)
    (host.home / BASE / "work" / "log").write_text("not a program")
    assert finished(host, spec_of(command))[1].exit_code == code


CLIENT = """
import pickle, sys
from gpucloud.remote.connection import connect
from gpucloud.remote.runs import follow
endpoint, run, offset = pickle.loads(sys.stdin.buffer.read())
def sink(data):
    sys.stdout.buffer.write(data); sys.stdout.buffer.flush()
follow(lambda: connect(endpoint), run, offset, sink)
"""


PACED = """
import pathlib, sys, time
gates = {14000: 'followed', 18000: 'cut-1', 24000: 'cut-2'}
for i in range(30000):
    print(i, 'x' * 20, flush=i % 300 == 0)
    if i % 300 == 0:
        time.sleep(0.02)
    if i in gates:
        sys.stdout.flush()
        while not pathlib.Path(sys.argv[1], gates[i]).exists():
            time.sleep(0.02)
raise SystemExit(9)
"""


def test_each_byte_once_over_killed_clients_and_killed_servers(host, tmp_path):
    """Two clients are killed and two connections cut while lines come; what was written is the log, byte by byte."""
    spec = spec_of((sys.executable, "-c", PACED, str(tmp_path)))
    start(host.connect(), spec)
    written = tmp_path / "written"
    written.touch()
    for size in (60_000, 200_000):
        with written.open("ab") as sink:
            client = subprocess.Popen([sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=sink)
            client.stdin.write(pickle.dumps((host.endpoint, spec.run_dir, written.stat().st_size)))
            client.stdin.close()
            until(lambda size=size: written.stat().st_size > size)
            client.kill()
            client.wait()
    lines = [b"%d %s\n" % (i, b"x" * 20) for i in range(30000)]
    offset, cuts = written.stat().st_size, [len(b"".join(lines[:end])) for end in (18001, 24001)]
    lost = []

    def on_lost(error):
        lost.append(error)
        (tmp_path / f"cut-{len(lost)}").touch()

    with written.open("ab") as file:

        def sink(data: bytes) -> None:
            file.write(data)
            if cuts and file.tell() >= cuts[0]:
                cuts.pop(0)
                host.cut()

        (tmp_path / "followed").touch()
        end = follow(host.connect, spec.run_dir, offset, sink, on_lost=on_lost)
    assert hashlib.sha256(written.read_bytes()).hexdigest() == hashlib.sha256(b"".join(lines)).hexdigest()
    assert end.exit_code == 9 and len(lost) >= 2 and all("lost" in error.message for error in lost)


def test_several_clients_follow_several_runs_at_once(host):
    runs = [spec_of(f"for i in 1 2 3 4 5 6 7 8; do echo {n}-$i; sleep 0.05; done; exit {n}", n) for n in (1, 2, 3)]
    connection = host.connect()
    for spec in runs:
        start(connection, spec)
    seen: dict[tuple[int, int], tuple[bytes, int | None]] = {}

    def client(number: int, n: int) -> None:
        log, end = followed(host, runs[n - 1], offset=number)
        seen[number, n] = log, end.exit_code

    threads = [threading.Thread(target=client, args=(number, n)) for number in (0, 5) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (number, n), (log, code) in seen.items():
        assert log == b"".join(b"%d-%d\n" % (n, i) for i in range(1, 9))[number:] and code == n
    assert len(seen) == 6


def test_a_job_never_waits_for_a_client_that_does_not_read(host):
    spec = spec_of((sys.executable, "-c", "print('y' * 49 + '\\n', end='')\nfor i in range(399999): print('x' * 49)"))
    start(host.connect(), spec)
    met, held = threading.Event(), threading.Event()
    parts: list[bytes] = []

    def slow(data: bytes) -> None:
        met.set()
        assert held.wait(20)
        parts.append(data)

    ends: list = []
    reader = threading.Thread(target=lambda: ends.append(follow(host.connect, spec.run_dir, 0, slow)))
    reader.start()
    assert met.wait(10)
    other = host.connect()
    until(lambda: status(other, [spec.run_dir])[spec.run_dir].state == "exited")  # while the reader reads nothing
    assert parts == []
    held.set()
    reader.join()
    assert len(b"".join(parts)) == 20_000_000 and ends[0].exit_code == 0


BUSY = """
import time
end = time.monotonic() + 2
while time.monotonic() < end:
    print('x' * 999)
    time.sleep(1e-5)
raise SystemExit(4)
"""


def test_the_log_meets_its_cap_promptly(host):
    """A job that writes as fast as it can for two seconds: the file never grows far beyond, and the job goes on."""
    cap, most = 2_000_000, 0
    spec = spec_of((sys.executable, "-c", BUSY), log_cap_bytes=cap)
    start(host.connect(), spec)
    log = host.home / spec.run_dir / "log"
    while not (host.home / spec.run_dir / "exit").exists():
        most = max(most, log.stat().st_size)
        time.sleep(0.01)
    text, end = followed(host, spec)
    assert end.exit_code == 4 and text[:cap] == (b"x" * 999 + b"\n") * (cap // 1000)
    assert b"has reached its cap" in text[cap:] and len(text) < cap + 66_000 and log.stat().st_size == len(text)
    written_per_s = 2e7  # what such a loop prints at most, measured 10 to 20 MB/s
    assert most < cap + 1.5 * written_per_s


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_fills_up_during_a_run_costs_neither_exit_code_nor_honesty(tmp_path):
    with openssh_server(tmp_path / "host") as server:
        spec = spec_of("echo begun; head -c 3000000 /dev/zero | tr '\\0' x; exit 5")
        log, end = finished(server, spec)
        assert end.exit_code == 5 and end.disk_full and log.startswith(b"begun\nxxx") and len(log) < 1_048_576
        assert status(server.connect(), [spec.run_dir])[spec.run_dir].disk_full
        shutil.rmtree(server.home / BASE / "runs")
        assert not finished(server, spec_of("exit 6"))[1].disk_full


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_is_full_before_a_run_is_said(tmp_path):
    with openssh_server(tmp_path / "host") as server:
        with (server.home / "filler").open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(4096))
        with pytest.raises(SyncError, match="disk is full") as caught:
            start(server.connect(), spec_of("true"))
        assert caught.value.exit_code == 7 and caught.value.hint
        (server.home / "filler").unlink()
        assert finished(server, spec_of("exit 3"))[1].exit_code == 3


def test_a_home_where_we_may_not_write_is_said(tmp_path):
    with openssh_server(tmp_path / "host", shell=COMMON) as server:
        server.home.chmod(0o555)
        with pytest.raises(SyncError, match="does not permit it") as caught:
            start(server.connect(), spec_of("true"))
        assert caught.value.hint
        server.home.chmod(0o755)


@pytest.mark.parametrize("hours", [-5, 7])
def test_a_host_whose_clock_is_hours_off_tells_times_by_ours(tmp_path, hours):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "date").write_text(f'#!/bin/sh\nexec /bin/date -d "{hours} hours" "$@"\n')
    (programs / "date").chmod(0o755)
    with openssh_server(tmp_path / "host", shell=f'PATH="{programs}:$PATH"; export PATH; exec /bin/sh -c') as server:
        begun = time.time()
        _, end = finished(server, spec_of("sleep 1.2"))
        raw = int((server.home / BASE / "runs/1/started").read_text())
    assert abs(raw - begun) > 3600
    assert begun - 2 <= end.started_epoch_s <= end.ended_epoch_s <= time.time() + 2
    assert 0 <= end.ended_epoch_s - end.started_epoch_s <= 4


def test_another_boot_is_lost_and_so_is_a_killed_supervisor(host):
    for number in (1, 2):
        start(host.connect(), spec_of("echo up; exec sleep 30", number))
    first, second = (host.home / BASE / "runs" / number for number in "12")
    until(lambda: (first / "pid").exists() and (second / "pid").exists())
    ends: dict[str, tuple[bytes, object]] = {}
    reader = threading.Thread(target=lambda: ends.update(second=followed(host, spec_of("", 2))))
    reader.start()
    (first / "boot").write_text("another boot\n")
    assert followed(host, spec_of("", 1))[1].state == "lost"
    os.kill(int((second / "sup").read_text()), signals.SIGKILL)
    reader.join(10)
    log, end = ends["second"]
    assert (log, end.state, end.exit_code) == (b"up\n", "lost", None)
    for run in (first, second):
        os.killpg(int((run / "pid").read_text()), signals.SIGKILL)


def test_secrets_show_nowhere(host, tmp_path):
    """Every process list, every environment but the job's own, every file on the machine."""
    secret = "hush-9f8e7d6c5b4a"
    code = (
        "import os, time\nprint(len(os.environ['TOKEN']), flush=True)\nwhile not os.path.exists('go'): time.sleep(0.02)"
    )
    for number, tty in ((1, False), (2, True)):
        spec = spec_of(
            (sys.executable, "-c", code),
            number,
            secrets={"TOKEN": Secret(secret)},
            setup='test "$TOKEN" && echo prepared',
            setup_key=f"k{number}",
            tty=tty,
        )
        start(host.connect(), spec)
        run = host.home / spec.run_dir
        until(lambda run=run: b"17" in (run / "log").read_bytes())
        group = int((run / "pid").read_text())
        shown = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True).stdout
        assert secret not in shown and str(group) in shown
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes()
                ours = os.getpgid(int(process.name)) == group
            except OSError:
                continue
            assert ours or secret.encode() not in environment, (process / "cmdline").read_bytes()
        (host.home / BASE / "work" / "go").touch()
        log, end = followed(host, spec)
        assert end.exit_code == 0 and b"prepared" in log
        (host.home / BASE / "work" / "go").unlink()
    found = subprocess.run(["grep", "-r", "-l", secret, str(tmp_path)], capture_output=True, text=True).stdout
    assert found == ""


@pytest.mark.parametrize("without", ["", "script", "script python3"])
def test_a_terminal_with_and_without_util_linux(tmp_path, without):
    programs = tmp_path / "programs"
    programs.mkdir()
    needed = "sh bash cat mkdir rm mv ls wc tail head date sleep mkfifo kill dd setsid stty script python3 tr"
    for name in needed.split():
        found = sys.executable if name == "python3" else shutil.which(name)
        if found and name not in without.split():
            os.symlink(os.path.realpath(found), programs / name)
    code = "import sys, os; print(sys.stdout.isatty(), os.get_terminal_size().columns); sys.exit(4)"
    spec = spec_of((sys.executable, "-c", code), tty=True, env={"COLUMNS": "123", "LINES": "40"})
    with openssh_server(tmp_path / "host", shell=f'PATH="{programs}"; export PATH; exec /bin/sh -c') as server:
        if without == "script python3":
            with pytest.raises(SyncError, match="cannot give a terminal") as caught:
                start(server.connect(), spec)
            assert "--tty" in caught.value.hint
            return
        assert finished(server, spec)[1].exit_code == 4
        assert (server.home / spec.run_dir / "log").read_bytes() == b"True 123\r\n"
        waiting = (
            "import time\nprint('up', flush=True)\ntry: time.sleep(30)\nexcept KeyboardInterrupt: raise SystemExit(5)"
        )
        spec = spec_of((sys.executable, "-c", waiting), 2, tty=True)
        start(server.connect(), spec)
        until(lambda: (server.home / spec.run_dir / "log").read_bytes().startswith(b"up"))
        assert signal(server.connect(), spec.run_dir, "INT")
        assert followed(server, spec)[1].exit_code == 5
        assert finished(server, spec_of("kill -9 $$", 3, tty=True))[1].exit_code == 137


@pytest.mark.parametrize("shell", [*SHELLS, "noisy"])
def test_login_shells_of_every_kind(tmp_path, shell):
    path = shutil.which("sh" if shell == "noisy" else shell)
    if path is None:
        pytest.skip(f"{shell} is not installed (apt-get install {shell})")
    begin = f"exec {path} sh -c" if shell == "busybox" else f"SHELL={path}; export SHELL; exec {path} -c"
    if shell == "noisy":
        begin = f"echo welcome; echo oh >&2; {begin}"
    with openssh_server(tmp_path / "host", shell=begin) as server:
        (server.home / ".profile").write_text("echo noise; echo more >&2\nexport FROM_PROFILE=yes\n")
        log, end = finished(server, spec_of("echo it is $FROM_PROFILE; exit 3", env={"FROM_US": "a b'c"}))
        assert end.exit_code == 3
        assert log == (b"it is\n" if shell == "zsh" else b"it is yes\n")  # zsh reads files of its own


def test_the_ladder_of_signals_ends_the_stubborn(host):
    spec = spec_of("trap '' INT TERM; echo up; while :; do sleep 0.05; done")
    start(host.connect(), spec)
    run = host.home / spec.run_dir
    until(lambda: (run / "log").read_bytes() == b"up\n")
    job = int((run / "pid").read_text())
    for name in ("INT", "TERM"):
        assert signal(host.connect(), spec.run_dir, name)
        time.sleep(0.1)
        assert alive(job)
    assert signal(host.connect(), spec.run_dir, "KILL")
    assert followed(host, spec)[1].exit_code == 137


def test_a_set_up_is_repeated_only_when_its_key_changed(host):
    for number, key in enumerate(("a", "a", "b", "a"), 1):
        finished(host, spec_of("true", number, setup=f"echo {key} >>prepared", setup_key=key))
    assert (host.home / BASE / "work" / "prepared").read_text() == "a\nb\n"


def test_patience_with_a_host_that_is_gone_ends_with_its_reason(tmp_path):
    with openssh_server(tmp_path / "host") as server:
        spec = spec_of("true")
        finished(server, spec)
        server.stop()

        def connect():
            from gpucloud.remote.connection import connect

            return connect(server.endpoint, deadline_s=0.2)

        with pytest.raises(Unreachable, match="connection refused"):
            follow(connect, spec.run_dir, 0, lambda data: None, patience_s=0.5)
