"""Commands and interactive shells of an SSH session: children in a group of their own, wired to the channel."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import asyncssh

from gpucloud.hostside.machine import Machine
from gpucloud.hostside.wires import Wires
from gpucloud.providers.local.processes import record_group

Ends = tuple[int, int, "int | None"]  # our ends: to its stdin, from its stdout, from its stderr
SHELL = "/bin/sh"
PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031  # Linux; Python names it from 3.10 on only where the C library does
FROM_CLIENT = ("LANG", "LC_", "TERM", "COLORTERM", "NO_COLOR")

# A session leader takes the terminal on its standard input as its own. Done by a small program, because
# doing it between fork and exec is not safe in a process with threads.
_TAKE_TERMINAL = "import fcntl,os,sys,termios;fcntl.ioctl(0,termios.TIOCSCTTY,0);os.execv(sys.argv[1],sys.argv[2:])"


async def run_command(session: Any, machine: Machine) -> None:
    """Run the session's command (or a login shell) and answer with its exit status or signal."""
    if session.term_type is not None:
        child, ends = await _on_terminal(session, machine)
    else:
        child, ends = await _on_pipes(session, machine)
    record_group(machine.folder, child.pid)
    wires = Wires(session, *ends, lambda notice: _pass_on(notice, child.pid, ends[1]))
    await answer(session, wires, asyncio.ensure_future(child.wait()), lambda: _signal(child.pid, signal.SIGHUP))


async def answer(session: Any, wires: Wires, status: asyncio.Future[int], on_leave: Callable[[], None]) -> None:
    """Send the exit status (negative: the signal) once the outputs ran dry; `on_leave` when the client leaves first."""
    closed = asyncio.ensure_future(session.wait_closed())
    told = asyncio.gather(status, wires.run_dry())
    try:
        await asyncio.wait({closed, status}, return_when=asyncio.FIRST_COMPLETED)
        if not status.done():
            on_leave()
        # a child that went to the background keeps the outputs, and with them the session, as under sshd
        await asyncio.wait({closed, told}, return_when=asyncio.FIRST_COMPLETED)
        if not closed.done():
            _exit(session, told.result()[0])
    finally:
        await wires.cut()
        await asyncio.gather(told, return_exceptions=True)
        await status
        await closed


def _pass_on(notice: Exception, group: int, terminal: int) -> None:
    """A signal or a new window size from the client."""
    if isinstance(notice, asyncssh.TerminalSizeChanged):
        with contextlib.suppress(OSError):
            _set_size(terminal, notice.term_size)
    elif isinstance(notice, asyncssh.BreakReceived):
        _signal(group, signal.SIGINT)
    elif isinstance(notice, asyncssh.SignalReceived):
        _signal(group, getattr(signal, f"SIG{notice.signal}", 0))


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _exit(session: Any, status: int) -> None:
    if status >= 0:
        session.exit(status)
        return
    try:
        name = signal.Signals(-status).name.removeprefix("SIG")
    except ValueError:
        name = ""
    if name in ("ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2"):
        session.exit_with_signal(name)
    else:
        session.exit(128 - status)  # a signal that RFC 4254 has no name for


async def _on_pipes(session: Any, machine: Machine) -> tuple[asyncio.subprocess.Process, Ends]:
    words = [SHELL, "-c", session.command] if session.command is not None else [SHELL]
    (stdin, to_child), (from_child, stdout), (errors_from_child, stderr) = wide_pipe(), wide_pipe(), os.pipe()
    try:
        child = await _start(words, machine, session.env, "", stdin, stdout, stderr)
    finally:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
    return child, (to_child, from_child, errors_from_child)


async def _on_terminal(session: Any, machine: Machine) -> tuple[asyncio.subprocess.Process, Ends]:
    login = machine.environment.get("SHELL", SHELL)
    of_login = [login, "-" + Path(login).name]  # the dash tells a shell that it is the login shell
    words = of_login if session.command is None else [SHELL, SHELL, "-c", session.command]
    master, terminal = os.openpty()
    _set_size(terminal, session.term_size)
    take = [sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *words]
    try:
        child = await _start(take, machine, session.env, session.term_type, terminal, terminal, terminal)
    finally:
        os.close(terminal)
    return child, (os.dup(master), master, None)


async def _start(
    words: list[str], machine: Machine, asked: Mapping[str, str], term: str, stdin: int, stdout: int, stderr: int
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *words,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=machine.home,
        env=session_environment(machine, asked, term),
        start_new_session=True,
    )


def session_environment(machine: Machine, asked: Mapping[str, str], term: str) -> dict[str, str]:
    """The machine's environment, plus the language and terminal the client may set."""
    wished = {key: value for key, value in asked.items() if key.startswith(FROM_CLIENT)}
    return {**machine.environment, **wished, **({"TERM": term} if term else {})}


def wide_pipe() -> tuple[int, int]:
    """A pipe with room for a megabyte where the system allows that."""
    reader, writer = os.pipe()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.fcntl(writer, F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer


def _set_size(terminal: int, size: tuple[int, int, int, int]) -> None:
    import struct
    import termios

    columns, rows, wide, high = size
    if columns and rows:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, wide, high))
