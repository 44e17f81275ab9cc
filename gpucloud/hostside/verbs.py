"""Answers the verbs of `core.wire` in Python, for the embedded server of `local`: no program of the host is needed."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from gpucloud.core.wire import START_MARK


class Machine(Protocol):
    """What the verbs need to know about the machine they run on. `environment` is that of its jobs; `gone` is set
    when the client of this call has left."""

    @property
    def id(self) -> str: ...

    @property
    def home(self) -> Path: ...

    @property
    def environment(self) -> Mapping[str, str]: ...

    @property
    def gone(self) -> threading.Event: ...


class Refused(Exception):
    """The verb cannot be done; the text goes to stderr, the exit status is 73."""


class Call:
    """One verb under way: its arguments, the machine, and the three streams."""

    def __init__(
        self, arguments: Mapping[str, Any], stdin: BinaryIO, stdout: BinaryIO, stderr: BinaryIO, machine: Machine
    ) -> None:
        self.arguments = arguments
        self.machine = machine
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._ahead = b""

    def path(self, text: str) -> Path:
        """A path of the client, relative ones below the machine's home."""
        return self.machine.home / text

    def begin(self, **words: object) -> None:
        """Write the start line."""
        line = " ".join(f"{key}={'' if value is None else value}" for key, value in words.items())
        self.say(b"\n" + START_MARK + b" " + line.encode() + b"\n")

    def say(self, data: bytes) -> None:
        """Write to stdout, now."""
        self._stdout.write(data)
        self._stdout.flush()

    def complain(self, text: str) -> None:
        """Write a line to stderr, now."""
        self._stderr.write(text.encode("utf-8", "replace") + b"\n")
        self._stderr.flush()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of stdin, as soon as there are any; empty at the end."""
        if self._ahead:
            taken, self._ahead = self._ahead[:size], self._ahead[size:]
            return taken
        read = getattr(self._stdin, "read1", self._stdin.read)
        data: bytes = read(size)
        return data

    def read_all(self) -> bytes:
        """The rest of stdin."""
        parts = []
        while data := self.read(1 << 18):
            parts.append(data)
        return b"".join(parts)

    def lines(self) -> io.BufferedReader:
        """The rest of stdin as a file with lines."""
        return io.BufferedReader(_Raw(self), 1 << 18)

    def read_line(self) -> bytes:
        """One line without its newline; None-like empty when stdin ends first."""
        line = b""
        while b"\n" not in line:
            data = self.read(1 << 16)
            if not data:
                return b""
            line += data
        line, _, rest = line.partition(b"\n")
        self._ahead = rest + self._ahead
        return line


class _Raw(io.RawIOBase):
    """Stdin of a call as a raw file."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._call.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def serve_verb(
    verb: str,
    args: Mapping[str, Any],
    stdin: BinaryIO,
    stdout: BinaryIO,
    stderr: BinaryIO,
    machine: Machine,
) -> int:
    """Do `verb` with blocking streams; returns the exit status (0, or 64 unknown, 73 refused)."""
    from gpucloud.hostside import runs, trees

    served: Mapping[str, Callable[[Call], None]] = {
        "push": trees.push,
        "part": trees.part,
        "pull": trees.pull,
        "fetch": trees.fetch,
        "hash": trees.hash_files,
        "blocks": trees.blocks,
        "start": runs.start,
        "follow": runs.follow,
        "signal": runs.signal_run,
        "status": runs.status,
    }
    call = Call(args, stdin, stdout, stderr, machine)
    if verb not in served:
        call.complain(f"gpucloud-host: unknown verb {verb}")
        return 64
    try:
        served[verb](call)
    except Refused as refused:
        call.complain(f"gpucloud: {refused}")
        return 73
    except BrokenPipeError:
        return 141  # the client has gone
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        call.complain(f"gpucloud: {where}{error.strerror or error}")
        return 73
    return 0
