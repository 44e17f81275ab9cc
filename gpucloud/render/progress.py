"""A progress bar for bytes on a terminal: how much, how fast, how long still. Nothing is drawn in a pipe."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

from gpucloud.core.units import show_duration
from gpucloud.render.terminal import draws, terminal_width

FIRST_DRAW_S = 1.0  # what takes less needs no bar
REDRAW_S = 0.1
CELLS = 24
UNITS = ("B", "KB", "MB", "GB", "TB")


class ProgressBar:
    """Call it with (bytes done, bytes total); use as a context manager, which wipes the line at the end."""

    def __init__(self, stream: TextIO, label: str, *, enabled: bool | None = None) -> None:
        self._stream, self._label = stream, label
        self._enabled = draws(stream) if enabled is None else enabled
        self._begin = self._drawn = time.monotonic()
        self._shown = False

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._enabled or now - self._begin < FIRST_DRAW_S or now - self._drawn < REDRAW_S:
            return
        self._drawn, self._shown = now, True
        line = progress_line(self._label, done, total, now - self._begin)
        width = (terminal_width(self._stream) or 80) - 1
        self._stream.write("\r" + line[:width].ljust(width))
        self._stream.flush()

    def close(self) -> None:
        """Wipe the line, where one was drawn."""
        if self._shown:
            self._stream.write("\r" + " " * ((terminal_width(self._stream) or 80) - 1) + "\r")
            self._stream.flush()
            self._shown = False


def progress_line(label: str, done: int, total: int, seconds: float) -> str:
    """`sync [######......] 12.0 MB of 48.0 MB, 6.0 MB/s, 6s left`."""
    share = min(1.0, done / total) if total else 0.0
    bar = "#" * int(share * CELLS)
    rate = done / seconds if seconds > 0 else 0.0
    left = f", {show_duration((total - done) / rate)} left" if rate > 0 and total > done else ""
    return f"{label} [{bar:.<{CELLS}}] {size(done)} of {size(total)}, {size(rate)}/s{left}"


def size(count: float) -> str:
    """Bytes with a unit: `512 B`, `12.0 MB`."""
    for unit in UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {UNITS[-1]}"
