"""Fetches a remote folder or file: its manifest is compared with what is here, the rest comes as one tar stream."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpucloud.core.errors import SyncError
from gpucloud.core.wire import STAGE_DIR, Transport
from gpucloud.remote.checksum import unlike
from gpucloud.remote.codec import Unpacked, accepted_codecs
from gpucloud.remote.difference import Difference, difference
from gpucloud.remote.manifest import Entry, Scan, encoded, entry_of, scan
from gpucloud.remote.report import Counter, Progress, SyncReport
from gpucloud.remote.talk import Talk
from gpucloud.remote.tarformat import Damaged
from gpucloud.remote.unpacking import Landing, remove, safe_name
from gpucloud.remote.verbs import Argument

CHANGED = "file changed as we read it"  # GNU tar's word, exit status 1, for what a run is writing just now


def pull(
    transport: Transport,
    remote: str,
    local: Path,
    *,
    mirror: bool = False,
    checksum: bool = False,
    progress: Progress | None = None,
) -> SyncReport:
    """Copy what is at `remote` to `local`; with `mirror` also delete what only `local` has.

    A folder's contents land in `local` (made if missing); a file becomes `local`, or lands in it when it is a
    folder. Nothing is ever written outside, whatever the machine sends, nor into a `.git` folder (whose hooks
    would run here). Raises SyncError or Unreachable.
    """
    words: dict[str, Argument] = {"root": remote, "git": False, "accept": accepted_codecs()}
    with Talk(transport, "pull", words) as talk:
        head = talk.head()
        there = talk.manifest(head["codec"])
        target = _target_of(local, remote, head["as"] == "folder")
        here = _scan(target)
        if target.leaf:
            there = [one._replace(path=target.leaf) for one in there]
        delete = mirror and not target.leaf
        todo = difference(_acceptable(there), here.entries, fine=bool(head["fine"]), delete=delete)
        if checksum and not target.leaf:
            todo.send += unlike(transport, target.root, remote, todo.alike)
        return _Pull(talk, head, remote, target, here, todo, Counter(progress, todo.bytes)).report()


@dataclass(frozen=True)
class Target:
    """Where it lands: a folder, and the name of the one file there when a single file is pulled."""

    root: str
    leaf: str = ""


def _target_of(local: Path, remote: str, folder: bool) -> Target:
    if folder:
        _make(local)
        return Target(os.fspath(local))
    if local.is_dir():
        return Target(os.fspath(local), remote.rstrip("/").rpartition("/")[2])
    _make(local.parent)
    return Target(os.fspath(local.parent), local.name)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SyncError(f"Cannot make the folder {folder}: {error.strerror}.", "Choose another one.") from error


def _scan(target: Target) -> Scan:
    if not target.leaf:
        return scan(target.root, git_folder=False)
    path = os.path.join(target.root, target.leaf)
    return Scan([entry_of(target.leaf, os.lstat(path))]) if os.path.lexists(path) else Scan()


def _acceptable(entries: Sequence[Entry]) -> list[Entry]:
    """What may be fetched. A name that leads out is an attack; pipes, devices and `.git` stay where they are."""
    for one in entries:
        if not safe_name(one.path):
            raise SyncError(f"The machine named {one.path!r}, which leads out of the folder.", "Do not trust it.")
    private = (".git", STAGE_DIR)
    return [
        one for one in entries if one.kind in "fdl" and not any(part.lower() in private for part in one.path.split("/"))
    ]


@dataclass
class _Pull:
    """The second half of a pull: what to fetch is known."""

    talk: Talk
    head: dict[str, str]
    remote: str
    target: Target
    here: Scan
    todo: Difference
    counter: Counter
    failed: list[str] = field(default_factory=list)

    def report(self) -> SyncReport:
        """Fetch, place, delete, and say what was done."""
        if self.todo.send:
            self._refuse_blocked()
            files, size, wire_bytes = self._fetch()
        else:
            self.talk.process.write(b"done\n")
            files = size = wire_bytes = 0
        for path in self.todo.gone:
            remove(self.target.root, path)
        for path in self.todo.gone_folders:
            remove(self.target.root, path, whole=False)
        return SyncReport(
            files=files,
            bytes=size,
            deleted=len(self.todo.gone) + len(self.todo.gone_folders),
            same=self.todo.same,
            wire_bytes=wire_bytes,
            changed_while_read=tuple(self._changed()),
        )

    def _refuse_blocked(self) -> None:
        if self.todo.blocked:
            raise SyncError(
                f"Here {self.todo.blocked[0]} lies where the machine has a file.",
                "Move it away, or pull with --mirror, which replaces it.",
            )

    def _fetch(self) -> tuple[int, int, int]:
        """(files, bytes, packed bytes) of the tar stream, with each file placed under its real name when whole."""
        feed = threading.Thread(target=self._ask, daemon=True)
        feed.start()
        for path in self.todo.swaps:
            remove(self.target.root, path)
        stream = Unpacked(self.head["codec"], self.talk.read)
        wanted = {one.path: one for one in self.todo.send}
        try:
            with Landing(self.target.root, self.counter.moved) as landing:
                rename = {self._remote_name(): self.target.leaf} if self.target.leaf else {}
                landing.take(stream.read_exactly, wanted, rename)
        except (EOFError, Damaged) as error:
            raise self._failure(str(error)) from error
        except OSError as error:
            where = f" {error.filename!r}" if error.filename else ""
            said = f"Cannot write{where} here: {error.strerror}."
            raise SyncError(said, "Free space or choose another folder.") from error
        feed.join()
        for _ in self.talk.chunks():
            pass
        self._judge(landing.missing(wanted))
        return landing.files, landing.bytes, stream.packed_bytes

    def _remote_name(self) -> str:
        return self.remote.rstrip("/").rpartition("/")[2]

    def _ask(self) -> None:
        names = [self._remote_name()] if self.target.leaf else [one.path for one in self.todo.send]
        try:
            self.talk.process.write(b"send\n" + b"".join(encoded(name) + b"\0" for name in names))
            self.talk.process.end_input()
        except Exception:  # the reader meets the same loss and raises it
            return

    def _judge(self, missing: Sequence[str]) -> None:
        """Raise when something did not come, unless it only vanished or changed while it was read."""
        complaints = self.talk.complaints()
        if missing and any(word in complaints for word in ("Permission denied", "Cannot read", "Input/output")):
            raise self.talk.failure()

    def _changed(self) -> list[str]:
        lines = self.talk.complaints_so_far().splitlines() if self.todo.send else []
        return [line.removeprefix("tar: ").split(": ")[0] for line in lines if CHANGED in line]

    def _failure(self, said: str) -> SyncError:
        return self.talk.failure(said)
