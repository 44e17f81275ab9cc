"""Locks of the operating system, one per deployment name: they die with the process that holds them."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gpucloud.core.errors import StateConflict
from gpucloud.state.home import Home, unusable


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(home: Home, name: str) -> int:
    path = home.folder(home.locks) / f"{name}.lock"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise unusable(path, error) from error


def holder(home: Home, name: str) -> str:
    """Who holds the lock, in words (`up, process 4711`), or empty when nobody does."""
    path = home.locks / f"{name}.lock"
    if not path.exists():
        return ""
    handle = _open(home, name)
    try:
        return "" if _try(handle) else _words(path)
    finally:
        os.close(handle)


def _words(path: Path) -> str:
    return path.read_text(errors="replace").strip() or "another command"


@contextmanager
def deployment_lock(
    home: Home,
    name: str,
    verb: str,
    wait_s: float = 0.0,
    waiting: Callable[[str], None] = lambda holder: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the lock of `name` while in the block. After `wait_s` of trying: StateConflict that names the holder.

    `waiting` is told once who holds it.
    """
    handle = _open(home, name)
    try:
        _acquire(handle, home.locks / f"{name}.lock", name, wait_s, waiting, sleep)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{verb}, process {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(handle)


def _acquire(
    handle: int, path: Path, name: str, wait_s: float, waiting: Callable[[str], None], sleep: Callable[[float], None]
) -> None:
    told, end = False, time.monotonic() + wait_s
    while not _try(handle):
        if time.monotonic() >= end:
            raise StateConflict(
                f"'{name}' is in use by {_words(path)}.",
                "Wait until that command has ended; `gpucloud down` may always run.",
            )
        if not told:
            waiting(_words(path))
            told = True
        sleep(0.1)
