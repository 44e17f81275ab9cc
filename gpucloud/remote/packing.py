"""Sends files as one packed tar stream: read, packed and sent in overlapping threads, changes while read noticed.

A file's content goes to a numbered name in the stage folder, then a hard link gives it its real name: what is
under a real name is always whole, in every tar, without a second pass over the tree.
"""

from __future__ import annotations

import contextlib
import os
import queue
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from gpucloud.remote import tarformat as tar
from gpucloud.remote.codec import packer
from gpucloud.remote.manifest import Entry, encoded, entry_of

BATCH = 1 << 18
QUEUED_BATCHES = 8
MAX_TRIES = 3
ZEROS = bytes(tar.BLOCK)
# a name that became a pipe or a link since the scan must neither block nor lead out of the tree
READING = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass
class Sent:
    """What went out. `unreadable` names failed to open or read; `restless` ones changed each time they were read."""

    files: int = 0
    bytes: int = 0
    wire_bytes: int = 0
    unreadable: list[str] = field(default_factory=list)
    restless: list[str] = field(default_factory=list)


class Outlet:
    """Packs what is put in and hands it to `send` in a thread of its own; an error there comes out of `put`."""

    def __init__(self, codec: str, send: Callable[[bytes], None]) -> None:
        self._packer = packer(codec)
        self._send = send
        self._batches: queue.Queue[bytes | None] = queue.Queue(QUEUED_BATCHES)
        self._parts: list[bytes] = []
        self._size = 0
        self._error: BaseException | None = None
        self.wire_bytes = 0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._out(self._packer.compress, batch)  # after an error too, so that `put` never blocks
        self._out(lambda _: self._packer.flush(), b"")

    def _out(self, pack: Callable[[bytes], bytes], batch: bytes) -> None:
        if self._error is not None:
            return
        try:
            if data := pack(batch):
                self.wire_bytes += len(data)
                self._send(data)
        except BaseException as error:
            self._error = error

    def put(self, *parts: bytes) -> None:
        """Add bytes to the stream."""
        self._parts += parts
        for part in parts:
            self._size += len(part)
        if self._size >= BATCH:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._error is not None:
            raise self._error
        self._batches.put(b"".join(self._parts))
        self._parts, self._size = [], 0

    def finish(self) -> None:
        """Send what is left and wait until all is out."""
        if self._parts and self._error is None:
            self._hand_over()
        self.abandon()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """End the thread; what it still holds may be sent or not."""
        if self._thread.is_alive():
            self._batches.put(None)
            self._thread.join()


