"""Asking many at once, each within a time: one that hangs holds up nobody, not even the end of the command."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gpucloud.core.errors import WaitTimeout

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 32


@dataclass(frozen=True)
class Answer(Generic[R]):
    """What came back: a value, or the error that came instead (WaitTimeout where nothing came in time)."""

    value: R | None = None
    error: Exception | None = None

    def get(self) -> R:
        """The value; raises the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def at_once(work: Callable[[T], R], items: Sequence[T], limit_s: float, at_most: int = AT_ONCE) -> list[Answer[R]]:
    """`work` on every item in threads of their own; the answers in the order of the items, after `limit_s` at most.

    A thread that is late is left behind: it is a daemon, so it does not keep the process alive either.
    """
    waiting: queue.SimpleQueue[tuple[int, T]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Answer[R]]] = queue.SimpleQueue()
    for numbered in enumerate(items):
        waiting.put(numbered)
    for _ in range(min(at_most, len(items))):
        threading.Thread(target=_worker, args=(work, waiting, done), daemon=True).start()
    return _gathered(done, len(items), limit_s)


def _worker(
    work: Callable[[T], R],
    waiting: queue.SimpleQueue[tuple[int, T]],
    done: queue.SimpleQueue[tuple[int, Answer[R]]],
) -> None:
    while True:
        try:
            number, item = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            done.put((number, Answer(work(item))))
        except Exception as error:
            done.put((number, Answer(error=error)))


def _gathered(done: queue.SimpleQueue[tuple[int, Answer[R]]], count: int, limit_s: float) -> list[Answer[R]]:
    end, found = time.monotonic() + limit_s, dict[int, Answer[R]]()
    while len(found) < count:
        try:
            number, answer = done.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        found[number] = answer
    late: Answer[R] = Answer(error=WaitTimeout(f"It did not answer within {limit_s:g} s.", "Repeat it later."))
    return [found.get(number, late) for number in range(count)]
