"""A cable that can be pulled: client and host in network namespaces of their own, a switch between them. Needs root.

Pulling takes the switch's port down: nothing more arrives and nobody is told, as with a real cable. This module is
also the two programs that run inside the namespaces.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import Unreachable
from gpucloud.remote.connection import Connection, connect
from gpucloud.remote.runs import RunSpec, follow, start
from tests.bench.report import Row

LINES, CUTS = 1_000_000, 3
UNPLUGGED_S = 11.0  # longer than a dead link stays unnoticed
PROGRAM = f"for i in range({LINES}): print(i, 'x' * 56)"
HOST = "192.0.2.2"  # an address for documentation, seen only inside the namespaces


def run() -> list[Row]:
    """The row of the cuts, or one that says what is missing for it."""
    name = "run: 1e6 lines at full speed, cable cuts: bytes wrong"
    reason = _lacking()
    if reason:
        return [Row.skipped(name, reason)]
    with _namespaces() as (client, switch, host), _inside(host, "serve") as server:
        endpoint = server.stdout.readline()  # type: ignore[union-attr]
        with _inside(client, "follow", endpoint, switch) as follower:
            wrong, cuts, seconds, size = json.loads(follower.stdout.read() or "[1, 0, 0, 0]")  # type: ignore[union-attr]
    if cuts != CUTS:
        return [Row.skipped(name, f"only {cuts} cuts were possible")]
    return [Row(name, wrong, 0, "", f"{size / 1e6:.0f} MB, {cuts} cuts of {UNPLUGGED_S:.0f} s, {seconds:.0f} s in all")]


def _lacking() -> str:
    if os.geteuid():
        return "needs root"
    if not shutil.which("ip"):
        return "needs iproute2"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True)
    return "" if tried.returncode == 0 else "network namespaces are not permitted here"


@contextlib.contextmanager
def _namespaces() -> Iterator[tuple[str, str, str]]:
    """client - switch - host, each a namespace; the cables end in the switch as `to-client` and `to-host`."""
    names = [f"gpucloud-{os.getpid()}-{part}" for part in ("client", "switch", "host")]
    client, switch, host = names
    try:
        for name in names:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for end, address in ((client, "192.0.2.1"), (host, HOST)):
            port = "to-client" if end == client else "to-host"
            _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", end)
            _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
            _ip("-n", end, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", end, "link", "set", "eth0", "up")
        yield client, switch, host
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def _inside(namespace: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """This module as a program in a namespace; it ends when its stdin does."""
    line = ["ip", "netns", "exec", namespace, sys.executable, "-m", "tests.bench.cable", *words]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        yield program


def serve() -> None:
    """A host until stdin ends; prints its endpoint."""
    from tests.sshd import openssh_server

    with (
        tempfile.TemporaryDirectory(prefix="gpucloud-cable-") as folder,
        openssh_server(Path(folder), more=f"ListenAddress {HOST}") as server,
    ):
        print(json.dumps({**asdict(server.endpoint), "host": HOST}), flush=True)
        sys.stdin.read()


class Cable:
    """Cuts itself when enough has come through; a timer mends it."""

    def __init__(self, switch: str, total: int) -> None:
        self._switch, self._up = switch, threading.Event()
        self._up.set()
        self._marks = [total * (number + 1) // (CUTS + 1) for number in range(CUTS)]
        self.cuts = 0

    def passed(self, count: int) -> None:
        """So many bytes have come in all."""
        if self.cuts < CUTS and count >= self._marks[self.cuts] and self._up.is_set():
            self.cuts += 1
            self._up.clear()
            _ip("-n", self._switch, "link", "set", "to-host", "down")
            threading.Timer(UNPLUGGED_S, self._mend).start()

    def _mend(self) -> None:
        _ip("-n", self._switch, "link", "set", "to-host", "up")
        self._up.set()


def watch(endpoint: Endpoint, switch: str) -> None:
    """Start the run and follow it through the cuts; prints [wrong bytes, cuts, seconds, size]."""
    expected = b"".join(b"%d %b\n" % (number, b"x" * 56) for number in range(LINES))
    cable, came = Cable(switch, len(expected)), hashlib.sha256()
    sizes: list[int] = [0]
    lines: list[Connection] = [connect(endpoint)]

    def sink(data: bytes) -> None:
        came.update(data)
        sizes[0] += len(data)
        cable.passed(sizes[0])

    def lost(_: Unreachable) -> None:
        lines.pop().close()

    def line() -> Connection:
        if not lines:
            lines.append(connect(endpoint))
        return lines[-1]

    begin = time.perf_counter()
    spec = RunSpec("bench/runs/1", "bench/work", (sys.executable, "-c", PROGRAM))
    start(lines[0], spec)
    follow(line, spec.run_dir, 0, sink, on_lost=lost)
    wrong = abs(sizes[0] - len(expected)) or int(came.digest() != hashlib.sha256(expected).digest())
    print(json.dumps([wrong, cable.cuts, time.perf_counter() - begin, sizes[0]]))


def _endpoint(text: str) -> Endpoint:
    fields: dict[str, Any] = json.loads(text)
    return Endpoint(**{**fields, "proxy_jump": ()})


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        watch(_endpoint(sys.argv[2]), sys.argv[3])
