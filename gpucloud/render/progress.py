"""The bar of a copy: bytes, share, rate and time left, on a terminal only."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

REDRAW_S = 0.1
RATE_WINDOW_S = 5.0
SHOW_AFTER_S = 0.3  # a copy that is done by then needs no bar
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def shown_bytes(count: float) -> str:
    """`count` bytes for people: `3.4 MiB`."""
    for unit in UNITS:
        if count < 1000 or unit == UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def shown_time(seconds: float) -> str:
    """A time left as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ProgressBar:
    """Call it with (bytes done, bytes in total). Draws on one line and wipes it at the end."""

    def __init__(
        self,
        stream: TextIO,
        label: str,
        *,
        enabled: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._label = label
        self._enabled = stream.isatty() if enabled is None else enabled
        self._clock = clock
        self._begun = self._drawn_at = clock()
        self._points: list[tuple[float, int]] = [(self._begun, 0)]
        self._on_screen = False

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def __call__(self, done: int, total: int) -> None:
        now = self._clock()
        if not self._enabled or now - self._begun < SHOW_AFTER_S or now - self._drawn_at < REDRAW_S:
            return
        self._drawn_at = now
        self._points.append((now, done))
        while len(self._points) > 2 and self._points[1][0] < now - RATE_WINDOW_S:
            del self._points[0]
        self._stream.write("\r\x1b[K" + self.line(done, total)[: shutil.get_terminal_size().columns - 1])
        self._stream.flush()
        self._on_screen = True

    def rate(self) -> float:
        """Bytes per second over the last seconds."""
        (then, before), (now, done) = self._points[0], self._points[-1]
        return (done - before) / (now - then) if now > then else 0.0

    def line(self, done: int, total: int) -> str:
        """What is drawn."""
        share = done / total if total else 1.0
        filled = round(20 * share)
        bar = "#" * filled + "-" * (20 - filled)
        amounts = f"{shown_bytes(done)} of {shown_bytes(total)}"
        rate = self.rate()
        left = f"  {shown_time((total - done) / rate)} left" if rate > 0 and total > done else ""
        return f"{self._label} [{bar}] {share:4.0%}  {amounts}  {shown_bytes(rate)}/s{left}"

    def wipe(self) -> None:
        """Take the bar off the screen."""
        if self._on_screen:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._on_screen = False
