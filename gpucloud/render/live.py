"""One line at the bottom of a terminal while something is waited for: what, and for how long. Nothing in a pipe."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from gpucloud.core.units import show_duration
from gpucloud.render.progress import FIRST_DRAW_S
from gpucloud.render.terminal import draws, terminal_width
from gpucloud.render.text import printable

REDRAW_S = 1.0


class LiveLine:
    """`show("…")` draws and keeps the seconds going; `show("")` wipes. What else is written goes inside `aside`.

    The seconds count from the first `show` after a wipe; a wait shorter than a second draws nothing.
    """

    def __init__(self, stream: TextIO, *, enabled: bool = True) -> None:
        self._stream, self._enabled = stream, enabled and draws(stream)
        self._lock = threading.RLock()
        self._said, self._begun, self._drawn = "", 0.0, 0
        self._over: threading.Event | None = None  # of the thread that redraws

    def show(self, sentence: str) -> None:
        """What is waited for now; an empty sentence: nothing any more."""
        if not self._enabled:
            return
        with self._lock:
            if sentence and not self._said:
                self._begin()
            self._said = sentence
            if not sentence:
                self._end()
            elif self._drawn:
                self._draw()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The line is away while something else is written or asked; the next second draws it again."""
        with self._lock:
            self._wipe()
            yield

    def _begin(self) -> None:
        self._begun, self._over = time.monotonic(), threading.Event()
        threading.Thread(target=self._redraw, args=(self._over,), daemon=True).start()

    def _end(self) -> None:
        if self._over is not None:
            self._over.set()
            self._over = None
        self._wipe()

    def _redraw(self, over: threading.Event) -> None:
        pause_s = FIRST_DRAW_S
        while not over.wait(pause_s):
            with self._lock:
                if not over.is_set():
                    self._draw()
            pause_s = REDRAW_S

    def _draw(self) -> None:
        width = (terminal_width(self._stream) or 80) - 1
        line = live_line(self._said, time.monotonic() - self._begun, width)
        self._write("\r" + line.ljust(self._drawn))
        self._drawn = len(line)

    def _wipe(self) -> None:
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a listener who left stops nothing
            self._stream.write(text)
            self._stream.flush()


def live_line(sentence: str, seconds: float, width: int) -> str:
    """`waiting for X (12s)`; the sentence is cut where the width is short, the time never is."""
    time_words = f" ({show_duration(int(seconds))})"
    said, room = printable(sentence).rstrip("."), max(0, width - len(time_words))
    return (said if len(said) <= room else said[: max(0, room - 3)] + "...") + time_words
