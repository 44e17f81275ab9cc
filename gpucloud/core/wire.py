"""The verbs a machine understands, the same on every machine, in two dialects.

A verb is one SSH exec with byte-exact stdin and stdout. `sh` machines get a POSIX shell script, the embedded
server of `local` gets `gpucloud-host VERB JSON` and answers in Python. What flows is the same. Every answer
begins with the line `gpucloud:start key=value …`, whatever a login shell printed before it.

    push    {root, leaf, git, accept}  out: start line, packed manifest; in: `send CODEC SWAPS… NL`, packed tar stream,
                                   or `done NL`; out: `ok NL`
    part    {root, stage, accept}   in: packed tar stream (one of several of a push); out: `ok NL`
    pull    {root, git, accept}    out: start line, packed manifest; in: `send NL` and paths, each ended by NUL,
                                   or `done NL`; out: packed tar stream
    fetch   {root, accept}         in: paths, each ended by NUL; out: packed tar stream (one of several of a pull)
    hash    {root}                 in: paths, each ended by NUL; out: `SHA256 SP SP PATH NUL` of each
    blocks  {root}                 changed blocks of large files, see `remote.blocks`
    start   {run}                  in: the run's specification (environment and secrets included); out: `ok NL`
    follow  {run, offset, wait}    out: start line with `cap` and `mark`, log bytes from offset, only those;
                                   err: the run's status line at the end
    signal  {run, signal}          out: `ok NL` or `gone NL`
    status  {runs}                 out: one status line per run, in order
    deadline {base, end}           (cloud machines) out: start line with `guard`, `ok NL`

A manifest is records `TYPE SP MODE SP SIZE SP MTIME SP PATH NUL [TARGET NUL]` (octal mode, mtime with nine or
more decimals, target of links only; `-` where the machine cannot tell), then `END gpucloud NUL`. A status line is
`STATE CODE SIZE STARTED ENDED NOW FULL NL` with `-` for what is not known: times by the machine's clock, NOW to
compare it with ours, `full` where the disk was when the run ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

PROOF_FILE = "gpucloud-proof"  # under the machine's base, readable by the login user
WORK_DIR, RUNS_DIR, SETUP_DIR = "work", "runs", "setup"
ENVIRONMENT_FILE = "environment"  # under the machine's base: shell text that every command there begins with
STAGE_DIR = ".gpucloud-stage"  # inside a synced folder while a sync is under way
START_MARK = b"gpucloud:start"


@dataclass(frozen=True)
class Secret:
    """A value that prints as stars."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The value itself, for the one place that must send it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('*****')"

    def __str__(self) -> str:
        return "*****"


class Process(Protocol):
    """One running command on a machine. Not thread-safe per stream; stdout and stderr may be read in two threads."""

    def write(self, data: bytes) -> None:
        """Send all of `data` to its stdin. Raises Unreachable when the link is gone."""
        ...

    def end_input(self) -> None:
        """Close its stdin."""
        ...

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of stdout; empty at the end. Raises Unreachable when the link died first."""
        ...

    def read_error(self, size: int) -> bytes:
        """Up to `size` bytes of stderr; empty at the end."""
        ...

    def wait(self) -> int:
        """Exit status (128 + signal number when killed). Raises Unreachable when the link died first."""
        ...

    def close(self) -> None:
        """Give the channel back; safe to repeat."""
        ...


class Transport(Protocol):
    """An authenticated connection to one machine."""

    dialect: str  # "sh" or "embedded"
    base_dir: str

    def run(self, command: str, *, tty: bool = False) -> Process:
        """Start one command through the login shell (embedded verbs are recognised by the server)."""
        ...

    def close(self) -> None: ...
