"""Where the fake cloud keeps its machines: in memory, or in a file that several processes share."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol


def empty_cloud() -> dict[str, Any]:
    """Things by id, calls in order, how often each rule of the script was used, and the next serial number."""
    return {"things": {}, "calls": [], "used": {}, "serial": 0}


class Store(Protocol):
    """One writer at a time."""

    def change(self) -> Any:
        """A context manager that gives the cloud's dictionary and keeps what the block made of it."""
        ...


class MemoryStore:
    """For tests in one process."""

    def __init__(self) -> None:
        self.cloud = empty_cloud()
        self._mine = threading.RLock()

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """The dictionary itself, for one thread at a time."""
        with self._mine:
            yield self.cloud


class FileStore:
    """A JSON file, replaced whole under a lock: a killed process leaves the old or the new state."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Read, let the block change it, write."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            cloud = json.loads(self._path.read_text()) if self._path.exists() else empty_cloud()
            before = json.dumps(cloud)
            try:
                yield cloud
            finally:
                after = json.dumps(cloud)
                if after != before:
                    part = self._path.with_suffix(".part")
                    part.write_text(after)
                    part.replace(self._path)
        finally:
            os.close(handle)
