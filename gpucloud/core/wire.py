"""The verbs a machine understands, the same on every machine, in two dialects.

A verb is one SSH exec with byte-exact stdin and stdout. `sh` machines get POSIX shell scripts, the embedded
server of `local` gets `gpucloud-host VERB JSON` and answers in Python. What flows is the same:

    manifest  {root}             out: records `TYPE SP MODE SP SIZE SP MTIME SP PATH NUL [TARGET NUL]`, then `END NUL`
    apply     {root, codec}      in: compressed tar stream (deletions listed in a member); out: `ok N NL`
    pack      {root, codec}      in: NUL-ended relative paths; out: compressed tar stream
    start     {run}              in: the run's specification (environment and secrets included); out: `started NL`
    follow    {run, offset}      out: log bytes from offset, only those; err: `exit N` or `lost` at the end
    signal    {run, signal}      out: `ok` or `gone`
    status    {runs: [...]}      out: one line per run: `RUN running|exit N|lost|none SIZE STARTED ENDED`
"""

from __future__ import annotations

from typing import Protocol

PROOF_FILE = "gpucloud-proof"  # under the machine's base, readable by the login user
WORK_DIR, RUNS_DIR = "work", "runs"


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
