"""Large files: only blocks that differ cross the line, an interrupted copy goes on where it was, and a long line
is shared by several connections (one of them is held to a window of 2 MiB per round trip by OpenSSH's server)."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from gpucloud.core.errors import HostError, SyncError
from gpucloud.core.wire import Transport
from gpucloud.remote.manifest import Entry, encoded, entry_of
from gpucloud.remote.report import Counter
from gpucloud.remote.talk import Talk

LARGE_BYTES = 64 << 20
BLOCK = 1 << 20
LONG_LINE_S = 0.018  # a status call takes this at a round trip of about 10 ms
CONNECTIONS = 4
MAX_TRIES = 3
DIGEST_BYTES = 32


@dataclass
class BlocksSent:
    """What went out, and which files changed while they were read."""

    blocks: int = 0
    wire_bytes: int = 0
    restless: list[str] = field(default_factory=list)


def takes_blocks(entry: Entry, head: dict[str, str]) -> bool:
    """Whether a file is worth the extra channel, on a machine that can do it."""
    return entry.kind == "f" and entry.size >= LARGE_BYTES and bool(head["python"])


def round_trip_s(transport: Transport) -> float:
    """How long the machine takes to answer nothing, the better of two."""
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        with Talk(transport, "status", {"runs": []}) as talk:
            talk.head()
        times.append(time.perf_counter() - begin)
    return min(times)


@contextlib.contextmanager
def extra_connections(
    transport: Transport, size: int, more: Callable[[], Transport] | None
) -> Iterator[list[Transport]]:
    """Three more connections where they pay: for `size` bytes over a long line; else none.

    `more` opens one; by default the transport's own `another`, where it has one.
    """
    opened: list[Transport] = []
    more = more or getattr(transport, "another", None)
    try:
        if more is not None and size >= LARGE_BYTES and round_trip_s(transport) >= LONG_LINE_S:
            with ThreadPoolExecutor(CONNECTIONS - 1) as pool, contextlib.suppress(HostError):
                opened.extend(pool.map(lambda _: more(), range(CONNECTIONS - 1)))
        yield opened
    finally:
        for one in opened:
            one.close()


class Blocks:
    """The channel for large files of one push, below `root` on the machine."""

    def __init__(self, transport: Transport, root: str, counter: Counter) -> None:
        self._transport = transport
        self._root = root
        self._counter = counter
        self._talk = Talk(transport, "blocks", {"root": root})
        self.sent = BlocksSent()

    def usable(self) -> bool:
        """Whether the machine can do it; else large files go with the others."""
        try:
            self._talk.head()
        except SyncError:
            return False
        return True

    def close(self) -> None:
        """Give the channel back."""
        self._talk.process.close()

    def push(self, files: Sequence[tuple[str, Entry]], more: Callable[[], Transport] | None) -> None:
        """Send (local path, entry) pairs. Each file appears there when it is whole."""
        with extra_connections(self._transport, sum(entry.size for _, entry in files), more) as extra:
            helpers = [Talk(one, "blocks", {"root": self._root}) for one in extra]
            try:
                for helper in helpers:
                    helper.head()
                for path, entry in files:
                    self._file(path, entry.path, helpers)
            finally:
                for helper in helpers:
                    helper.process.close()

    def _file(self, path: str, name: str, helpers: list[Talk]) -> None:
        for attempt in range(1, MAX_TRIES + 1):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                before = entry_of(name, os.fstat(descriptor))
                self._differing(descriptor, before, helpers)
                quiet = os.fstat(descriptor).st_mtime_ns == before.mtime_ns
            finally:
                os.close(descriptor)
            if quiet or attempt == MAX_TRIES:
                break
        if not quiet:
            self.sent.restless.append(name)
        data = encoded(name)
        self._say(self._talk, b"done %d %d %d %d\n" % (before.size, before.mode, before.mtime_ns, len(data)) + data)
        self._expect_ok(self._talk)

    def _differing(self, descriptor: int, entry: Entry, helpers: list[Talk]) -> None:
        """Hash both sides at once, then put what differs, shared out over all connections."""
        name = encoded(entry.path)
        self._say(self._talk, b"hash %d %d\n" % (BLOCK, len(name)) + name)
        ours: list[bytes] = []
        hashing = threading.Thread(target=_hash_into, args=(ours, descriptor, entry.size), daemon=True)
        hashing.start()
        theirs_size = int(self._talk.line() or b"0")
        count = -(-theirs_size // BLOCK)
        theirs = self._talk.read_exactly(count * DIGEST_BYTES) if count else b""
        place = self._talk.read_exactly(int(self._talk.line() or b"0"))
        hashing.join()
        wanted = [
            number
            for number, digest in enumerate(ours)
            if theirs[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES] != digest
        ]
        self._counter.moved(entry.size - min(entry.size, len(wanted) * BLOCK))
        numbers = iter(wanted)
        lock = threading.Lock()
        used = helpers if len(wanted) * BLOCK >= LARGE_BYTES else []
        with ThreadPoolExecutor(len(used) + 1) as pool:
            for helper in used:
                self._say(helper, b"into %d\n" % len(place) + place)
            talks = [self._talk, *used]
            list(pool.map(lambda talk: self._put(talk, descriptor, numbers, lock), talks))
        for helper in used:
            self._say(helper, b"sync\n")
            self._expect_ok(helper)

    def _put(self, talk: Talk, descriptor: int, numbers: Iterator[int], lock: threading.Lock) -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            data = os.pread(descriptor, BLOCK, number * BLOCK)
            self._say(talk, b"put %d %d\n" % (number * BLOCK, len(data)) + data)
            self._counter.moved(len(data))
            with lock:
                self.sent.blocks += 1
                self.sent.wire_bytes += len(data)

    def _say(self, talk: Talk, data: bytes) -> None:
        try:
            talk.process.write(data)
        except OSError:
            raise talk.failure() from None

    def _expect_ok(self, talk: Talk) -> None:
        if talk.line() != b"ok\n":
            raise talk.failure()


def _hash_into(found: list[bytes], descriptor: int, size: int) -> None:
    for at in itertools.count(0, BLOCK):
        if at >= size:
            return
        found.append(hashlib.sha256(os.pread(descriptor, BLOCK, at)).digest())
