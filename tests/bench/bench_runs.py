"""Runs beside a bare command on the same warm connection: what detaching costs, how late a line is, full speed."""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gpucloud.core.cloud import Endpoint
from gpucloud.core.wire import Transport
from gpucloud.remote.connection import connect
from gpucloud.remote.runs import RunEnd, RunSpec, follow, start
from tests.bench import cable
from tests.bench.delay import delayed
from tests.bench.report import Row, interleaved
from tests.machines import local_machine
from tests.sshd import SSHD, openssh_server

ROUNDS = 15
LINES = 60
BOUND_MS = 10.0
NUMBERS = itertools.count(1)


def run() -> list[Row]:
    """All rows, for OpenSSH (where it is installed) and for a local machine."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="gpucloud-bench-") as folder:
        with local_machine(Path(folder) / "local") as machine, connect(machine.endpoint) as connection:
            rows += _rows("local", connection)
        if SSHD is not None:
            with openssh_server(Path(folder) / "sshd") as server, connect(server.endpoint) as connection:
                rows += _rows("sshd", connection)
                rows += [_far_line(server.endpoint, rtt_ms) for rtt_ms in (20, 80)]
        else:
            rows.append(Row.skipped("run: beside OpenSSH", "needs sshd"))
    return [*rows, *(cable.run() if SSHD is not None else [])]


def _far_line(endpoint: Endpoint, rtt_ms: int) -> Row:
    """What a printed line takes beyond the way itself."""
    with delayed(endpoint.port, rtt_ms / 1e3) as port, connect(replace(endpoint, port=port)) as connection:
        late_ms = _line_latency_ms(connection)
    bound = BOUND_MS + rtt_ms / 2
    return Row(f"run: a printed line is here after, {rtt_ms} ms", late_ms, bound, "ms", "10 ms and one way; median")


def _rows(name: str, connection: Transport) -> list[Row]:
    times = interleaved({"bare": lambda: _bare(connection), "run": lambda: _run(connection, ("true",))}, ROUNDS)
    more_ms = (times["run"] - times["bare"]) * 1e3
    bare_ms = times["bare"] * 1e3
    late_ms = _line_latency_ms(connection)
    begin = time.perf_counter()
    _run(connection, (sys.executable, "-c", "for i in range(1000000): print(i)"))
    flat_s = time.perf_counter() - begin
    return [
        Row(f"run: start and follow over a bare command, {name}", more_ms, 60, "ms", f"bare {bare_ms:.1f} ms"),
        Row(f"run: a printed line is here after, {name}", late_ms, BOUND_MS, "ms", "median"),
        Row(f"run: a million lines at full speed, {name}", flat_s, None, "s"),
    ]


def _bare(connection: Transport) -> None:
    process = connection.run("true")
    while process.read(1 << 16):
        pass
    process.wait()
    process.close()


def _run(connection: Transport, command: tuple[str, ...], sink: Callable[[bytes], None] = lambda _: None) -> RunEnd:
    spec = RunSpec(f"bench/runs/{next(NUMBERS)}", "bench/work", command)
    start(connection, spec)
    return follow(lambda: connection, spec.run_dir, 0, sink)


def _line_latency_ms(connection: Transport) -> float:
    """Median time from a print to the sink: both ends read the same clock, as they are on the same machine."""
    late: list[float] = []

    def sink(data: bytes) -> None:
        now = time.time()
        late.extend((now - float(line)) * 1e3 for line in data.split())

    text = f"import time\nfor i in range({LINES}):\n time.sleep(0.02)\n print(time.time(), flush=True)"
    _run(connection, (sys.executable, "-c", text), sink)
    return statistics.median(late)
