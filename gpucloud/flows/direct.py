"""A command with its input and output here: `exec`, on one node or on several at once."""

from __future__ import annotations

import os
import select
import shlex
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO, TextIO

from gpucloud.core.cloud import Resource
from gpucloud.core.errors import Unreachable
from gpucloud.core.wire import ENVIRONMENT_FILE, WORK_DIR, Process, Transport
from gpucloud.flows.lines import Lines
from gpucloud.flows.machines import Dial, Fleet, Node
from gpucloud.remote.verbs import through_any_shell

CHUNK = 65536


# The environment is that of a login, as for runs: of the login shell where it speaks sh, else of sh. What a profile
# prints is dropped, and the command's input is not given to it.
IN_LOGIN = """\
exec 6<&0 7>&1 8>&2 </dev/null >/dev/null 2>&1
inner='exec <&6 >&7 2>&8 6<&- 7>&- 8>&-; eval "$0"'
case ${SHELL##*/} in bash | zsh | ksh) exec "$SHELL" -lc "$inner" %s;; esac
for profile in /etc/profile "$HOME/.profile"; do if [ -r "$profile" ]; then . "$profile"; fi; done
exec sh -c "$inner" %s
"""


def command_line(transport: Transport, words: Sequence[str]) -> str:
    """The exec text for a command in the work folder: one word is shell text, several are quoted."""
    text = words[0] if len(words) == 1 else shlex.join(words)
    folder = shlex.quote(f"{transport.base_dir}/{WORK_DIR}")
    command = f"{_environment(transport)}cd {folder} 2>/dev/null || cd; {text}"
    if transport.dialect == "sh":
        command = IN_LOGIN % ((shlex.quote(command),) * 2)
    return through_any_shell(command)


def shell_line(transport: Transport) -> str:
    """The exec text for a login shell that sees the leased GPUs only; empty where there is nothing to be set."""
    own = getattr(getattr(transport, "endpoint", None), "agent", False)
    return through_any_shell(f'{_environment(transport)}exec "${{SHELL:-/bin/sh}}" -l') if own else ""


def _environment(transport: Transport) -> str:
    """Shell text that reads what every command of this deployment begins with, where the machine has it."""
    if transport.dialect != "sh":
        return ""
    file = shlex.quote(f"./{transport.base_dir}/{ENVIRONMENT_FILE}")
    return f"if [ -r {file} ]; then . {file}; fi; "


def execute(
    dial: Dial,
    machines: Sequence[Resource],
    words: Sequence[str],
    stdin: TextIO,
    stdout: BinaryIO,
    stderr: BinaryIO,
    tty: bool = False,
) -> int:
    """Run it on every machine at once; the largest exit code. Input goes to a single machine only."""
    several = len(machines) > 1
    out, err = Lines(_writer(stdout), several), Lines(_writer(stderr), several)
    codes: dict[int, int] = {}

    def work(node: Node) -> None:
        process = node.transport.run(command_line(node.transport, words), tty=tty)
        _feed(process, None if several else stdin)
        errors = threading.Thread(target=_copy, args=(process.read_error, err, node.rank), daemon=True)
        errors.start()
        _copy(process.read, out, node.rank)
        errors.join()
        codes[node.rank] = process.wait()
        process.close()

    with Fleet(machines, dial) as fleet:
        from gpucloud.flows.session import on_all

        on_all(fleet.nodes, work)
    out.end()
    err.end()
    return max(codes.values())


def _writer(stream: BinaryIO) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        stream.write(data)
        stream.flush()

    return write


def _copy(read: Callable[[int], bytes], lines: Lines, rank: int) -> None:
    while data := read(CHUNK):
        lines.write(rank, data)


def _feed(process: Process, stdin: TextIO | None) -> None:
    """Pass our input on in the background, where there is any: a pipe or a file, not a terminal."""
    if stdin is None or stdin.closed or stdin.isatty():
        process.end_input()
        return
    threading.Thread(target=_pump, args=(process, stdin.fileno()), daemon=True).start()


def _pump(process: Process, descriptor: int) -> None:
    with suppress(Unreachable, OSError, ValueError):
        while True:
            select.select([descriptor], [], [])
            data = os.read(descriptor, CHUNK)
            if not data:
                process.end_input()
                return
            process.write(data)
