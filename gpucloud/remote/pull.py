"""Fetches a remote folder or file: its manifest is compared with what is here, the rest comes as one tar stream."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gpucloud.core.errors import SyncError
from gpucloud.core.wire import STAGE_DIR, Transport
from gpucloud.remote.blockpull import PARTS, BlocksIn
from gpucloud.remote.blocks import BlocksSent, extra_connections, takes_blocks
from gpucloud.remote.checksum import unlike
from gpucloud.remote.codec import accepted_codecs
from gpucloud.remote.difference import Difference, difference
from gpucloud.remote.fetch import Fetched, Stream
from gpucloud.remote.manifest import Entry, Scan, entry_of, scan
from gpucloud.remote.parts import shared_out
from gpucloud.remote.report import Counter, Progress, SyncReport
from gpucloud.remote.talk import Talk
from gpucloud.remote.unpacking import remove, safe_name, sweep
from gpucloud.remote.verbs import Argument


def pull(
    transport: Transport,
    remote: str,
    local: Path,
    *,
    mirror: bool = False,
    checksum: bool = False,
    progress: Progress | None = None,
    more: Callable[[], Transport] | None = None,
) -> SyncReport:
    """Copy what is at `remote` to `local`; with `mirror` also delete what only `local` has.

    A folder's contents land in `local` (made if missing); a file becomes `local`, or lands in it when it is a
    folder. Nothing is ever written outside, whatever the machine sends, nor into a `.git` folder (whose hooks
    would run here). Raises SyncError or Unreachable.
    """
    words: dict[str, Argument] = {"root": remote, "git": False, "accept": accepted_codecs()}
    with Talk(transport, "pull", words) as talk:
        head = talk.head("codec", "fine", "as", "python", "archiver")
        there = talk.manifest(head["codec"])
        target = _target_of(local, remote, head["as"] == "folder")
        here = _scan(target)
        if target.leaf:
            there = [one._replace(path=target.leaf) for one in there]
        delete = mirror and not target.leaf
        todo = difference(_acceptable(there), here.entries, fine=bool(head["fine"]), delete=delete)
        if checksum and not target.leaf:
            todo.send += unlike(transport, target.root, remote, todo.alike)
        return _Pull(transport, talk, head, remote, target, here, todo, Counter(progress, todo.bytes), more).report()


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
    odd = {one.path for one in entries if not _harmless(f"/{one.path}/")}
    for path in odd:
        if not safe_name(path):
            raise SyncError(f"The machine named {path!r}, which leads out of the folder.", "Do not trust it.")
    private = {path for path in odd if _private(f"/{path}/".lower())}
    return [one for one in entries if one.kind in "fdl" and one.path not in private]


def _harmless(path: str) -> bool:
    """Whether a name between slashes is neither unsafe nor private for sure: no part is empty or begins with a dot."""
    return "/." not in path and "//" not in path and "\0" not in path


def _private(path: str) -> bool:
    return "/.git/" in path or f"/{STAGE_DIR}/" in path


@dataclass
class _Pull:
    """The second half of a pull: what to fetch is known."""

    transport: Transport
    talk: Talk
    head: dict[str, str]
    remote: str
    target: Target
    here: Scan
    todo: Difference
    counter: Counter
    more: Callable[[], Transport] | None

    def report(self) -> SyncReport:
        """Fetch, place, delete, and say what was done."""
        large = [one for one in self.todo.send if takes_blocks(one, self.head)]
        done, gone = BlocksSent(), list[str]()
        with contextlib.ExitStack() as stack:
            if self.todo.send:
                self._refuse_blocked()
                self._refuse_full()
                sweep(self.target.root)
            channel = BlocksIn(self.transport, self._root_there(), self.counter) if large else None
            if channel is not None:
                stack.callback(channel.close)
                if not channel.usable():
                    large, channel = [], None
            for path in self.todo.swaps:
                remove(self.target.root, path)
            names = {one.path for one in large}
            got = self._fetch([one for one in self.todo.send if one.path not in names])
            if channel is not None:
                with _writing():
                    gone, done = channel.pull(self.target.root, [(self._there(one), one) for one in large], self.more)
        if not large:
            remove(self.target.root, PARTS)  # no large file waits for what an interrupted pull left of it
            remove(self.target.root, STAGE_DIR, whole=False)
        for path in self.todo.gone:
            remove(self.target.root, path)
        for path in self.todo.gone_folders:
            remove(self.target.root, path, whole=False)
        return SyncReport(
            files=got.files + len(large) - len(gone),
            bytes=got.bytes + sum(one.size for one in large if one.path not in gone),
            deleted=len(self.todo.gone) + len(self.todo.gone_folders),
            same=self.todo.same,
            wire_bytes=got.wire_bytes + done.wire_bytes,
            blocks=done.blocks,
            changed_while_read=(*got.changed, *done.restless),
        )

    def _refuse_blocked(self) -> None:
        if self.todo.blocked:
            raise SyncError(
                f"Here {self.todo.blocked[0]} lies where the machine has a file.",
                "Move it away, or pull with --mirror, which replaces it.",
            )

    def _refuse_full(self) -> None:
        """Fail before the first byte where what is announced cannot fit."""
        have = {one.path: one.size for one in self.here.entries if one.kind == "f"}
        more = sum(max(0, one.size - have.get(one.path, 0)) for one in self.todo.send if one.kind == "f")
        free = shutil.disk_usage(self.target.root).free
        if more > free:
            raise SyncError(
                f"The files need {more} bytes more here, but only {free} are free.",
                "Free space, or choose a folder on another disk.",
            )

    def _root_there(self) -> str:
        """The folder there that names are relative to."""
        if not self.target.leaf:
            return self.remote
        above, slash, _ = self.remote.rstrip("/").rpartition("/")
        return above or slash or "."

    def _there(self, entry: Entry) -> str:
        """The name that an entry has there."""
        return self.remote.rstrip("/").rpartition("/")[2] if self.target.leaf else entry.path

    def _fetch(self, entries: list[Entry]) -> Fetched:
        """Everything that comes as tar streams: one, or several where that pays."""
        total = Fetched()
        if not entries:
            self.talk.process.write(b"done\n")
            return total
        size = sum(one.size for one in entries if one.kind == "f")
        with extra_connections(self.transport, size, self.more) as extra, contextlib.ExitStack() as stack:
            shares = _shares(entries, len(extra) + 1)
            plain = self.head["archiver"] == "other" and not self.head["python"]
            streams = [Stream(self.talk, self.head["codec"], b"send\n", plain)]
            for one in extra:
                words: dict[str, Argument] = {"root": self._root_there(), "accept": accepted_codecs()}
                talk = stack.enter_context(Talk(one, "fetch", words))
                streams.append(Stream(talk, talk.head("codec")["codec"], plain=plain))
            with ThreadPoolExecutor(len(streams)) as pool, _writing():
                for got in list(pool.map(self._take, streams, shares)):
                    total.add(got)
        return total

    def _take(self, stream: Stream, entries: list[Entry]) -> Fetched:
        if not entries:
            stream.talk.process.close()
            return Fetched()
        names = {self._there(one) if self.target.leaf else one.path: one for one in entries}
        return stream.take(self.target.root, names, self.counter.moved)


def _shares(entries: list[Entry], streams: int) -> list[list[Entry]]:
    """What each stream fetches: the first one folders and links too."""
    if streams == 1:
        return [entries]
    first, *others = shared_out([one for one in entries if one.kind == "f"], streams)
    return [[one for one in entries if one.kind != "f"] + first, *others]


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Errors of the disk here, said."""
    try:
        yield
    except OSError as error:
        where = f" {error.filename!r}" if error.filename else ""
        said = f"Cannot write{where} here: {error.strerror or error}."
        raise SyncError(said, "Free space or choose another folder.") from error
