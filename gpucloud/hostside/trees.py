"""The sync verbs in Python: what `push.sh`, `part.sh`, `pull.sh` and `hash.sh` do elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from pathlib import Path

from gpucloud.core.wire import STAGE_DIR
from gpucloud.hostside.verbs import Call, Refused
from gpucloud.remote import tarformat as tar
from gpucloud.remote.checksum import digest
from gpucloud.remote.codec import Unpacked, best_codec, packer
from gpucloud.remote.manifest import Entry, decoded, entry_of, records, scan
from gpucloud.remote.packing import FilesOut, Outlet
from gpucloud.remote.scripts import template_dir

PIECE = 1 << 18
WHOLE = "end"  # the member that says a stream came whole


def push(call: Call) -> None:
    """Tell what is in `root`, then take a stream that makes it what the client wants."""
    root, shown, kind = _push_root(call)
    stage = f"{STAGE_DIR}/{os.getpid()}.{threading.get_ident()}"
    codec = best_codec(call.arguments["accept"])
    call.begin(codec=codec, walk="embedded", fine=1, python=1, **{"as": kind}, stage=stage, archiver="embedded")
    _send_manifest(call, codec, _entries(root, shown, git=bool(call.arguments["git"])))
    verdict, _, swaps = call.read_line().decode("ascii").partition(" ")
    if verdict != "send":
        return
    for swap in swaps.split():
        _remove_tree(root / _unquoted(swap))
    lists = _extract(call, root, stage, codec)
    for path in lists["gone"]:
        (root / path).unlink(missing_ok=True)
    for path in lists["gone-folders"]:
        with contextlib.suppress(OSError):
            (root / path).rmdir()
    call.say(b"ok\n")


def part(call: Call) -> None:
    """One of several streams of a push."""
    codec = best_codec(call.arguments["accept"])
    call.begin(codec=codec)
    _extract(call, call.path(call.arguments["root"]), call.arguments["stage"], codec)
    call.say(b"ok\n")


def pull(call: Call) -> None:
    """Tell what is at `root`, then send what the client names."""
    root = call.path(call.arguments["root"])
    if not os.path.lexists(root):
        raise Refused(f"{call.arguments['root']}: No such file or directory")
    single = "" if root.is_dir() else root.name
    codec = best_codec(call.arguments["accept"])
    kind = "file" if single else "folder"
    call.begin(codec=codec, walk="embedded", fine=1, python=1, **{"as": kind}, archiver="embedded")
    root = root.parent if single else root
    _send_manifest(call, codec, _entries(root, single, git=bool(call.arguments["git"])))
    if call.read_line() != b"send":
        return
    _send_named(call, root, codec)


def fetch(call: Call) -> None:
    """One of several streams of a pull."""
    codec = best_codec(call.arguments["accept"])
    call.begin(codec=codec)
    _send_named(call, call.path(call.arguments["root"]), codec)


def _send_named(call: Call, root: Path, codec: str) -> None:
    """The paths of stdin as a packed tar stream."""
    names = [decoded(name) for name in call.read_all().split(b"\0") if name]
    outlet = Outlet(codec, call.say)
    files = FilesOut(os.fspath(root), outlet)
    try:
        files.write_names(names)
        outlet.put(tar.END_OF_ARCHIVE)
        outlet.finish()
    finally:
        outlet.abandon()
    for name in files.sent.unreadable:
        call.complain(f"{name}: Permission denied")
    for name in files.sent.restless:
        call.complain(f"tar: {name}: file changed as we read it")


def blocks(call: Call) -> None:
    """Changed blocks of large files: the same program that other machines run with their python3."""
    import importlib.util

    path = template_dir() / "remote" / "blocks.py"
    spec = importlib.util.spec_from_file_location("gpucloud_blocks", path)
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    root = call.path(call.arguments["root"])
    call.begin()
    with contextlib.suppress(EOFError):
        program.serve(call.lines(), Replies(call), os.fsencode(root))


class Replies:
    """stdout for a program that writes and flushes."""

    def __init__(self, call: Call) -> None:
        self.write = call.say

    def flush(self) -> None:
        """Everything is out already."""


def hash_files(call: Call) -> None:
    """`SHA256  PATH` of each path of stdin."""
    root = call.path(call.arguments["root"])
    call.begin()
    for name in call.read_all().split(b"\0"):
        if name and (total := digest(os.fspath(root / decoded(name)))):
            call.say(total.encode() + b"  " + name + b"\0")


def _push_root(call: Call) -> tuple[Path, str, str]:
    """(folder, the single file's name there, how a single file is placed)."""
    root, leaf = call.path(call.arguments["root"]), call.arguments["leaf"]
    if not leaf:
        root.mkdir(parents=True, exist_ok=True)
        return root, "", "folder"
    if root.is_dir():
        return root, leaf, "into"
    root.parent.mkdir(parents=True, exist_ok=True)
    return root.parent, root.name, "named"


def _entries(root: Path, single: str, *, git: bool) -> list[Entry]:
    if not single:
        return scan(os.fspath(root), git_folder=git).entries
    path = root / single
    target = os.readlink(path) if path.is_symlink() else ""
    return [entry_of("", path.lstat(), target)] if os.path.lexists(path) else []


def _send_manifest(call: Call, codec: str, entries: list[Entry]) -> None:
    pack = packer(codec)
    call.say(pack.compress(b"".join(records(entries))) + pack.flush())


def _unquoted(swap: str) -> str:
    return decoded(re.sub(rb"\\0([0-7]{3})", lambda found: bytes([int(found[1], 8)]), swap.encode()))


def _remove_tree(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _extract(call: Call, root: Path, stage: str, codec: str) -> dict[str, list[str]]:
    """Place the client's stream. What arrived whole stays even when it is cut; then nothing more happens."""
    folder = root / stage
    folder.mkdir(parents=True, exist_ok=True)
    try:
        stream = Unpacked(codec, call.read)
        _place_members(root, stream)
        if not (folder / WHOLE).exists():
            raise Refused("the stream was cut")
        if (folder / "last").exists():
            shutil.rmtree(folder.parent / "parts", ignore_errors=True)
        return {name: _nul_list(folder / name) for name in ("gone", "gone-folders")}
    except (EOFError, tar.Damaged) as error:
        raise Refused(f"the stream was cut: {error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def _nul_list(path: Path) -> list[str]:
    data = path.read_bytes() if path.exists() else b""
    return [decoded(name) for name in data.split(b"\0") if name]


def _place_members(root: Path, stream: Unpacked) -> None:
    reader = tar.Reader(stream.read_exactly)
    modes: list[tuple[str, int]] = []
    known: set[str] = set()
    while (member := reader.next()) is not None:
        path = os.path.join(root, member.name.rstrip("/"))
        above = os.path.dirname(path)
        if above not in known:
            os.makedirs(above, exist_ok=True)
            known.add(above)
        if member.kind == tar.REGULAR:
            _write(path, member, stream)
        elif member.kind == tar.HARD_LINK:
            os.replace(os.path.join(root, member.link), path)
        elif member.kind == tar.FOLDER:
            os.makedirs(path, exist_ok=True)
            modes.append((path, member.mode))
        elif member.kind == tar.SYMLINK:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            os.symlink(member.link, path)
    for path, mode in reversed(modes):
        os.chmod(path, mode)


def _write(path: str, member: tar.Member, stream: Unpacked) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        left = member.size
        while left:
            data = stream.read(min(PIECE, left))
            if not data:
                raise EOFError("inside a file")
            left -= len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        stream.read_exactly(len(tar.padding(member.size)))
        os.fchmod(descriptor, member.mode)
        os.utime(descriptor, ns=(member.mtime_ns, member.mtime_ns))
    finally:
        os.close(descriptor)
