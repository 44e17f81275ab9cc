"""Large files that come here: only blocks that differ from what is here, checked one by one, over several connections
on a long line. An interrupted copy goes on where it was; the real name appears when the file is whole."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO

from gpucloud.core.errors import SyncError
from gpucloud.core.wire import STAGE_DIR, Transport
from gpucloud.remote import blocks
from gpucloud.remote.blocks import DIGEST_BYTES, MAX_TRIES, Blocks, BlocksSent, extra_connections
from gpucloud.remote.folders import Folders
from gpucloud.remote.manifest import Entry, encoded
from gpucloud.remote.talk import Talk
from gpucloud.remote.unpacking import set_time

PARTS = f"{STAGE_DIR}/parts"
AHEAD = 6  # blocks asked for before the first has come: more than OpenSSH's window of 2 MiB holds
FICLONE = 0x40049409
COPY_BYTES = 1 << 26  # at once
OPEN_PLACE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW


@dataclass(frozen=True)
class Shown:
    """What the machine says of a file: size (-1: it is gone), mode, mtime, and the digest of each block."""

    size: int
    mode: int
    mtime_ns: int
    digests: Sequence[bytes] = ()


@dataclass
class Wanted:
    """The numbers of the blocks to fetch, given out once each; `torn` when one came that was not as announced."""

    numbers: Iterator[int]
    digests: Sequence[bytes]
    torn: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> int | None:
        """One more, for whichever connection has room."""
        with self.lock:
            return next(self.numbers, None)


class BlocksIn(Blocks):
    """The channel for large files of one pull: from `root` on the machine."""

    def pull(
        self, local: str, files: Sequence[tuple[str, Entry]], more: Callable[[], Transport] | None
    ) -> tuple[list[str], BlocksSent]:
        """Fetch (name there, entry with the name here) pairs below the folder `local`; returns names that were gone."""
        gone = []
        with extra_connections(self._transport, sum(entry.size for _, entry in files), more) as extra:
            helpers = [Talk(one, "blocks", {"root": self._root}) for one in extra]
            try:
                for helper in helpers:
                    helper.head()
                with contextlib.closing(Folders(local)) as folders:
                    gone = [entry.path for name, entry in files if not self._fetch(name, entry, folders, helpers)]
            finally:
                for helper in helpers:
                    helper.process.close()
        return gone, self.sent

    def _fetch(self, name: str, entry: Entry, folders: Folders, helpers: list[Talk]) -> bool:
        """One file; False when it has gone there."""
        with _place(entry.path, folders) as place:
            for _ in range(MAX_TRIES):
                shown = self._shown(name, entry, place, folders, helpers)
                if shown.size < 0:
                    place.drop()
                    return False
                self._say(self._talk, b"still\n")
                quiet = self._numbers() == (shown.size, shown.mode, shown.mtime_ns)
                if quiet:
                    break
            else:
                self.sent.restless.append(entry.path)
            place.become(entry.path, shown, folders)
        return True

    def _shown(self, name: str, entry: Entry, place: Place, folders: Folders, helpers: list[Talk]) -> Shown:
        """One pass over a file: digests of both sides at once, then what differs."""
        path = encoded(name)
        self._say(self._talk, b"give %d %d\n" % (blocks.BLOCK, len(path)) + path)
        with ThreadPoolExecutor(1) as beside:
            hashing = beside.submit(place.prepare, entry.path, folders)
            size, mode, mtime_ns = self._numbers()
            if size < 0:
                return Shown(-1, 0, 0)
            if size > most(entry.size):
                raise SyncError(f"{entry.path} has grown to {size} bytes meanwhile.", "Repeat it.")
            count = -(-size // blocks.BLOCK)
            data = self._talk.read_exactly(count * DIGEST_BYTES) if count else b""
            ours = hashing.result()
        digests = [data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES)]
        missing = [number for number, one in enumerate(digests) if ours[number : number + 1] != [one]]
        self._counter.moved(size - min(size, len(missing) * blocks.BLOCK))
        wanted = Wanted(iter(missing), digests)
        used = helpers if len(missing) * blocks.BLOCK >= blocks.LARGE_BYTES else []
        for helper in used:
            self._say(helper, b"open %d\n" % len(path) + path)
        with ThreadPoolExecutor(len(used) + 1) as pool:
            list(pool.map(lambda talk: self._take(talk, place, wanted), [self._talk, *used]))
        return Shown(size, mode, -1 if wanted.torn else mtime_ns, digests)

    def _numbers(self) -> tuple[int, int, int]:
        """SIZE MODE MTIME_NS, as the machine says them."""
        try:
            size, mode, mtime_ns = (int(word) for word in self._talk.line().split())
        except ValueError:
            raise self._talk.failure() from None
        return size, mode, mtime_ns

    def _take(self, talk: Talk, place: Place, wanted: Wanted) -> None:
        """Fetch blocks over one connection, several asked for ahead, until there are no more."""
        under_way: deque[int] = deque()
        while True:
            while len(under_way) < AHEAD and (number := wanted.next()) is not None:
                self._say(talk, b"take %d %d\n" % (number * blocks.BLOCK, blocks.BLOCK))
                under_way.append(number)
            if not under_way:
                return
            number = under_way.popleft()
            data = self._block(talk)
            if hashlib.sha256(data).digest() != wanted.digests[number]:
                wanted.torn = True
            place.write(data, number * blocks.BLOCK)
            self._counter.moved(len(data))
            with wanted.lock:
                self.sent.blocks += 1
                self.sent.wire_bytes += len(data)

    def _block(self, talk: Talk) -> bytes:
        said = talk.line()
        if not said.strip().isdigit() or int(said) > blocks.BLOCK:
            raise talk.failure()
        return talk.read_exactly(int(said)) if int(said) else b""


def most(announced: int) -> int:
    """How much may come where so many bytes were announced: files grow while they are read, but not without end."""
    return 2 * announced + (1 << 30)


class Place:
    """The unfinished copy of one file, locked: two pulls of it would write into each other."""

    def __init__(self, descriptor: int, name: str, parts: int, fresh: bool) -> None:
        self._descriptor, self._name, self._parts, self._fresh = descriptor, name, parts, fresh

    def prepare(self, path: str, folders: Folders) -> list[bytes]:
        """Digests of what is here. A fresh copy begins as that of the file itself, if there is one."""
        if self._fresh:
            self._fresh = False
            with contextlib.suppress(OSError, SyncError):  # without it every block is fetched
                return self._copied(path, folders)
        return _digests(self._descriptor)

    def _copied(self, path: str, folders: Folders) -> list[bytes]:
        """The digests of the file that is here, copied meanwhile."""
        folder, _, last = path.rpartition("/")
        source = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folders.at(folder, make=False))
        with open(source, "rb") as old, ThreadPoolExecutor(1) as beside:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                return []
            copying = beside.submit(self._copy, old)
            digests = _digests(source)
            copying.result()
            return digests

    def _copy(self, old: BinaryIO) -> None:
        try:
            fcntl.ioctl(self._descriptor, FICLONE, old.fileno())
        except OSError:
            at = _copied_by_the_kernel(old.fileno(), self._descriptor)
            old.seek(at)
            os.lseek(self._descriptor, at, os.SEEK_SET)
            with open(self._descriptor, "wb", closefd=False) as new:
                shutil.copyfileobj(old, new, 1 << 20)

    def write(self, data: bytes, at: int) -> None:
        """Put a block at its offset."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._descriptor, view, at)
            view, at = view[done:], at + done

    def drop(self) -> None:
        """Leave nothing."""
        os.unlink(self._name, dir_fd=self._parts)

    def become(self, path: str, shown: Shown, folders: Folders) -> None:
        """Take the real name."""
        os.ftruncate(self._descriptor, shown.size)
        os.fchmod(self._descriptor, shown.mode & 0o1777)
        set_time(self._descriptor, max(shown.mtime_ns, 0))
        folder, _, last = path.rpartition("/")
        os.rename(self._name, last, src_dir_fd=self._parts, dst_dir_fd=folders.at(folder))


