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
from gpucloud.remote.manifest import NS, UNKNOWN, Entry

PIECE = 1 << 18
DEAD_AFTER_S = 3600.0
LATEST_NS = 2**33 * 10**9
NO_NAMES = ("", ".", "..")
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def safe_name(path: str) -> bool:
    """Whether `path` is relative, plain, and stays inside."""
    parts = f"/{path}/"
    return bool(path) and not ("//" in parts or "/./" in parts or "/../" in parts or "\0" in path)


class Folders:
    """Opens folders below a root, never through a link. Keeps the last one open: neighbours come in a row."""

    def __init__(self, root: str) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self.path = ""
        self._open = self._root

    def close(self) -> None:
        """Give the descriptors back."""
        if self._open != self._root:
            os.close(self._open)
        os.close(self._root)
        self._open = self._root = -1

    def at(self, path: str, *, make: bool = True) -> int:
        """A descriptor of the folder `path`, valid until the next call. Missing ones are made."""
        if path == self.path:
            return self._open
        current = os.dup(self._root)
        try:
            for part in path.split("/") if path else []:
                below = _open_below(part, current, make)
                os.close(current)
                current = below
        except BaseException as error:
            os.close(current)
            if isinstance(error, NotADirectoryError) or getattr(error, "errno", 0) in LOOPS:
                raise SyncError(
                    f"{path} is not a plain folder here; nothing is written through links.", "Move it away."
                ) from None
            raise
        if self._open != self._root:
            os.close(self._open)
        self._open, self.path = current, path
        return current


LOOPS = (40, 62)  # ELOOP on Linux and macOS


def _open_below(name: str, folder: int, make: bool) -> int:
    try:
        return os.open(name, OPEN_FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
        with contextlib.suppress(FileExistsError):  # another stream of the same pull
            os.mkdir(name, 0o777, dir_fd=folder)
        return os.open(name, OPEN_FOLDER, dir_fd=folder)


class Landing:
    """Takes one stream. Files are written beside each other in a stage folder, then renamed."""

    def __init__(self, root: str, moved: Callable[[int], None]) -> None:
        self._root = root
        self._moved = moved
        self._stage = f"{STAGE_DIR}/{os.getpid()}.{secrets.token_hex(4)}"
        self._modes: dict[str, int] = {}
        self._staged: dict[str, Entry] = {}
        self._came: set[str] = set()
        self.files = 0
        self.bytes = 0

    def __enter__(self) -> Landing:
        self._folders = Folders(self._root)
        self._stage_fd = os.dup(self._folders.at(self._stage))
        # the mode bits that a new file does not get, whatever is asked for
        probe = os.open("file", NEW_FILE, 0o777, dir_fd=self._stage_fd)
        self._masked = 0o1777 & ~os.fstat(probe).st_mode
        os.close(probe)
        os.unlink("file", dir_fd=self._stage_fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in os.listdir(self._stage_fd):
            os.unlink(name, dir_fd=self._stage_fd)
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
            name = member.name.rstrip("/").removeprefix("./")
            if rename:
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
        folder, last = self._seat(name)
        if member.kind == tar.FOLDER:
            self._folders.at(name)
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
        folder, last = self._seat(name)
        mode, left = member.mode & 0o1777, member.size
        descriptor = os.open("file", NEW_FILE, mode & 0o777, dir_fd=self._stage_fd)
        try:
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
        os.rename("file", last, src_dir_fd=self._stage_fd, dst_dir_fd=folder)
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
        _remove_at(last, folders.at(folder, make=False), whole)
    except FileNotFoundError:
        return
    finally:
        folders.close()


def _remove_at(name: str, folder: int, whole: bool) -> None:
    if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    if whole:
        below = os.open(name, OPEN_FOLDER, dir_fd=folder)
        try:
            for one in os.listdir(below):
                _remove_at(one, below, True)
        finally:
            os.close(below)
    with contextlib.suppress(*[OSError] * (not whole)):
        os.rmdir(name, dir_fd=folder)
