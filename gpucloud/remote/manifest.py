"""What a tree looks like: scanning one, and reading and writing the record format that crosses the wire."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gpucloud.core.wire import STAGE_DIR

END_TEXT = "END gpucloud"  # no record looks like it
END = END_TEXT.encode()
NS = 1_000_000_000
UNKNOWN = -1  # size, mode or mtime on a machine that cannot tell


class Entry(NamedTuple):
    """One name in a tree. `kind` is f, d, l or the letter of something that does not travel (p, s, b, c)."""

    path: str  # relative, "/" between, bytes that are not UTF-8 as surrogates
    kind: str
    mode: int
    size: int
    mtime_ns: int
    target: str = ""  # of a link


class Excludes(Protocol):
    """Says what stays out. `enter` is told each folder and the names in it before these are asked about."""

    def enter(self, folder: str, names: Collection[str]) -> None: ...

    def ignored(self, path: str, is_folder: bool) -> bool: ...


@dataclass
class Scan:
    """A local tree: entries with parents before children, and what could not be read or does not travel."""

    entries: list[Entry] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


KINDS = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
    stat.S_IFBLK: "b",
    stat.S_IFCHR: "c",
}


def entry_of(path: str, found: os.stat_result, target: str = "") -> Entry:
    """The entry of `path` from its lstat."""
    kind = KINDS.get(stat.S_IFMT(found.st_mode), "?")
    return Entry(path, kind, found.st_mode & 0o7777, found.st_size, found.st_mtime_ns, target)


def scan(root: str, excludes: Excludes | None = None, *, git_folder: bool = True) -> Scan:
    """Walk `root` without following links. Never raises for a single unreadable name; it is listed instead."""
    seen = Scan()
    folders = [""]
    while folders:
        folder = folders.pop()
        below = _scan_folder(root, folder, excludes, git_folder, seen)
        folders.extend(reversed(below))
    return seen


def _scan_folder(root: str, folder: str, excludes: Excludes | None, git: bool, seen: Scan) -> list[str]:
    """Add the names of one folder to `seen`; returns the folders below it."""
    prefix = f"{folder}/" if folder else ""
    below = []
    try:
        with os.scandir(f"{root}/{folder}") as listing:
            found = sorted((one.name, one) for one in listing)
    except OSError:
        seen.unreadable.append(folder or ".")
        return []
    if excludes is not None:
        excludes.enter(folder, {name for name, _ in found})
    for name, one in found:
        if name == STAGE_DIR or (name == ".git" and not git):
            continue
        path = prefix + name
        try:
            if excludes is not None and excludes.ignored(path, one.is_dir(follow_symlinks=False)):
                continue
            status = one.stat(follow_symlinks=False)
            target = os.readlink(one.path) if one.is_symlink() else ""
        except FileNotFoundError:
            continue  # gone since the listing
        except OSError:
            seen.unreadable.append(path)
            continue
        entry = entry_of(path, status, target)
        if entry.kind not in "fdl":
            seen.skipped.append(path)
            continue
        seen.entries.append(entry)
        if entry.kind == "d":
            below.append(path)
    return below


def encoded(text: str) -> bytes:
    """A path as the bytes it has on disk."""
    return text.encode("utf-8", "surrogateescape")


def decoded(data: bytes) -> str:
    """The reverse of `encoded`."""
    return data.decode("utf-8", "surrogateescape")


def records(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The wire form of a manifest, `END` included."""
    for path, kind, mode, size, mtime_ns, target in entries:
        line = f"{kind} {mode:o} {size} {mtime_ns // NS}.{mtime_ns % NS:09d} {path}\0"
        yield encoded(f"{line}{target}\0" if kind == "l" else line)
    yield END + b"\0"


def parse(data: bytes) -> list[Entry] | None:
    """The entries of a whole manifest; None when it was cut or is none."""
    try:
        return _parsed(data)
    except (ValueError, StopIteration):
        return None


def _parsed(data: bytes) -> list[Entry] | None:
    fields = iter(decoded(data).split("\0"))
    entries: list[Entry] = []
    for record in fields:
        if record == END_TEXT:
            return entries
        kind, mode, size, mtime, path = record.split(" ", 4)
        target = next(fields) if kind == "l" else ""
        if mode == "-":
            path = path.removeprefix("./")  # a find that cannot print the relative path
        entries.append(Entry(path, kind, _octal(mode), _decimal(size), _mtime_ns(mtime), target))
    return None


def _octal(text: str) -> int:
    return UNKNOWN if text == "-" else int(text, 8)


def _decimal(text: str) -> int:
    if text == "-":
        return UNKNOWN
    if not text.isdigit():
        raise ValueError(text)
    return int(text)


def _mtime_ns(text: str) -> int:
    if text == "-":
        return UNKNOWN
    seconds, _, fraction = text.partition(".")
    return int(seconds) * NS + int(fraction[:9].ljust(9, "0"))
