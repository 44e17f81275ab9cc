"""Switching a local machine on and off: its server is a process of its own, never a part of ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gpucloud.providers.local.environment import server_environment
from gpucloud.providers.local.folder import LOG, Folder
from gpucloud.providers.local.processes import BY_ENVIRONMENT, end_all, of_machine

LOOK_S = 0.3  # between two looks whether the server died at its start
BOOT_S = 20.0  # a loaded computer; the usual time is below half a second


def boot(folder: Folder) -> None:
    """Start the server unless it lives, detached from us in every way; returns before it listens."""
    if folder.lives():
        return
    log = os.open(folder.path / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        subprocess.run(  # it forks at once and the first process ends
            [sys.executable, "-m", "gpucloud.hostside", "serve", "--machine", str(folder.path), "--detach"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.path,
            env=server_environment(folder, os.environ),
            start_new_session=True,
            check=False,
        )
    finally:
        os.close(log)


def wait_listening(folder: Folder, deadline_s: float = BOOT_S) -> bool:
    """Whether the server came to listen; False when it ended or the time is over."""
    ends = time.monotonic() + deadline_s
    next_look = time.monotonic() + LOOK_S
    while time.monotonic() < ends:
        if folder.listening() is not None:
            return True
        if time.monotonic() > next_look:
            if BY_ENVIRONMENT and not folder.lives() and not of_machine(folder):
                return False
            next_look = time.monotonic() + LOOK_S
        time.sleep(0.005)
    return False


def switch_off(folder: Folder, deadline_s: float = 40.0) -> None:
    """Ask the server to end its runs and itself; what remains after that is killed."""
    holder = folder.holder()
    if holder:
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder, signal.SIGTERM)
    ends = time.monotonic() + deadline_s
    while folder.lives() and time.monotonic() < ends:
        time.sleep(0.01)
    end_all(folder)


def log_tail(path: Path, lines: int = 3) -> str:
    """The last lines of a server's log, for an error."""
    try:
        return " ".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