def _copied_by_the_kernel(source: int, target: int) -> int:
    """How many bytes it took over: all of them, or fewer where it cannot (macOS, some file systems)."""
    at = 0
    with contextlib.suppress(AttributeError, OSError):
        while done := os.copy_file_range(source, target, COPY_BYTES, at, at):
            at += done
    return at


@contextlib.contextmanager
def _place(path: str, folders: Folders) -> Iterator[Place]:
    name = hashlib.sha256(encoded(path)).hexdigest()
    parts = os.dup(folders.at(PARTS))
    try:
        fresh = name not in os.listdir(parts)
        descriptor = os.open(name, OPEN_PLACE, 0o600, dir_fd=parts)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SyncError(f"Another pull is fetching {path} just now.", "Wait for it.") from None
            yield Place(descriptor, name, parts, fresh)
        finally:
            os.close(descriptor)
    finally:
        os.close(parts)
    with contextlib.suppress(OSError):  # other files' unfinished copies stay
        os.rmdir("parts", dir_fd=folders.at(STAGE_DIR))
        os.rmdir(STAGE_DIR, dir_fd=folders.at(""))


def _digests(descriptor: int) -> list[bytes]:
    size = os.fstat(descriptor).st_size
    return [hashlib.sha256(os.pread(descriptor, blocks.BLOCK, at)).digest() for at in range(0, size, blocks.BLOCK)]
