"""Connections: connect + command in this process beside `ssh` cold, many hosts at once, a local machine's boot."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from gpucloud.core.cloud import Endpoint
from gpucloud.providers.local.provider import LocalProvider
from gpucloud.remote.connection import connect
from tests.bench.delay import delayed
from tests.bench.report import Row, command, interleaved
from tests.machines import launch_spec, local_machine
from tests.sshd import SSHD, openssh_server

ROUNDS = 9
HOSTS = 64
BOUNDS = {0: 0.5, 20: 0.5, 80: 0.6}


def run() -> list[Row]:
    """All rows; those beside OpenSSH only where sshd is installed."""
    with tempfile.TemporaryDirectory(prefix="gpucloud bench ") as folder:
        rows = _local(Path(folder) / "local")
        if SSHD is None:
            return [*rows, Row.skipped("connect beside ssh", "needs sshd")]
        with openssh_server(Path(folder) / "sshd") as server:
            rows += [_cold(server.endpoint, rtt_ms) for rtt_ms in BOUNDS]
        return [*rows, _fan_out(Path(folder))]


def _cold(endpoint: Endpoint, rtt_ms: int) -> Row:
    with delayed(endpoint.port, rtt_ms / 1e3) as port:
        there = replace(endpoint, port=port)
        options = ["-F", "none", "-i", endpoint.identity_file, "-p", port, "-o", "StrictHostKeyChecking=no"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "ControlPath=none"]
        ssh = command("ssh", *options, f"{endpoint.user}@{endpoint.host}", "true")
        times = interleaved({"ours": lambda: _once(there), "ssh": ssh}, ROUNDS)
    return Row(
        f"connect + true : ssh cold, {rtt_ms} ms",
        times["ours"] / times["ssh"],
        BOUNDS[rtt_ms],
        detail=f"{times['ours'] * 1e3:.0f} : {times['ssh'] * 1e3:.0f} ms",
    )


def _once(endpoint: Endpoint) -> int:
    with connect(endpoint) as connection:
        return connection.run("true").wait()


def _fan_out(folder: Path) -> Row:
    """Connect and run a command on HOSTS servers, each a process with a key of its own; median of three."""
    times = []
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(openssh_server(folder / f"host-{number}")) for number in range(HOSTS)]
        for _ in range(3):
            begin = time.perf_counter()
            with ThreadPoolExecutor(HOSTS) as pool:
                codes = set(pool.map(_once, [server.endpoint for server in servers]))
            times.append(time.perf_counter() - begin)
            assert codes == {0}
    return Row(
        f"{HOSTS} hosts: connect + true on all", statistics.median(times), 2.0, "s", "all of them on this machine"
    )


def _local(root: Path) -> list[Row]:
    """Boot of a machine, and a warm command and connection on it, in milliseconds."""
    provider = LocalProvider(root, {})
    boots = []
    for _ in range(5):
        begin = time.perf_counter()
        (made,) = provider.launch(launch_spec(root / "keys" / "id_ed25519"))
        boots.append(time.perf_counter() - begin)
        provider.destroy(made)
    with local_machine(root) as machine:
        connection = machine.connect()
        works = {"connect": lambda: _once(machine.endpoint), "warm": lambda: connection.run("true").wait()}
        times = interleaved(works, 15)
    return [
        Row("local machine: launch until it listens", sorted(boots)[2], 1.0, "s"),
        Row("local machine: connect + true", times["connect"] * 1e3, None, "m", "ms"),
        Row("local machine: warm command", times["warm"] * 1e3, None, "m", "ms"),
    ]
