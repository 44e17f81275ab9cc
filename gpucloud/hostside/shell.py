"""Commands and interactive shells of an SSH session: children in a group of their own, wired to the channel."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpucloud.hostside.machine import Machine
from gpucloud.providers.local.processes import record_group

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
        child = await _on_terminal(session, machine)
    else:
        child = await _on_pipes(session, machine)
    record_group(machine.folder, child.pid)
    session.set_redirect_pid(-child.pid)  # signals go to the whole group
    closed = asyncio.ensure_future(session.wait_closed())
    ended = asyncio.ensure_future(child.wait())
    await asyncio.wait({closed, ended}, return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():  # the client left: what a terminal that is hung up would do
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGHUP)
    status = await ended
    session.set_redirect_pid(None)
    if not closed.done():
        await answer(session, status)
    await closed


async def wire(session: Any, stdin: int, stdout: int, stderr: int | None) -> None:
    """Connect our ends of the pipes with the channel.

    The end of a pipe is not passed on: a channel has one end for both streams, so it would cut off the other.
    """
    await session.redirect(
        stdin=os.fdopen(stdin, "wb", buffering=0),
        stdout=os.fdopen(stdout, "rb", buffering=0),
        stderr=None if stderr is None else os.fdopen(stderr, "rb", buffering=0),
        send_eof=False,
    )


async def answer(session: Any, status: int) -> None:
    """Let both streams run dry, then send an exit status, or the signal that ended it (a negative status)."""
    with contextlib.suppress(OSError):
        await session.stdout.drain()
        await session.stderr.drain()
        session.stdout.write_eof()
    _exit(session, status)


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


async def _on_pipes(session: Any, machine: Machine) -> asyncio.subprocess.Process:
    words = [SHELL, "-c", session.command] if session.command is not None else [SHELL]
    (stdin, to_child), (from_child, stdout), (errors_from_child, stderr) = wide_pipe(), wide_pipe(), os.pipe()
    try:
        child = await _start(words, machine, session.env, "", stdin, stdout, stderr)
    finally:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
    await wire(session, to_child, from_child, errors_from_child)
    return child


async def _on_terminal(session: Any, machine: Machine) -> asyncio.subprocess.Process:
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
    await wire(session, os.dup(master), master, None)
    return child


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
