"""Makes a remote folder what a local one is: manifest there while we walk here, then one packed tar stream."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpucloud.core.errors import SyncError, UsageError
from gpucloud.core.wire import Transport
from gpucloud.remote.blocks import Blocks, BlocksSent, extra_connections, takes_blocks
from gpucloud.remote.checksum import unlike
from gpucloud.remote.codec import accepted_codecs
from gpucloud.remote.difference import Difference, difference
from gpucloud.remote.ignore import Ignores
from gpucloud.remote.manifest import Entry, Scan, encoded, entry_of, scan
from gpucloud.remote.packing import Outlet, Sent, StagedFilesOut, nul_list
from gpucloud.remote.parts import Parts, shared_out
from gpucloud.remote.report import Counter, Progress, SyncReport, SyncRules
from gpucloud.remote.talk import Talk
from gpucloud.remote.verbs import Argument, octal

STANDARD = SyncRules()
# archivers that never write into a file that is there; bsdtar and others may
REPLACING = ("gnu", "python", "embedded")


@dataclass(frozen=True)
class Source:
    """What is pushed: a folder, or one `file` of it that is called `leaf` there (links are followed)."""

    root: str
    leaf: str = ""
    file: str = ""


def push(
    transport: Transport,
    local: Path,
    remote: str,
    rules: SyncRules = STANDARD,
    progress: Progress | None = None,
    *,
    keep_extra: bool = False,
    checksum: bool = False,
    more: Callable[[], Transport] | None = None,
) -> SyncReport:
    """Make the contents of `remote` those of `local`, deletions included unless `keep_extra`.

    A single file goes to the path `remote`, or into it when that is a folder. Raises SyncError (what failed, what
    to do; everything that arrived whole stays and is not sent again) or Unreachable.
    """
    source = _source_of(local)
    words: dict[str, Argument] = {
        "root": remote,
        "leaf": source.leaf,
        "git": rules.git_folder,
        "accept": accepted_codecs(),
    }
    with Talk(transport, "push", words) as talk:
        ignores = Ignores(Path(source.root), rules.exclude, files=rules.ignore_files)
        here = _scan(source, rules, ignores)
        head = talk.head("codec", "fine", "as", "stage", "archiver", "python")
        there = talk.manifest(head["codec"])
        if source.leaf:
            here, there = _as_leaf(here, there, remote, head)
        delete = not keep_extra and not source.leaf
        todo = difference(here.entries, there, fine=bool(head["fine"]), delete=delete, kept=ignores.out)
        if checksum and not source.leaf:
            todo.send += unlike(transport, source.root, remote, todo.alike)
        if todo.blocked:
            raise SyncError(
                f"{todo.blocked[0]} on the machine is ignored here, but lies where a file must go.",
                "Remove it there, or exclude the file.",
            )
        return _Push(transport, talk, source, remote, head, here, todo, Counter(progress, todo.bytes), more).report()


def _source_of(local: Path) -> Source:
    if local.is_dir():
        return Source(os.fspath(local))
    if local.is_file():
        real = local.resolve()
        return Source(os.fspath(real.parent), local.name, os.fspath(real))
    reason = "is not a file or folder" if local.exists() else "does not exist"
    raise UsageError(f"The local path {local} {reason}.", "Name a folder or a file that is there.")


def _scan(source: Source, rules: SyncRules, ignores: Ignores) -> Scan:
    if source.leaf:
        return Scan([entry_of(source.leaf, os.stat(source.file))])
    return scan(source.root, ignores, git_folder=rules.git_folder)


def _as_leaf(here: Scan, there: list[Entry], remote: str, head: dict[str, str]) -> tuple[Scan, list[Entry]]:
    """Both manifests under the name that the single file has on the machine."""
    name = remote.rstrip("/").rpartition("/")[2] if head["as"] == "named" else here.entries[0].path
    return Scan([one._replace(path=name) for one in here.entries]), [one._replace(path=name) for one in there]


@dataclass
class _Push:
    """The second half of a push: what to do is known, `talk` waits for its verdict."""

    transport: Transport
    talk: Talk
    source: Source
    remote: str
    head: dict[str, str]
    here: Scan
    todo: Difference
    counter: Counter
    more: Callable[[], Transport] | None

    def report(self) -> SyncReport:
        """Do it, and say what was done."""
        if not self.todo and not self.here.unreadable:
            self.talk.process.write(b"done\n")  # nobody needs to wait for the answer
            return SyncReport(same=self.todo.same, skipped=tuple(self.here.skipped))
        large = [one for one in self.todo.send if takes_blocks(one, self.head)]
        with contextlib.ExitStack() as stack:
            blocks = Blocks(self.transport, self._root_there(), self.counter) if large else None
            if blocks is not None:
                stack.callback(blocks.close)
                if not blocks.usable():
                    large, blocks = [], None
            names = {one.path for one in large}
            sent, wire_bytes = self._send([one for one in self.todo.send if one.path not in names], bool(large))
            if blocks is not None:
                blocks.push([(self._local(one), one) for one in large], self.more)
        done = blocks.sent if blocks is not None else BlocksSent()
        self._complain(sent)
        return SyncReport(
            files=sent.files + len(large),
            bytes=sum(one.size for one in self.todo.send if one.kind == "f"),
            deleted=len(self.todo.gone) + len(self.todo.gone_folders),
            same=self.todo.same,
            wire_bytes=wire_bytes + done.wire_bytes,
            blocks=done.blocks,
            changed_while_read=(*sent.restless, *done.restless),
            skipped=tuple(self.here.skipped),
        )

    def _root_there(self) -> str:
        """The folder there that paths of entries are relative to."""
        if self.head["as"] != "named":
            return self.remote
        above, slash, _ = self.remote.rstrip("/").rpartition("/")
        return above or slash or "."

    def _local(self, entry: Entry) -> str:
        return self.source.file or os.path.join(self.source.root, entry.path)

    def _send(self, entries: list[Entry], more_follows: bool) -> tuple[Sent, int]:
        """The tar stream and the deletions."""
        swaps = " ".join(octal(encoded(path)).replace(" ", "\\0040") for path in self.todo.swaps)
        self._write(f"send {swaps}\n".encode())
        outlet = Outlet(self.head["codec"], self._write)
        reuse = self.head["archiver"] in REPLACING
        files = StagedFilesOut(
            self.source.root, self.head["stage"], outlet, self.counter.moved, self.source.file, reuse=reuse
        )
        wire_bytes = 0
        try:
            wire_bytes = self._share_out(files, entries)
            if not self.here.unreadable and not files.sent.unreadable:
                files.member("gone", nul_list(self.todo.gone))
                files.member("gone-folders", nul_list(self.todo.gone_folders))
            if not more_follows:
                files.member("last", b"")  # no large file waits for what an interrupted push left of it
            files.end()
            outlet.finish()
            self.talk.process.end_input()
        except _Stopped:
            self.talk.process.end_input()  # so that it cleans up, frees the space it took, and ends
            raise self.talk.failure() from None
        finally:
            outlet.abandon()
        if not self.talk.ended_well():
            raise self.talk.failure()
        return files.sent, outlet.wire_bytes + wire_bytes

    def _share_out(self, out: StagedFilesOut, entries: list[Entry]) -> int:
        """Write all of `entries`, over more connections where that pays; returns the packed bytes of those."""
        size = sum(one.size for one in entries if one.kind == "f")
        with extra_connections(self.transport, size, None if self.source.leaf else self.more) as extra:
            if not extra:
                out.write(entries)
                return 0
            parts = Parts(self.source.root, self.remote, self.head["stage"], self.counter.moved, reuse=out.reuse)
            first, *others = shared_out([one for one in entries if one.kind == "f"], len(extra) + 1)
            parts.start(extra, others)
            try:
                out.write(first)
            finally:
                wire_bytes = parts.join(out.sent)
            # folders last: a read-only one must not close before its files are in
            out.write([one for one in entries if one.kind != "f"])
            return wire_bytes

    def _write(self, data: bytes) -> None:
        said = self.talk.complaints_so_far()
        if "No space left" in said or "Wrote only" in said:
            raise _Stopped  # the rest would be read and thrown away there
        try:
            self.talk.process.write(data)
        except OSError as error:
            raise _Stopped from error

    def _complain(self, sent: Sent) -> None:
        """Everything readable has arrived; what could not be read is an error that names it."""
        names = [*self.here.unreadable, *sent.unreadable]
        if names:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            raise SyncError(
                f"Cannot read {shown}; everything else was copied, nothing was deleted.",
                "Give yourself permission to read them, or leave them out with --exclude.",
            )


class _Stopped(Exception):
    """The machine no longer takes what we send."""
