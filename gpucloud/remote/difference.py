"""What must travel, and what must go, so that one tree becomes another: pure comparison of two manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gpucloud.remote.manifest import NS, UNKNOWN, Entry

FOLDER_BITS = 0o777  # a folder's set-group-id bit comes from its parent there


@dataclass
class Difference:
    """`send`: entries of the source, parents first. `gone` are files and links, `gone_folders` the deepest first.

    `swaps`: what must be removed before anything is put there (a folder where a file comes, a file where a
    folder or link comes). `alike`: files that look the same; a checksum may still tell them apart. `blocked`:
    names that must stay, but lie in a folder where a file comes.
    """

    send: list[Entry] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    gone_folders: list[str] = field(default_factory=list)
    swaps: list[str] = field(default_factory=list)
    alike: list[Entry] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    same: int = 0

    @property
    def bytes(self) -> int:
        """Of the files to send."""
        return sum(one.size for one in self.send if one.kind == "f")

    def __bool__(self) -> bool:
        return bool(self.send or self.gone or self.gone_folders or self.swaps)


def same_entry(source: Entry, target: Entry, *, fine: bool) -> bool:
    """Whether a name need not travel. `fine`: both sides keep fractions of a second."""
    if source.kind != target.kind or target.mode == UNKNOWN:
        return False
    if source.kind == "d":
        return source.mode & FOLDER_BITS == target.mode & FOLDER_BITS
    if source.kind == "l":
        return source.target == target.target
    if source.size != target.size or source.mode != target.mode:
        return False
    if fine:
        return source.mtime_ns == target.mtime_ns
    return source.mtime_ns // NS == target.mtime_ns // NS


def difference(
    source: Iterable[Entry],
    target: Iterable[Entry],
    *,
    fine: bool,
    delete: bool,
    kept: Callable[[str, bool], bool] | None = None,
) -> Difference:
    """Compare. `kept(path, is_folder)` names what is left alone on the target although the source lacks it."""
    there = {one.path: one for one in target}
    found = Difference()
    for entry in source:
        old = there.pop(entry.path, None)
        if old is not None and same_entry(entry, old, fine=fine):
            found.same += 1
            if entry.kind == "f":
                found.alike.append(entry)
            continue
        found.send.append(entry)
        if old is not None and old.kind != entry.kind and "d" in (old.kind, entry.kind):
            found.swaps.append(entry.path)
    _mark_left(there, found, delete, kept)
    return found


def _mark_left(
    left: Mapping[str, Entry], found: Difference, delete: bool, kept: Callable[[str, bool], bool] | None
) -> None:
    """Sort what only the target has into what goes and what stays."""
    swapped = tuple(f"{path}/" for path in found.swaps)
    for path, entry in left.items():
        is_folder = entry.kind == "d"
        stays = not delete or (kept is not None and kept(path, is_folder))
        if swapped and path.startswith(swapped):
            if stays:
                found.blocked.append(path)
        elif not stays:
            (found.gone_folders if is_folder else found.gone).append(path)
    found.gone_folders.sort(key=lambda path: path.count("/"), reverse=True)
