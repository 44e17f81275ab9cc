"""Ctrl-C, SIGTERM and SIGHUP: the first one lets the call at hand finish, the second one ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedTwice(BaseException):
    """The second press: not an error that anything below may catch."""


class Interrupts:
    """While in the block, the first signal only sets `pending`; the second raises InterruptedTwice."""

    def __init__(self, narrate: Callable[[str], None]) -> None:
        self._narrate = narrate
        self._event = threading.Event()
        self._pressed = False
        self._before: dict[int, Any] = {}

    @property
    def pending(self) -> bool:
        """Whether the user wants us to stop."""
        return self._event.is_set()

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._pressed:
            raise InterruptedTwice
        self._pressed = True
        self._event.set()
        self._narrate("Finishing the call at hand; press Ctrl-C again to leave everything as it is.")

    def answered(self) -> None:
        """The first press is being acted on: sleeps are whole again, and the next press ends everything."""
        self._event.clear()

    def sleep(self, seconds: float) -> None:
        """Sleep, but wake at the first signal."""
        self._event.wait(seconds)
