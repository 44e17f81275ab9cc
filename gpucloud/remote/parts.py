"""Shares the files of one push out over several connections, each with a tar stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from gpucloud.core.wire import Transport
from gpucloud.remote.codec import accepted_codecs
from gpucloud.remote.manifest import Entry
from gpucloud.remote.packing import Outlet, Sent, StagedFilesOut
from gpucloud.remote.talk import Talk


def shared_out(files: Sequence[Entry], shares: int) -> list[list[Entry]]:
    """`files` in runs of about equal bytes, so that neighbours stay together. An unknown size counts as none."""
    total = sum(max(one.size, 0) for one in files)
    parts: list[list[Entry]] = [[] for _ in range(shares)]
    seen = 0
    for one in files:
        parts[min(shares - 1, seen * shares // max(total, 1))].append(one)
        seen += max(one.size, 0)
    return parts


def send_part(
    transport: Transport,
    source: str,
    remote: str,
    stage: str,
    files: Sequence[Entry],
    moved: Callable[[int], None],
    *,
    reuse: bool,
) -> tuple[Sent, int]:
    """One share over one connection: what was sent, and its packed bytes."""
    words = {"root": remote, "stage": stage, "accept": accepted_codecs()}
    with Talk(transport, "part", words) as talk:
        outlet = Outlet(talk.head("codec")["codec"], talk.process.write)
        out = StagedFilesOut(source, stage, outlet, moved, reuse=reuse)
        try:
            out.write(files)
            out.end()
            outlet.finish()
            talk.process.end_input()
        except OSError:
            raise talk.failure() from None
        finally:
            outlet.abandon()
        if not talk.ended_well():
            raise talk.failure()
        return out.sent, outlet.wire_bytes


class Parts:
    """The shares that other connections carry, under way in threads."""

    def __init__(self, source: str, remote: str, stage: str, moved: Callable[[int], None], *, reuse: bool) -> None:
        self._where = (source, remote, stage)
        self._moved = moved
        self._reuse = reuse
        self._pool = ThreadPoolExecutor(8)
        self._running: list[Future[tuple[Sent, int]]] = []

    def start(self, transports: Sequence[Transport], shares: Sequence[Sequence[Entry]]) -> None:
        """Send each share over its connection."""
        source, remote, stage = self._where
        for number, (transport, share) in enumerate(zip(transports, shares, strict=True), 1):
            place = f"{stage}.{number}"
            words = (transport, source, remote, place, share, self._moved)
            self._running.append(self._pool.submit(send_part, *words, reuse=self._reuse))

    def join(self, into: Sent) -> int:
        """Wait for all; adds what they sent to `into` and returns their packed bytes."""
        wire_bytes = 0
        for one in self._running:
            sent, packed = one.result()
            into.files += sent.files
            into.unreadable += sent.unreadable
            into.restless += sent.restless
            wire_bytes += packed
        self._pool.shutdown()
        return wire_bytes
