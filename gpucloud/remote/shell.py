"""A terminal on a machine: raw mode here, the size passed on, everything restored at the end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from gpucloud.remote.connection import Connection, SshProcess, terminal

CHUNK = 65536


def interact(connection: Connection, command: str = "", *, keyboard: int = 0, screen: int = 1) -> int:
    """Run `command`, or the login shell, on a terminal of the machine; its exit status.

    `keyboard` and `screen` are our descriptors. Raises Unreachable when the link dies; the terminal here is
    restored in any case.
    """
    process = connection.start(command or None, tty=True)
    with contextlib.closing(process), _raw_terminal(keyboard), _resizing(process.channel):
        _shuttle(process, keyboard, screen)
        return process.wait()


@contextlib.contextmanager
def _raw_terminal(keyboard: int) -> Iterator[None]:
    """Every key goes to the machine, Ctrl-C too; only where our input is a terminal."""
    if not os.isatty(keyboard):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(keyboard)
    try:
        tty.setraw(keyboard)
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _resizing(channel: Any) -> Iterator[None]:
    """Pass a new window size on. Only the main thread may listen to signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(number: int, frame: object) -> None:
        _, columns, lines = terminal()
        # sending may wait for the link, which a signal must not
        threading.Thread(target=_resize, args=(channel, columns, lines), daemon=True).start()

    before = signal.signal(signal.SIGWINCH, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _resize(channel: Any, columns: int, lines: int) -> None:
    with contextlib.suppress(OSError, EOFError):
        channel.resize_pty(columns, lines)


def _shuttle(process: SshProcess, keyboard: int, screen: int) -> None:
    """Bytes both ways until the machine's side ends."""
    keyboards = [keyboard]
    while True:
        readable, _, _ = select.select([process.channel, *keyboards], [], [])
        if process.channel in readable:
            data = process.read(CHUNK)
            if not data:
                return
            _write_all(screen, data)
        if keyboard in readable:
            typed = os.read(keyboard, CHUNK)
            if typed:
                with contextlib.suppress(BrokenPipeError):
                    process.write(typed)
            else:
                process.end_input()
                keyboards.clear()


def _write_all(descriptor: int, data: bytes) -> None:
    sys.stdout.flush()  # what was printed before comes first
    while data:
        data = data[os.write(descriptor, data) :]
