"""Reads the answer of one verb: past what a login shell printed, line by line or as bytes, and why it failed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

from gpucloud.core.errors import SyncError, Unreachable
from gpucloud.core.wire import START_MARK, Process, Transport
from gpucloud.remote.codec import Unpacked
from gpucloud.remote.manifest import END, Entry, parse
from gpucloud.remote.verbs import Argument, run_verb

CHUNK = 1 << 18
MAX_BANNER = MAX_LINE = 1 << 20  # bytes of a login shell's talk, and of one line
MAX_COMPLAINT = 1 << 16
MAX_MANIFEST = 1 << 29  # bytes: some five million names
MAX_QUOTE = 400


class Talk:
    """One verb under way. Its stderr is drained by a thread, so that the machine never blocks on it."""

    def __init__(self, transport: Transport, verb: str, arguments: Mapping[str, Argument]) -> None:
        self.verb = verb
        self.process: Process = run_verb(transport, verb, arguments)
        self._kept = bytearray()
        self._complaints = bytearray()
        self._drain = threading.Thread(target=self._drain_errors, daemon=True)
        self._drain.start()

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.close()

    def _drain_errors(self) -> None:
        with contextlib.suppress(Unreachable):  # whoever reads stdout meets the same and raises it
            while data := self.process.read_error(CHUNK):
                if len(self._complaints) < MAX_COMPLAINT:
                    self._complaints += data

    def head(self, *needed: str) -> dict[str, str]:
        """The `key=value` words of the start line, among them those `needed`. What a login shell printed before it is
        dropped."""
        said = bytearray()
        while True:
            line = self.line()
            if line.startswith(START_MARK):
                words = line[len(START_MARK) :].decode("ascii", "replace").split()
                found = dict(word.partition("=")[::2] for word in words)
                if not found.keys() >= set(needed):
                    raise self.failure("its answer is not complete")
                return found
            said += line
            if len(said) > MAX_BANNER:
                raise self._flooded()
            if not line.endswith(b"\n"):
                raise self.failure(said[-MAX_QUOTE:].decode("utf-8", "replace").strip())

    def line(self) -> bytes:
        """One line with its newline; without one at the end of the stream."""
        while (end := self._kept.find(b"\n")) < 0:
            data = self.process.read(CHUNK)
            if not data:
                end = len(self._kept) - 1
                break
            self._kept += data
            if len(self._kept) > MAX_LINE and b"\n" not in data:
                raise self._flooded()
        taken = bytes(self._kept[: end + 1])
        del self._kept[: end + 1]
        return taken

    def _flooded(self) -> SyncError:
        self.process.close()
        return SyncError(
            f"The machine printed more than {MAX_BANNER >> 10} KiB where the answer to {self.verb} should begin.",
            "Look at what its login shell's start-up files print: gpucloud ssh NAME",
        )

    def read(self, size: int = CHUNK) -> bytes:
        """Some bytes, at most `size`; empty at the end."""
        if self._kept:
            taken = bytes(self._kept[:size])
            del self._kept[:size]
            return taken
        return self.process.read(size)

    def read_exactly(self, size: int) -> bytes:
        """`size` bytes, or SyncError when the stream ends before."""
        taken = bytearray()
        while len(taken) < size:
            data = self.read(size - len(taken))
            if not data:
                raise self.failure()
            taken += data
        return bytes(taken)

    def manifest(self, codec: str) -> list[Entry]:
        """The packed manifest that stands next in the stream."""
        stream = Unpacked(codec, self.read)
        data = bytearray()
        try:
            while piece := stream.read(1 << 20):
                data += piece
                if len(data) > MAX_MANIFEST:
                    raise SyncError("The machine's list of files is too long.", "Sync folders below it one by one.")
                if codec == "none" and (at := data.find(END + b"\0")) >= 0:
                    self.give_back(bytes(data[at + len(END) + 1 :]))
                    del data[at + len(END) + 1 :]
                    break
        except EOFError:
            raise self.failure() from None
        self.give_back(stream.left_over)
        entries = parse(bytes(data))
        if entries is None:
            raise self.failure()
        return entries

    def give_back(self, data: bytes) -> None:
        """Put bytes that were read too far before those still to come."""
        self._kept[:0] = data

    def chunks(self) -> Iterator[bytes]:
        """Everything that is left."""
        while data := self.read():
            yield data

    def complaints(self) -> str:
        """What the machine wrote to stderr, complete once its stdout has ended."""
        self._drain.join(timeout=5)
        return self.complaints_so_far()

    def complaints_so_far(self) -> str:
        """What has come of stderr until now."""
        return bytes(self._complaints).decode("utf-8", "replace").strip()

    def ended_well(self) -> bool:
        """Whether the answer closes with `ok` and status 0. Reads to the end."""
        rest = b""
        for data in self.chunks():
            rest = (rest + data)[-MAX_QUOTE:]
        return rest.rstrip().endswith(b"ok") and self.process.wait() == 0

    def failure(self, said: str = "") -> SyncError:
        """The error that fits what the machine complained about."""
        return explained(self.complaints() or said, self.verb)


MISSING = "No such file or directory"
# (what the system calls say in the C locale, our sentence, the next step)
MEANINGS = (
    ("No space left on device", "The machine's disk is full", "Free space there, or use a larger --disk-gib."),
    ("Wrote only", "The machine's disk is full", "Free space there, or use a larger --disk-gib."),  # GNU tar
    ("File size limit exceeded", "A file is larger than the machine allows", "Raise its limit there (ulimit -f)."),
    ("File too large", "A file is larger than the machine allows", "Raise its limit there (ulimit -f)."),
    ("Disk quota exceeded", "The disk quota on the machine is used up", "Free space there."),
    ("Read-only file system", "The file system on the machine is read-only", "Choose another remote path."),
    ("Permission denied", "The machine does not permit it", "Choose a remote path that the login user owns."),
    ("Operation not permitted", "The machine does not permit it", "Choose a remote path of the login user."),
    (MISSING, "There is no such path on the machine", "Look with: gpucloud exec NAME -- ls"),
    ("Not a directory", "A part of the remote path is not a folder", "Choose another remote path."),
    ("File name too long", "A name is too long for the machine's file system", "Exclude it or shorten it."),
    ("can't cd to", "A folder there cannot be entered", "Choose a remote path that the login user may enter."),  # dash
    ("a terminal needs", "The machine cannot give a terminal", "Install python3 there, or leave --tty out."),
    ("command not found", "The machine lacks a program", "Install tar there, or python3."),
)


def explained(complaint: str, verb: str) -> SyncError:
    """A SyncError with the sentence for what the machine said, its first lines quoted.

    A path that is not there sets the detail `missing`: a run's outputs may rightly be absent.
    """
    lines = [line for line in complaint.splitlines() if line.strip() and not line.startswith("tar: Exiting")]
    quoted = " | ".join(lines[:3]) + (f" (and {len(lines) - 3} more)" if len(lines) > 3 else "")
    for needle, sentence, hint in MEANINGS:
        if needle in complaint:
            details = {"missing": True} if needle == MISSING else {}
            return SyncError(f"{sentence}: {quoted}.", hint, **details)
    if quoted:
        return SyncError(f"The machine failed at {verb}: {quoted}.", "Repeat it with --debug for more.")
    return SyncError(f"The machine ended {verb} early.", "Repeat it: what has arrived is not sent again.")
