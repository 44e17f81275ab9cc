"""Carries bytes between the channel of an SSH session and the pipes (or terminal) of what runs in it.

Every byte, in order, with back pressure both ways; a wait ends when its descriptor is closed or the client leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any

import asyncssh

NOTICES = (asyncssh.BreakReceived, asyncssh.SignalReceived, asyncssh.TerminalSizeChanged)  # raised among the bytes
CHUNK = 1 << 18
OnNotice = Callable[[Exception], None]  # a signal, a break or a new window size that the client sent


class Wires:
    """Our ends of a session's pipes, which it owns: `stdin` to write to, `stdout` and perhaps `stderr` to read."""

    def __init__(
        self, session: Any, stdin: int, stdout: int, stderr: int | None, on_notice: OnNotice | None = None
    ) -> None:
        self._session, self._on_notice = session, on_notice
        outputs = [(stdout, session.stdout), *([] if stderr is None else [(stderr, session.stderr)])]
        for descriptor in (stdin, *(number for number, _ in outputs)):
            os.set_blocking(descriptor, False)
        self._input = asyncio.ensure_future(_owned(stdin, self._feed(stdin)))
        self._outputs = [asyncio.ensure_future(_owned(number, _drain(number, writer))) for number, writer in outputs]

    async def run_dry(self) -> None:
        """Wait until both outputs have ended and everything is with the channel."""
        await asyncio.gather(*self._outputs)

    async def cut(self) -> None:
        """End it now, in whatever state; the descriptors are closed afterwards."""
        for task in (self._input, *self._outputs):
            task.cancel()
        await asyncio.gather(self._input, *self._outputs, return_exceptions=True)

    async def _feed(self, descriptor: int) -> None:
        """The client's bytes into the pipe, until either end closes."""
        while True:
            try:
                data = await self._session.stdin.read(CHUNK)
            except NOTICES as notice:
                if self._on_notice is not None:
                    self._on_notice(notice)
                continue
            if not data:
                return
            await _write_all(descriptor, data)


async def _owned(descriptor: int, work: Any) -> None:
    """Do the work, then close its descriptor, whatever happened. A closed far end is an end like any other."""
    try:
        with contextlib.suppress(OSError, asyncssh.Error):
            await work
    finally:
        work.close()  # of a task that was cancelled before it began
        os.close(descriptor)


async def _drain(descriptor: int, writer: Any) -> None:
    """What runs writes; the channel takes it as fast as the client reads."""
    while True:
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            await _ready(descriptor, write=False)
            continue
        except OSError:
            return  # EIO: everybody has left the terminal
        if not data:
            return
        writer.write(data)
        await writer.drain()


async def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            await _ready(descriptor, write=True)


async def _ready(descriptor: int, *, write: bool) -> None:
    """Wait until a read or write would not block."""
    loop = asyncio.get_running_loop()
    add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    ready: asyncio.Future[None] = loop.create_future()
    add(descriptor, _settle, ready)
    try:
        await ready
    finally:
        remove(descriptor)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