class FilesOut:
    """Writes names of a local tree into an Outlet, contents and all, as a plain archive does."""

    def __init__(self, root: str, outlet: Outlet, moved: Callable[[int], None] = lambda _: None) -> None:
        self._root = root
        self._outlet = outlet
        self._moved = moved
        self.sent = Sent()

    def write_names(self, names: Iterable[str]) -> None:
        """The files, folders and links of these names; what is gone is left out."""
        for name in names:
            path = os.path.join(self._root, name)
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(path)
                target = os.readlink(path) if stat.S_ISLNK(found.st_mode) else ""
                entry = entry_of(name, found, target)
                if entry.kind == "f":
                    if self._file(entry) is False:
                        self.sent.restless.append(name)
                    self.sent.files += 1
                elif entry.kind in "dl":
                    self.folder_or_link(entry)

    def folder_or_link(self, entry: Entry) -> None:
        """A member without contents."""
        name = encoded(entry.path)
        if entry.kind == "d":
            self._outlet.put(tar.header(name + b"/", entry.mode, 0, entry.mtime_ns, tar.FOLDER))
        else:
            self._outlet.put(tar.header(name, 0o777, 0, entry.mtime_ns, tar.SYMLINK, encoded(entry.target)))

    def _local(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _file(self, entry: Entry) -> bool | None:
        """The contents of `entry`. False: not those of one moment; None: not to be had."""
        try:
            descriptor = os.open(self._local(entry.path), READING)
        except FileNotFoundError:
            return None  # gone since the scan: the next sync deletes it there
        except OSError:
            self.sent.unreadable.append(entry.path)
            return None
        try:
            if entry.size <= BATCH:
                return self._small(entry, descriptor)
            return self._large(entry_of(entry.path, os.fstat(descriptor)), descriptor)
        except OSError:
            self.sent.unreadable.append(entry.path)
            return None
        finally:
            os.close(descriptor)

    def _small(self, entry: Entry, descriptor: int) -> bool:
        """One read, so that no second look at the file is needed: what is newer than the scan goes out under the
        scan's mtime, and the next sync sends it again."""
        size = entry.size
        data = os.read(descriptor, size + 1)
        if len(data) != size:
            return False
        head = tar.header(encoded(entry.path), entry.mode, size, entry.mtime_ns, tar.REGULAR)
        self._outlet.put(tar.pax_mtime(entry.mtime_ns), head, data, tar.padding(size))
        self._moved(size)
        return True

    def _large(self, entry: Entry, descriptor: int) -> bool:
        head = tar.header(encoded(entry.path), entry.mode, entry.size, entry.mtime_ns, tar.REGULAR)
        self._outlet.put(tar.pax_mtime(entry.mtime_ns), head)
        return self._contents(entry, descriptor)

    def _contents(self, entry: Entry, descriptor: int) -> bool:
        """The bytes of a file that takes more than one read; whether they are of one moment."""
        read = self._stream(descriptor, entry.size)
        after = os.fstat(descriptor)
        grown_only = after.st_size > entry.size  # a log being appended to: what went out is a whole prefix
        return read == entry.size and (after.st_mtime_ns == entry.mtime_ns or grown_only)

    def _stream(self, descriptor: int, size: int) -> int:
        """`size` bytes whatever the file does: cut where it grew, filled with zeros where it shrank."""
        read = 0
        while read < size:
            data = os.read(descriptor, min(BATCH, size - read))
            if not data:
                break
            read += len(data)
            self._outlet.put(data)
            self._moved(len(data))
        for start in range(read, size, BATCH):
            self._outlet.put(bytes(min(BATCH, size - start)))
        self._outlet.put(tar.padding(size))
        return read


class StagedFilesOut(FilesOut):
    """The same for a push: contents under a name in a stage folder, real names as links to them.

    `reuse`: the machine's archiver takes an old file away before it puts a new one under the stage name, so that
    one name serves all; one that writes into the old file would write into what was linked before.
    """

    def __init__(
        self,
        root: str,
        stage: str,
        outlet: Outlet,
        moved: Callable[[int], None],
        file: str = "",
        *,
        reuse: bool = False,
    ) -> None:
        super().__init__(root, outlet, moved)
        self._stage = encoded(stage)
        self._single = file  # the one file to send, whatever it is called there
        self.reuse = reuse
        self._count = 0
        self._blocks = tar.Staged(self._stage + b"/0")

    def write(self, entries: Iterable[Entry]) -> None:
        """All of `entries`, parents first; files that changed while they were read get two more tries."""
        again: list[Entry] = []
        for entry in entries:
            if entry.kind != "f":
                self.folder_or_link(entry)
            elif not self._staged(entry, last=False):
                again.append(entry)
        for attempt in range(2, MAX_TRIES + 1):
            again = [one for one in again if not self._again(one, last=attempt == MAX_TRIES)]

    def member(self, name: str, data: bytes) -> None:
        """A small file of ours inside the stage folder."""
        head = tar.header(self._stage + b"/" + encoded(name), 0o600, len(data), 0, tar.REGULAR)
        self._outlet.put(head + data + tar.padding(len(data)))

    def end(self) -> None:
        """Close the archive with the member that says it is whole."""
        self.member("end", b"")
        self._outlet.put(tar.END_OF_ARCHIVE)

    def _local(self, path: str) -> str:
        return self._single or super()._local(path)

    def _again(self, entry: Entry, *, last: bool) -> bool:
        try:
            found = os.lstat(self._local(entry.path))
        except OSError:
            return True  # gone
        return self._staged(entry_of(entry.path, found), last=last)

    def _staged(self, entry: Entry, *, last: bool) -> bool:
        """Send one file; False when it changed while being read and should be tried again."""
        if not self.reuse:
            self._count += 1
            self._blocks = tar.Staged(b"%b/%d" % (self._stage, self._count))
        whole = self._file(entry)
        if whole is None:
            return True
        if not whole and last:
            self.sent.restless.append(entry.path)
            if entry.size > BATCH:  # a small one that did not come whole was not sent at all
                self._link(entry)
        return whole or last

    def _small(self, entry: Entry, descriptor: int) -> bool:
        path, _, mode, size, mtime_ns, _ = entry
        data = os.read(descriptor, size + 1)
        if len(data) != size:
            return False
        blocks = self._blocks
        self._outlet.put(
            blocks.content(mode, size, mtime_ns), data, ZEROS[: -size % tar.BLOCK], blocks.link(encoded(path))
        )
        self.sent.files += 1
        self._moved(size)
        return True

    def _large(self, entry: Entry, descriptor: int) -> bool:
        self._outlet.put(self._blocks.content(entry.mode, entry.size, entry.mtime_ns))
        whole = self._contents(entry, descriptor)
        if whole:
            self._link(entry)
        return whole

    def _link(self, entry: Entry) -> None:
        self._outlet.put(self._blocks.link(encoded(entry.path)))
        self.sent.files += 1


def nul_list(paths: Sequence[str]) -> bytes:
    """Paths for `xargs -0`, each safe from being read as an option."""
    return b"".join(b"./" + encoded(path) + b"\0" for path in paths)
