"""A terminal on a machine: raw mode here, the size passed on, everything restored at the end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import Any

from gpucloud.remote.connection import Connection, SshProcess

CHUNK = 65536


def interact(connection: Connection, command: str = "") -> int:
    """Run `command`, or the login shell, on a terminal of the machine; its exit status."""
    from gpucloud.remote.connection import terminal

    channel = connection.open_session()
    channel.get_pty(*terminal())
    if command:
        channel.exec_command(command)
    else:
        channel.invoke_shell()
    process = SshProcess(channel, connection)
    with _raw_terminal(), _resizing(process):
        _shuttle(channel)
    return process.wait()


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key goes to the machine, Ctrl-C too; only where our input is a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _resizing(process: SshProcess) -> Iterator[None]:
    before = signal.signal(signal.SIGWINCH, lambda number, frame: process.resize())
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _shuttle(channel: Any) -> None:
    """Bytes both ways until the machine's side ends."""
    keyboard: list[Any] = [sys.stdin.fileno()]
    screen = sys.stdout.fileno()
    while True:
        readable, _, _ = select.select([channel, *keyboard], [], [])
        if channel in readable:
            data = channel.recv(CHUNK)
            if not data:
                return
            _write_all(screen, data)
        if keyboard and keyboard[0] in readable:
            typed = os.read(keyboard[0], CHUNK)
            if typed:
                channel.sendall(typed)
            else:
                channel.shutdown_write()
                keyboard.clear()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
