"""Joining the output of several nodes: whole lines, one rank in front of each; of one node: the bytes as they are."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Lines:
    """Thread-safe. With `prefixed`, a line is written once it is complete, as `[rank] line`."""

    def __init__(self, sink: Callable[[bytes], None], prefixed: bool = False) -> None:
        self._sink, self.prefixed = sink, prefixed
        self._open: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def write(self, rank: int, data: bytes) -> None:
        """Bytes of that node, in order."""
        if not self.prefixed:
            self._sink(data)
            return
        with self._lock:
            *whole, rest = (self._open.get(rank, b"") + data).split(b"\n")
            self._open[rank] = rest
            if whole:
                self._sink(b"".join(b"[%d] %s\n" % (rank, line) for line in whole))

    def end(self) -> None:
        """Write what is left of lines that were never finished."""
        with self._lock:
            for rank, rest in sorted(self._open.items()):
                if rest:
                    self._sink(b"[%d] %s\n" % (rank, rest))
            self._open.clear()
