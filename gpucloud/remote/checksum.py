"""Tells files apart that look alike: SHA-256 of both sides, the machine's while ours are computed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Sequence

from gpucloud.core.wire import Transport
from gpucloud.remote.manifest import Entry, decoded, encoded
from gpucloud.remote.talk import Talk

PIECE = 1 << 20
RECORD_BYTES = 80  # of an answer, beside the path


def digest(path: str) -> str:
    """SHA-256 of a file in hex; empty when it cannot be read."""
    total = hashlib.sha256()
    with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
        while piece := file.read(PIECE):
            total.update(piece)
        return total.hexdigest()
    return ""


def unlike(transport: Transport, root: str, remote: str, alike: Sequence[Entry]) -> list[Entry]:
    """Those of `alike` whose contents here and at `remote` differ."""
    if not alike:
        return []
    theirs: dict[str, str] = {}
    with Talk(transport, "hash", {"root": remote}) as talk:
        names = b"".join(encoded(one.path) + b"\0" for one in alike)
        feed = threading.Thread(target=_feed, args=(talk, names), daemon=True)
        feed.start()
        ours = {one.path: digest(os.path.join(root, one.path)) for one in alike}
        talk.head()
        for record in _records(talk, len(names) + RECORD_BYTES * len(alike)).split(b"\0"):
            sha256, _, path = record.partition(b"  ")
            theirs[decoded(path)] = sha256.decode("ascii", "replace")
        feed.join()
        if talk.process.wait() != 0:
            raise talk.failure()
    return [one for one in alike if ours[one.path] != theirs.get(one.path)]


def _records(talk: Talk, most: int) -> bytes:
    data = bytearray()
    for piece in talk.chunks():
        data += piece
        if len(data) > most:
            raise talk.failure("more checksums than were asked for")
    return bytes(data)


def _feed(talk: Talk, names: bytes) -> None:
    with contextlib.suppress(Exception):  # the reader meets the same loss and raises it
        talk.process.write(names)
        talk.process.end_input()
