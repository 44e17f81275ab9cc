"""Packed streams: zstd where both sides have it, else gzip, else plain; ends are recognised, cuts are errors."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

CODECS = ("zstd", "gzip", "none")
SLICE = 1 << 12  # packed bytes unpacked at once: even a bomb (1 : 32,768 at most) stays below 128 MiB of memory
READY_BYTES = 1 << 18  # unpacked ahead
ZSTD_LEVEL, GZIP_LEVEL = 1, 1  # code trees are bound by round trips and CPU, not by the last 10 % of ratio


class Packer(Protocol):
    """Packs a stream piece by piece."""

    def compress(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class Unpacker(Protocol):
    """Unpacks a stream piece by piece. After `eof`, `unused_data` is what followed the packed part."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: memoryview) -> bytes: ...


class Plain:
    """The codec that does nothing. Its end is the stream's."""

    eof = False
    unused_data = b""

    def compress(self, data: bytes) -> bytes:
        return data

    def decompress(self, data: memoryview) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""


def accepted_codecs() -> str:
    """The codecs of this Python, best first, as the verbs take them."""
    return " ".join(codec for codec in CODECS if codec != "none" and has(codec))


def best_codec(accepted: str) -> str:
    """The first codec of the list `accepted` that this Python has too."""
    return next((codec for codec in accepted.split() if codec in CODECS and has(codec)), "none")


def has(codec: str) -> bool:
    """Whether this Python can do it."""
    if codec != "zstd":
        return True
    try:
        import zstandard  # noqa: F401
    except ImportError:
        return False
    return True


def packer(codec: str) -> Packer:
    """A fresh compressor of `codec`."""
    if codec == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    if codec == "gzip":
        return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    return Plain()


def unpacker(codec: str) -> Unpacker:
    """A fresh decompressor of `codec`."""
    if codec == "zstd":
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj()
    if codec == "gzip":
        return zlib.decompressobj(31)
    return Plain()


class Unpacked:
    """A packed stream behind `read(size)` as a plain one. `size` bytes or fewer come; empty only at the end.

    A stream that stops before its packed end raises EOFError, so that a cut is never taken for the end.
    """

    def __init__(self, codec: str, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._codec = codec
        self._unpacker = unpacker(codec)
        self._slice = SLICE if codec != "none" else 1 << 18
        self._packed = memoryview(b"")
        self._ready = b""
        self._at = 0
        self.packed_bytes = 0

    def read(self, size: int) -> bytes:
        """Up to `size` plain bytes."""
        if self._at >= len(self._ready) and not self._refill():
            return b""
        piece = self._ready[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def _refill(self) -> bool:
        """Unpack more, all that is here already up to a bound; False at the end."""
        parts: list[bytes] = []
        size = 0
        while size < READY_BYTES and (self._packed or not size):
            if self._unpacker.eof:
                break
            if not self._packed:
                data = self._read(1 << 18)
                if not data:
                    if self._codec == "none":
                        break
                    raise EOFError("the packed stream was cut")
                self.packed_bytes += len(data)
                self._packed = memoryview(data)
            parts.append(self._unpacked(self._packed[: self._slice]))
            self._packed = self._packed[self._slice :]
            size += len(parts[-1])
        self._ready, self._at = b"".join(parts), 0
        return bool(self._ready)

    def read_exactly(self, size: int) -> bytes:
        """`size` bytes; EOFError when there are fewer."""
        end = self._at + size
        if end <= len(self._ready):
            piece = self._ready[self._at : end]
            self._at = end
            return piece
        parts = bytearray()
        while len(parts) < size:
            piece = self.read(size - len(parts))
            if not piece:
                raise EOFError("the stream was cut")
            parts += piece
        return bytes(parts)

    def _unpacked(self, packed: memoryview) -> bytes:
        try:
            return self._unpacker.decompress(packed)
        except Exception as error:  # each library has errors of its own
            raise EOFError(f"the packed stream is damaged: {error}") from error

    def at_end(self) -> bool:
        """Whether nothing but zeros is left: what fills up a tar stream. Reads ahead to find out."""
        while True:
            rest = self._ready[self._at :].lstrip(b"\0")
            if rest:
                self._ready, self._at = rest, 0
                return False
            self._ready, self._at = b"", 0
            data = self.read(1 << 16)
            if not data:
                return True
            self._ready, self._at = data + self._ready[self._at :], 0

    @property
    def left_over(self) -> bytes:
        """What followed the packed part."""
        return self._unpacker.unused_data + bytes(self._packed)
