"""Places the members of a tar stream below a folder, each whole under its real name or not at all.

The sender is not trusted: names that are absolute or climb are refused, folders are opened one by one without
following links, so neither a link in the stream nor one made meanwhile leads outside.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from gpucloud.core.errors import SyncError
from gpucloud.core.wire import STAGE_DIR
from gpucloud.remote import tarformat as tar
from gpucloud.remote.folders import NEW_FILE, Folders, remove_at
from gpucloud.remote.freshfolder import FreshFolder
from gpucloud.remote.manifest import NS, UNKNOWN, Entry

PIECE = 1 << 18
DEAD_AFTER_S = 3600.0
LATEST_NS = 2**33 * 10**9
NO_NAMES = ("", ".", "..")


def safe_name(path: str) -> bool:
    """Whether `path` is relative, plain, and stays inside."""
    parts = f"/{path}/"
    return bool(path) and not ("//" in parts or "/./" in parts or "/../" in parts or "\0" in path)


class Landing:
    """Takes one stream. Files are written beside each other in a stage folder, then renamed; those of a new folder
    together with it."""

    def __init__(self, root: str, moved: Callable[[int], None]) -> None:
        self._root = root
        self._moved = moved
        self._stage = f"{STAGE_DIR}/{os.getpid()}.{secrets.token_hex(4)}"
        self._modes: dict[str, int] = {}
        self._staged: dict[str, Entry] = {}
        self._came: set[str] = set()
        self._due: set[str] = set()  # folders that came; each is made with the first file in it, else at the end
        self.files = 0
        self.bytes = 0

    def __enter__(self) -> Landing:
        self._folders = Folders(self._root)
        self._stage_fd = os.dup(self._folders.at(self._stage))
        self._fresh = FreshFolder(self._stage_fd, self._folders)
        # the mode bits that a new file does not get, whatever is asked for
        probe = os.open("file", NEW_FILE, 0o777, dir_fd=self._stage_fd)
        self._masked = 0o1777 & ~os.fstat(probe).st_mode
        os.close(probe)
        os.unlink("file", dir_fd=self._stage_fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with contextlib.suppress(OSError, SyncError):  # what stopped the stream is the error to tell
                self._fresh.place(cut=True)
        finally:
            self._clear()

    def _clear(self) -> None:
        """Leave nothing of the stage."""
        for name in os.listdir(self._stage_fd):
            remove_at(name, self._stage_fd, True)
        os.close(self._stage_fd)
        with contextlib.suppress(OSError):
            above = self._folders.at(STAGE_DIR)
            os.rmdir(self._stage.rpartition("/")[2], dir_fd=above)
            os.rmdir(STAGE_DIR, dir_fd=self._folders.at(""))
        self._folders.close()

    def take(
        self, read_exactly: Callable[[int], bytes], wanted: Mapping[str, Entry], rename: Mapping[str, str]
    ) -> None:
        """Place all members. Those that are not `wanted` are dropped; `rename` maps names of the stream."""
        reader = tar.Reader(read_exactly)
        while (member := reader.next()) is not None:
            name = member.name
            if rename or name not in wanted:
                name = name.rstrip("/").removeprefix("./")
                name = rename.get(name, name)
            announced = wanted.get(name)
            if announced is None:
                _skip(member.size, read_exactly)
            elif member.kind == tar.REGULAR:
                self._file(name, member, announced.mtime_ns, read_exactly)
                self._came.add(name)
            else:
                self._place(name, member, read_exactly)
                self._came.add(name)
        self._fresh.place()
        for path in sorted(self._due):
            self._folders.at(path)
        for path, mode in reversed(list(self._modes.items())):
            with contextlib.suppress(OSError):
                os.fchmod(self._folders.at(path, make=False), mode)

    def make_folders(self, wanted: Iterable[Entry]) -> None:
        """The folders among `wanted`, which the stream will not name."""
        for one in wanted:
            if one.kind == "d":
                self._folders.at(one.path)
                if one.mode != UNKNOWN:
                    self._modes[one.path] = _folder_mode(one.mode)
                self._came.add(one.path)

    def missing(self, wanted: Mapping[str, Entry]) -> list[str]:
        """What was wanted and did not come."""
        return [path for path in wanted if path not in self._came]

    def _place(self, name: str, member: tar.Member, read_exactly: Callable[[int], bytes]) -> None:
        """A member that is no file."""
        self._fresh.place()
        folder, last = self._seat(name)
        if member.kind == tar.FOLDER:
            self._due.add(name)
            self._modes[name] = _folder_mode(member.mode)
        elif member.kind == tar.SYMLINK:
            os.symlink(member.link, "link", dir_fd=self._stage_fd)
            os.rename("link", last, src_dir_fd=self._stage_fd, dst_dir_fd=folder)
        elif member.kind == tar.HARD_LINK:
            self._second_name(name, member.link.removeprefix("./"))
        else:
            _skip(member.size, read_exactly)

    def _seat(self, name: str) -> tuple[int, str]:
        """The open folder that `name` belongs into, and its last part. Refuses names that lead out."""
        folder, _, last = name.rpartition("/")
        if (folder != self._folders.path and not safe_name(folder or last)) or last in NO_NAMES:
            raise SyncError(f"The machine sent the name {name!r}, which leads out of the folder.", "Do not trust it.")
        return self._folders.at(folder), last

    def _file(self, name: str, member: tar.Member, announced_ns: int, read_exactly: Callable[[int], bytes]) -> None:
        """A whole file in the stage folder, with mode and mtime, then under its name."""
        folder, _, last = name.rpartition("/")
        if folder != self._fresh.path:
            self._fresh.place()
            if folder in self._due:
                self._due.remove(folder)
                self._fresh.begin(folder)
        mode = member.mode & 0o777
        if folder == self._fresh.path and last not in NO_NAMES:
            descriptor = self._fresh.create(last, mode)
            if descriptor >= 0:
                self._write(descriptor, member, announced_ns, read_exactly)
                self._fresh.done(last)
                return
            self._fresh.place()
        seat, last = self._seat(name)
        descriptor = os.open("file", NEW_FILE, mode, dir_fd=self._stage_fd)
        self._write(descriptor, member, announced_ns, read_exactly)
        os.rename("file", last, src_dir_fd=self._stage_fd, dst_dir_fd=seat)

    def _write(
        self, descriptor: int, member: tar.Member, announced_ns: int, read_exactly: Callable[[int], bytes]
    ) -> None:
        """All of a file: its bytes, mode and mtime."""
        mode, left = member.mode & 0o1777, member.size
        try:
            if 0 < left <= PIECE:  # nearly all files: the same in one step
                _write_all(descriptor, read_exactly(left + -left % tar.BLOCK)[:left])
                self._moved(left)
                left = 0
            while left > 0:
                data = read_exactly(min(PIECE, left + -left % tar.BLOCK))  # what fills up the last block too
                _write_all(descriptor, data[:left])
                self._moved(min(left, len(data)))
                left -= len(data)
            if mode & self._masked:
                os.fchmod(descriptor, mode)
            set_time(descriptor, _whole_time(member.mtime_ns, announced_ns))
        finally:
            os.close(descriptor)
        self.files += 1
        self.bytes += member.size

    def _second_name(self, name: str, first: str) -> None:
        """A hard link of the stream: only to what came in it."""
        if first not in self._came:
            raise SyncError(f"The machine sent a link to {first!r}, which it did not send.", "Do not trust it.")
        folder, _, last = first.rpartition("/")
        os.link(last, "link", src_dir_fd=self._folders.at(folder), dst_dir_fd=self._stage_fd, follow_symlinks=False)
        folder, _, last = name.rpartition("/")
        os.rename("link", last, src_dir_fd=self._stage_fd, dst_dir_fd=self._folders.at(folder))
        self.files += 1


def _whole_time(header_ns: int, announced_ns: int) -> int:
    """A header that knows whole seconds only gets the fraction that the manifest told of the same second."""
    return announced_ns if header_ns == announced_ns // NS * NS else header_ns


def _folder_mode(mode: int) -> int:
    """What we can still write into, whatever the other side says."""
    return mode & 0o1777 | stat.S_IRWXU


def set_time(descriptor: int, mtime_ns: int) -> None:
    """Give a file its mtime, or the nearest that a file can have."""
    ns = mtime_ns if -LATEST_NS < mtime_ns < LATEST_NS else LATEST_NS if mtime_ns > 0 else -LATEST_NS
    os.utime(descriptor, ns=(ns, ns))


def _write_all(descriptor: int, data: bytes) -> None:
    done = os.write(descriptor, data)
    while done < len(data):  # a disk that is nearly full, a signal
        done += os.write(descriptor, memoryview(data)[done:])


def _skip(size: int, read_exactly: Callable[[int], bytes]) -> None:
    left = size + len(tar.padding(size))
    while left:
        left -= len(read_exactly(min(PIECE, left)))


def sweep(root: str) -> None:
    """Remove the stage folders of pulls that were killed: their process is gone, and nothing came for an hour (it
    may be a process of another computer, on a disk that both use)."""
    stages = os.path.join(root, STAGE_DIR)
    names = os.listdir(stages) if os.path.isdir(stages) and not os.path.islink(stages) else []
    for name in names:
        pid = name.partition(".")[0]
        with contextlib.suppress(FileNotFoundError):
            silent_s = time.time() - os.lstat(os.path.join(stages, name)).st_mtime
            if pid.isdigit() and silent_s > DEAD_AFTER_S and not _lives(int(pid)):
                remove(root, f"{STAGE_DIR}/{name}")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def remove(root: str, path: str, *, whole: bool = True) -> None:
    """Remove a file, a link, or a folder (`whole`: with everything in it, else only an empty one) below `root`,
    never through a link. Already gone is success."""
    folders = Folders(root)
    folder, _, last = path.rpartition("/")
    try:
        remove_at(last, folders.at(folder, make=False), whole)
    except FileNotFoundError:
        return
    finally:
        folders.close()
