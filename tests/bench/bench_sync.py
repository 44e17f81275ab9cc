"""Sync beside `rsync -az --delete` over a warm ControlMaster: fresh trees, no change, few changes, a large file."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from gpucloud.core.cloud import Endpoint
from gpucloud.remote.connection import connect
from gpucloud.remote.sync import pull, push
from tests.bench.delay import delayed
from tests.bench.report import Row
from tests.sshd import SSHD, openssh_server

RTTS_MS = (0, 20, 80)
ROUNDS = 5
LARGE_MIB = int(os.environ.get("GPUCLOUD_BENCH_LARGE_MIB", "1024"))


def run() -> Iterator[Row]:
    """All rows; none where sshd or rsync is missing."""
    if SSHD is None or not shutil.which("rsync"):
        yield Row.skipped("sync beside rsync", "needs sshd and rsync")
        return
    # in memory where that is possible: a disk that still writes back the last round's files hits one side at random
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="gpucloud-bench-", dir=memory) as name:
        folder = Path(name)
        trees = {"500 files": _tree(folder / "500", 500, 10_000), "10,000 files": _tree(folder / "10k", 10_000, 4_000)}
        with openssh_server(folder / "sshd") as server:
            for rtt_ms in RTTS_MS:
                with delayed(server.endpoint.port, rtt_ms / 1e3) as port:
                    endpoint = replace(server.endpoint, port=port)
                    yield from _trees(endpoint, server.home, trees, rtt_ms)
                    yield _back(endpoint, server.home, folder / "back", trees["10,000 files"], rtt_ms)
            yield from _large(server.endpoint, server.home, folder)


def _tree(root: Path, files: int, size: int) -> Path:
    """Half text, half noise, like a code tree with some assets."""
    noise = random.Random(files)
    for number in range(files):
        path = root / f"d{number // 50:03}" / f"f{number:05}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise.randbytes(size // 2) + b"def step(x): return x\n" * (size // 44))
    return root


def _trees(endpoint: Endpoint, home: Path, trees: dict[str, Path], rtt_ms: int) -> Iterator[Row]:
    with connect(endpoint) as connection, _rsync(endpoint) as rsync:
        for name, tree in trees.items():
            sides = {"ours": lambda: push(connection, tree, "ours"), "rsync": lambda: rsync.push(tree, "rsync")}  # noqa: B023
            cases: dict[str, Callable[[], None]] = {name: lambda: _wipe(home)}
            if name.startswith("10,"):
                cases |= {"no-op": lambda: None, "10 changed": lambda: _touch(tree, 10)}  # noqa: B023
            for case, prepare in cases.items():
                yield _compare(f"sync: {case}, {rtt_ms} ms", sides, prepare, 1.0)


def _compare(name: str, sides: dict[str, Callable[[], object]], prepare: Callable[[], None], bound: float) -> Row:
    times: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(ROUNDS + 1):
        prepare()
        for side, work in sorted(sides.items(), reverse=bool(number % 2)):  # neither always follows the other
            begin = time.perf_counter()
            work()
            if number:
                times[side].append(time.perf_counter() - begin)
    ours, theirs = (statistics.median(times[side]) for side in ("ours", "rsync"))
    return Row(name, ours / theirs, bound, detail=f"ours {ours:.3f} s, rsync {theirs:.3f} s")


def _wipe(home: Path) -> None:
    for side in ("ours", "rsync"):
        shutil.rmtree(home / side, ignore_errors=True)


def _touch(tree: Path, count: int) -> None:
    for number in range(count):
        path = sorted((tree / f"d{number:03}").iterdir())[0]
        path.write_bytes(os.urandom(4_000))


def _back(endpoint: Endpoint, home: Path, here: Path, tree: Path, rtt_ms: int) -> Row:
    """The same tree fetched into a fresh folder."""
    shutil.copytree(tree, home / "source")
    here.mkdir(exist_ok=True)
    with connect(endpoint) as connection, _rsync(endpoint) as rsync:
        sides = {
            "ours": lambda: pull(connection, "source", here / "ours"),
            "rsync": lambda: rsync.pull("source", here / "rsync"),
        }
        row = _compare(f"pull: 10,000 files, {rtt_ms} ms", sides, lambda: _wipe(here), 1.0)
    _wipe(here)
    shutil.rmtree(home / "source")
    return row


class Rsync:
    """rsync over a master connection that is up already."""

    def __init__(self, shell: list[str], there: str) -> None:
        self._shell, self._there = " ".join(shell), there

    def push(self, tree: Path, target: str, *options: str) -> None:
        """Make `target` there what `tree` is."""
        self._copy(f"{tree}/", f"{self._there}:{target}/", *options)

    def pull(self, source: str, tree: Path, *options: str) -> None:
        """Make `tree` what `source` there is."""
        self._copy(f"{self._there}:{source}/", f"{tree}/", *options)

    def _copy(self, *words: str) -> None:
        subprocess.run(["rsync", "-a", "-z", "--delete", "-e", self._shell, *words], check=True)


@contextlib.contextmanager
def _rsync(endpoint: Endpoint) -> Iterator[Rsync]:
    with tempfile.TemporaryDirectory(prefix="gpucloud-cm-") as folder:
        shell = ["ssh", "-F", "none", "-i", endpoint.identity_file, "-p", str(endpoint.port)]
        shell += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        shell += ["-o", f"ControlPath={folder}/cm"]
        there = f"{endpoint.user}@{endpoint.host}"
        subprocess.run([*shell, "-o", "ControlMaster=yes", "-fN", there], check=True)
        yield Rsync(shell, there)
        subprocess.run([*shell, "-O", "exit", there], check=True, capture_output=True)


def _large(endpoint: Endpoint, home: Path, folder: Path) -> list[Row]:
    """1 MiB changed in a large file of noise, there and back. Without -z: rsync's zlib would cost it minutes here."""
    tree, here = folder / "large", folder / "large-back"
    tree.mkdir()
    here.mkdir()
    with open(tree / "model.bin", "wb") as file:
        for _ in range(LARGE_MIB):
            file.write(os.urandom(1 << 20))
    with connect(endpoint) as connection, _rsync(endpoint) as rsync:
        _wipe(home)
        there = {"ours": lambda: push(connection, tree, "ours"), "rsync": lambda: rsync.push(tree, "rsync", "--no-z")}
        change = f"1 MiB changed in {LARGE_MIB} MiB"
        rows = [_compare(f"sync: {change}", there, lambda: _scribble(tree / "model.bin"), 1.2)]
        _wipe(home)
        shutil.move(tree, home / "source")
        back = {
            "ours": lambda: pull(connection, "source", here / "ours"),
            "rsync": lambda: rsync.pull("source", here / "rsync", "--no-z"),
        }
        rows.append(_compare(f"pull: {change}", back, lambda: _scribble(home / "source" / "model.bin"), 1.2))
    shutil.rmtree(home / "source")
    _wipe(here)
    return rows


def _scribble(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(random.randrange(LARGE_MIB - 1) << 20)
        file.write(os.urandom(1 << 20))
