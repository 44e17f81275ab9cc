"""One tar stream of a pull: names go out, files come in, bounded by what was announced, each placed when whole."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gpucloud.core.errors import SyncError
from gpucloud.remote.blockpull import most
from gpucloud.remote.codec import Unpacked
from gpucloud.remote.manifest import UNKNOWN, Entry, encoded
from gpucloud.remote.talk import Talk
from gpucloud.remote.tarformat import Damaged
from gpucloud.remote.unpacking import Landing

CHANGED = "file changed as we read it"  # GNU tar's word, exit status 1, for what a run is writing just now
MEMBER_BYTES = 1 << 13  # headers and padding of one member, long names included


@dataclass
class Fetched:
    """What came: whole files, their bytes, the packed ones, and names that were written to meanwhile."""

    files: int = 0
    bytes: int = 0
    wire_bytes: int = 0
    changed: list[str] = field(default_factory=list)

    def add(self, other: Fetched) -> None:
        """Count what another stream brought."""
        self.files += other.files
        self.bytes += other.bytes
        self.wire_bytes += other.wire_bytes
        self.changed += other.changed


class Bounded:
    """`read_exactly` that stops a host which sends more than it may: a packed bomb is small on the wire."""

    def __init__(self, read_exactly: Callable[[int], bytes], limit: int) -> None:
        self._read, self._left = read_exactly, limit

    def __call__(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise SyncError("The machine sends far more than it announced.", "Do not trust it.")
        return self._read(size)


@dataclass(frozen=True)
class Stream:
    """A talk whose machine waits for NUL-ended names; `begin` goes before them.

    `plain`: its tar takes no list, so that folders are made by us and several archives come in a row.
    """

    talk: Talk
    codec: str
    begin: bytes = b""
    plain: bool = False

    def take(self, root: str, names: Mapping[str, Entry], moved: Callable[[int], None]) -> Fetched:
        """Fetch `names` (as they are there) to the names of their entries below `root`."""
        feed = threading.Thread(target=self._ask, args=(names,), daemon=True)
        feed.start()
        stream = Unpacked(self.codec, self.talk.read)
        wanted = {one.path: one for one in names.values()}
        rename = {there: one.path for there, one in names.items() if there != one.path}
        limit = _limit(root, wanted.values()) + MEMBER_BYTES * len(wanted)
        try:
            with Landing(root, moved) as landing:
                if self.plain:
                    landing.make_folders(wanted.values())
                for _ in self._archives(stream, any(one.kind != "d" for one in names.values())):
                    landing.take(Bounded(stream.read_exactly, limit), wanted, rename)
        except (EOFError, Damaged) as error:
            raise self.talk.failure(str(error)) from error
        feed.join()
        for _ in self.talk.chunks():
            pass
        self._judge(landing.missing(wanted))
        return Fetched(landing.files, landing.bytes, stream.packed_bytes, self._changed())

    def _archives(self, stream: Unpacked, some: bool) -> Iterator[None]:
        """Once for each archive of the stream."""
        if not self.plain:
            yield
        while self.plain and some and not stream.at_end():
            yield

    def _ask(self, names: Mapping[str, Entry]) -> None:
        """Send the names, all but folders where those are made by us."""
        try:
            self.talk.process.write(self.begin)  # alone, so that the machine starts its tar meanwhile
            asked = [name for name, one in names.items() if not (self.plain and one.kind == "d")]
            # a name that begins with "-" must not be taken for an option by an old tar
            text = "".join([f"./{name}\0" if name.startswith("-") else f"{name}\0" for name in asked])
            self.talk.process.write(encoded(text))
            self.talk.process.end_input()
        except Exception:  # the reader meets the same loss and raises it
            return

    def _judge(self, missing: Sequence[str]) -> None:
        """Raise when something did not come, unless it only vanished or changed while it was read."""
        complaints = self.talk.complaints()
        if missing and any(word in complaints for word in ("Permission denied", "Cannot read", "Input/output")):
            raise self.talk.failure()

    def _changed(self) -> list[str]:
        lines = self.talk.complaints_so_far().splitlines()
        return [line.removeprefix("tar: ").split(": ")[0] for line in lines if CHANGED in line]


def _limit(root: str, wanted: Collection[Entry]) -> int:
    """Bytes that may come: by what was announced, or the free space where the machine cannot tell sizes."""
    if any(one.size == UNKNOWN for one in wanted):
        return shutil.disk_usage(root).free
    return most(sum(one.size for one in wanted))
