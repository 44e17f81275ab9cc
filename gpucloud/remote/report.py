"""The plain values a sync takes and gives: rules, progress, report."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

# Called with (bytes done, bytes in total). The total may grow while a sync runs.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SyncRules:
    """What stays out: `exclude` are gitignore patterns and the strongest; `ignore_files` lets `.gpucloudignore`
    and `.gitignore` count; `.git` folders travel only with `git_folder`. What is out is never deleted there."""

    exclude: tuple[str, ...] = ()
    ignore_files: bool = True
    git_folder: bool = False


EVERYTHING = SyncRules(ignore_files=False, git_folder=True)


@dataclass(frozen=True)
class SyncReport:
    """What a sync did. `files` and `bytes` are whole files as sent or fetched, `wire_bytes` what crossed the line
    packed, `blocks` the changed blocks of large files, `same` the names that needed nothing.

    `changed_while_read` were written to all the while: a prefix or a mixture went out, the next sync repeats them.
    `skipped` are pipes, sockets and devices.
    """

    files: int = 0
    bytes: int = 0
    deleted: int = 0
    same: int = 0
    wire_bytes: int = 0
    blocks: int = 0
    changed_while_read: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


class Counter:
    """Adds up bytes for a Progress callback."""

    def __init__(self, progress: Progress | None, total: int = 0) -> None:
        self._progress = progress
        self.total = total
        self.done = 0
        self._lock = threading.Lock()
        self.moved(0)

    def moved(self, count: int) -> None:
        """`count` more bytes are done."""
        if self._progress is None:
            return
        with self._lock:  # several connections count
            self.done += count
            self._progress(self.done, max(self.total, self.done))
