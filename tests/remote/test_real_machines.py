"""Sync and runs over real connections: a local machine's own server, and OpenSSH where it is installed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time

import pytest

from gpucloud.core.wire import Secret
from gpucloud.remote.runs import RunSpec, follow, signal, start, status
from gpucloud.remote.sync import pull, push
from tests.machines import local_machine
from tests.sshd import needs_sshd, openssh_server

BASE = "gpucloud/test-aaaaaaaa"
CLIENT = """
import pickle, sys
from gpucloud.remote.connection import connect
from gpucloud.remote.sync import push
endpoint, source, work = pickle.loads(sys.stdin.buffer.read())
push(connect(endpoint), source, work)
"""


@pytest.fixture(params=["local", pytest.param("sshd", marks=needs_sshd)])
def host(request, tmp_path):
    """A live machine of either dialect: `.connect()`, `.home`."""
    opened = local_machine(tmp_path) if request.param == "local" else openssh_server(tmp_path)
    with opened as machine:
        yield machine


def test_there_and_back(host, tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    for number in range(300):
        (source / "sub" / f"{number}.py").write_bytes(os.urandom(number * 7))
    (source / "big").write_bytes(os.urandom(5_000_000))
    connection = host.connect()
    assert push(connection, source, f"{BASE}/work").files == 301
    assert push(connection, source, f"{BASE}/work").files == 0
    assert pull(connection, f"{BASE}/work", tmp_path / "back").files == 301
    assert subprocess.run(["diff", "-r", source, tmp_path / "back"], capture_output=True).stdout == b""


def test_a_run(host):
    connection = host.connect()
    words = (sys.executable, "-c", "import os; print(os.environ['TOKEN'])\nfor i in range(100000): print(i)\nexit(3)")
    spec = RunSpec(f"{BASE}/runs/1", f"{BASE}/work", words, secrets={"TOKEN": Secret("hush")})
    start(connection, spec)
    parts = []
    end = follow(lambda: connection, spec.run_dir, 0, parts.append)
    assert b"".join(parts) == b"hush\n" + b"".join(b"%d\n" % i for i in range(100000))
    assert (end.state, end.exit_code) == ("exited", 3)


def test_the_run_outlives_its_connection_and_another_one_ends_it(host):
    spec = RunSpec(f"{BASE}/runs/1", f"{BASE}/work", "echo up; exec sleep 30")
    first = host.connect()
    start(first, spec)
    first.close()
    second = host.connect()
    parts, ends = [], []
    follower = threading.Thread(target=lambda: ends.append(follow(host.connect, spec.run_dir, 0, parts.append)))
    follower.start()
    end = time.monotonic() + 10
    while not parts and time.monotonic() < end:
        time.sleep(0.01)
    assert status(second, [spec.run_dir])[spec.run_dir].state == "running"
    assert signal(second, spec.run_dir, "TERM")
    follower.join(10)
    assert (b"".join(parts), ends[0].exit_code) == (b"up\n", 143)


def test_a_killed_client_leaves_no_half_file(host, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(30):
        (source / f"{number:02}").write_bytes(os.urandom(3_000_000))
    client = subprocess.Popen([sys.executable, "-c", CLIENT], stdin=subprocess.PIPE)
    client.stdin.write(pickle.dumps((host.endpoint, source, f"{BASE}/work")))
    client.stdin.close()
    work = host.home / BASE / "work"
    end = time.monotonic() + 10
    while not (work / "03").exists() and time.monotonic() < end:
        time.sleep(0.002)
    client.kill()
    client.wait()
    connection = host.connect()
    arrived = [one for one in sorted(work.iterdir()) if one.name != ".gpucloud-stage"]
    for one in arrived:
        assert one.read_bytes() == (source / one.name).read_bytes()
    assert len(arrived) > 0
    assert push(connection, source, f"{BASE}/work").files <= 30 - len(arrived)
    assert subprocess.run(["diff", "-r", source, work], capture_output=True).stdout == b""
