"""The SQLite index: found by a cheap look at the files, cached by their content, built anew when that changed.

A cache folder holds `index-<content>.db`, complete and never changed once it has its name, and one
`stat-<place>.txt` for each pair of folders: the names, sizes and times of the CSV files and the index they
gave. While those agree, nothing is read. Otherwise the content is hashed, and only a new content is built.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from gpucloud.catalog.location import csv_files

FORMAT = 2  # raise it when the tables below change
COMMIT = ".commit"  # in an overlay: a change of several files that must be finished before anything is read
SETTLED_S = 2.0  # a younger file may change again within the resolution of its time stamp
KEPT_INDEXES = 4


def open_index(
    folder: Path,
    overlay: Path | None,
    cache: Path | None,
    while_building: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> sqlite3.Connection:
    """The index of the files in `folder` with those of `overlay` over them, built when needed.

    Without a writable `cache` it is built in a private temporary database that vanishes with the process.
    Raises UsageError at the first bad row.
    """
    layers = [folder] if overlay is None else [folder, overlay]
    if overlay is not None and (overlay / COMMIT).exists():
        from gpucloud.catalog.overlay import settle

        settle(overlay)
    stamp = stat_stamp(layers)
    if cache is not None:
        known = _known_index(cache, layers, stamp)
        connection = _opened(known) if known else None
        if connection is not None:
            return connection
    with while_building():
        return _by_content(layers, stamp, cache)


def stat_stamp(layers: list[Path]) -> str:
    """What a look at the folders tells without reading: name, size, times and inode of each file."""
    lines = [f"format {FORMAT}"]
    for layer in layers:
        lines.append(str(layer))
        for file in csv_files(layer):
            seen = (layer / file).stat()
            lines.append(f"{file} {seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns} {seen.st_ino}")
    return "\n".join(lines)


def _note_file(cache: Path, layers: list[Path]) -> Path:
    place = "\n".join(map(str, layers)).encode("utf-8", "surrogateescape")
    return cache / f"stat-{zlib.crc32(place):08x}.txt"


def _known_index(cache: Path, layers: list[Path], stamp: str) -> Path | None:
    try:
        name, _, noted = _note_file(cache, layers).read_text("utf-8", "surrogateescape").partition("\n")
    except (OSError, UnicodeError):
        return None
    return cache / name if noted == stamp and "/" not in name else None


def _opened(path: Path) -> sqlite3.Connection | None:
    """The index for reading, None when the file is missing, cut short or none of ours."""
    from urllib.parse import quote

    connection = None
    try:
        connection = sqlite3.connect(f"file:{quote(os.fspath(path))}?mode=ro&immutable=1", uri=True)
        if connection.execute("PRAGMA user_version").fetchone()[0] == FORMAT:
            return connection
    except sqlite3.Error:
        pass
    if connection is not None:
        connection.close()
    return None


def _by_content(layers: list[Path], stamp: str, cache: Path | None) -> sqlite3.Connection:
    if cache is None or not _writable(cache):
        return _unkept(layers)
    path = cache / f"index-{content_hash(layers)}.db"
    try:
        connection = _opened(path) or _built(path, layers)
    except (OSError, sqlite3.OperationalError):  # a full disk, a cache that vanished: answer without keeping it
        return _unkept(layers)
    _take_note(cache, layers, stamp, path)
    return connection


def _unkept(layers: list[Path]) -> sqlite3.Connection:
    from gpucloud.catalog.build import build

    connection = sqlite3.connect("")  # a private file in the temporary folder, removed by SQLite
    try:
        build(connection, layers)
    except BaseException:
        connection.close()
        raise
    return connection


def _writable(cache: Path) -> bool:
    missing = [folder for folder in (cache, *cache.parents) if not folder.exists()]
    try:
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return False
    return os.access(cache, os.W_OK | os.X_OK)


def content_hash(layers: list[Path]) -> str:
    """A name for the content of all files: equal content, equal index, wherever the files lie."""
    from hashlib import sha256

    whole = sha256(f"gpucloud index {FORMAT}".encode())
    for number, layer in enumerate(layers):
        for file in csv_files(layer):
            whole.update(f"\n{number} {file} {(layer / file).stat().st_size}\n".encode())
            with (layer / file).open("rb") as stream:
                while block := stream.read(1 << 20):
                    whole.update(block)
    return whole.hexdigest()[:24]


def _built(path: Path, layers: list[Path]) -> sqlite3.Connection:
    """Build beside the final name and rename: another process sees all of it or nothing."""
    from gpucloud.catalog.build import build

    part = path.with_name(f"{path.name}.{os.getpid()}-{time.monotonic_ns()}.part")
    try:
        os.close(_private_file(part))
        connection = sqlite3.connect(part)
        try:
            build(connection, layers)
        finally:
            connection.close()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _forget_old(path)
    opened = _opened(path)
    if opened is None:
        raise OSError(5, "The index that was just built cannot be read", os.fspath(path))
    return opened


def _take_note(cache: Path, layers: list[Path], stamp: str, index: Path) -> None:
    """Remember which index these files gave, unless they may still be changing or changed meanwhile."""
    newest_ns = max((int(word) for line in stamp.splitlines() for word in _times(line)), default=0)
    if time.time_ns() - newest_ns < SETTLED_S * 1e9 or stat_stamp(layers) != stamp:
        return
    note = _note_file(cache, layers)
    part = note.with_name(f"{note.name}.{os.getpid()}-{time.monotonic_ns()}.part")
    try:
        with open(_private_file(part), "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(f"{index.name}\n{stamp}")
        part.replace(note)
    except OSError:  # a full disk: the next command hashes again, that is all
        part.unlink(missing_ok=True)


def _private_file(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)


def _times(line: str) -> list[str]:
    words = line.rsplit(" ", 4)
    return words[2:4] if len(words) == 5 else []


def _forget_old(newest: Path) -> None:
    """Keep the last few indexes and drop what a killed build left; an open one stays readable to its process."""
    day_ago = time.time() - 86400
    indexes = sorted(newest.parent.glob("index-*.db"), key=_modified, reverse=True)
    leftovers = [part for part in newest.parent.glob("*.part") if _modified(part) < day_ago]
    for path in [*indexes[KEPT_INDEXES:], *leftovers]:
        if path != newest:
            path.unlink(missing_ok=True)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
