"""A local machine's life: watched every second by the wall clock, ended together with everything it started.

It ends runs and itself, never the computer.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gpucloud.hostside.guards import Ending, due, held_until, notice_due, what_remains
from gpucloud.hostside.machine import Machine, log
from gpucloud.hostside.work import Work
from gpucloud.providers.local.folder import ENDED, RECORD, SERVER, Record, remove_folder, write_json
from gpucloud.providers.local.processes import end_all, of_machine

LOOK_S = 1.0
HOLD_FILE, NOTICE_FILE = "hold", "ending-soon"  # in our folder on the machine


class Presence:
    """Whether clients are connected, or when one last was: a session, a forward or a copy is an open connection."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._lock, self._clock = threading.Lock(), clock
        self._count = 0
        self.last_left_epoch_s = 0.0

    @property
    def anybody(self) -> bool:
        """Whether somebody is connected now."""
        return self._count > 0

    def joined(self) -> None:
        """One more authenticated connection."""
        with self._lock:
            self._count += 1

    def left(self) -> None:
        """One connection less."""
        with self._lock:
            self._count -= 1
            self.last_left_epoch_s = self._clock()


class Life:
    """Decides when the machine ends, and ends it."""

    def __init__(
        self, machine: Machine, work: Work, presence: Presence, clock: Callable[[], float] = time.time
    ) -> None:
        self._machine, self._work, self._presence, self._clock = machine, work, presence, clock
        self._last_busy_epoch_s = clock()
        self._asked_to_stop = threading.Event()
        self._notified_for: float | None = None

    def ask_to_stop(self) -> None:
        """`stop` or a termination signal: end in good order at the next look."""
        self._asked_to_stop.set()

    def watch(self) -> Ending:
        """Wait until the machine has to end."""
        while True:
            ending = self.look()
            if ending is not None:
                return ending
            self._asked_to_stop.wait(LOOK_S)

    def look(self) -> Ending | None:
        """One look at the folder, the clock and the work."""
        record = self._machine.folder.record()
        if record is None:
            return None if (self._machine.folder.path / RECORD).exists() else Ending("folder_gone", "delete")
        if self._asked_to_stop.is_set():
            return Ending("stop", "stop")
        now = self._clock()
        self._note_work(record, now)
        self._give_notice(record, now)
        return due(record, now, self._last_busy_epoch_s)

    def _note_work(self, record: Record, now_epoch_s: float) -> None:
        """Looking through all processes costs, so it is done a few times per idle window, at most every 5 s."""
        if record.idle_s is None or now_epoch_s - self._last_busy_epoch_s < min(5.0, record.idle_s / 4):
            return
        hold = _mtime(self._machine.base / HOLD_FILE)
        seen = now_epoch_s if self._busy() else self._presence.last_left_epoch_s
        self._last_busy_epoch_s = held_until(hold, max(seen, self._last_busy_epoch_s))

    def _busy(self) -> bool:
        """Work or a client; what cannot be told is work."""
        if self._presence.anybody:
            return True
        try:
            return bool(self._work.running() or of_machine(self._machine.folder))
        except Exception as error:
            log(f"cannot tell whether runs are active, taken as busy: {error}")
            return True

    def _give_notice(self, record: Record, now_epoch_s: float) -> None:
        notice = self._machine.base / NOTICE_FILE
        if not notice_due(record, now_epoch_s):
            if self._notified_for is not None:
                self._notified_for = None
                notice.unlink(missing_ok=True)
        elif self._notified_for != record.deadline_epoch_s:
            self._notified_for = record.deadline_epoch_s
            with contextlib.suppress(OSError):
                notice.write_text(f"{record.deadline_epoch_s:.0f}\n")
            log(f"notice: this machine ends in {(record.deadline_epoch_s or 0) - now_epoch_s:.0f} s")

    def end(self, ending: Ending) -> None:
        """End every run and process, write down why, delete the folder where that was agreed."""
        folder = self._machine.folder
        log(f"ending: {ending.reason}")
        record = folder.record()
        if record is not None:
            try:
                self._work.end(record.grace_s)
            except Exception as error:
                log(f"runs could not be ended by name, everything is killed: {error}")
        end_all(folder, spare=frozenset({os.getpid()}))
        if record is None:
            return
        remains = what_remains(ending, self._unpulled())
        self._write_ended(remains)
        if remains.action == "delete":
            remove_folder(folder)

    def _unpulled(self) -> int:
        try:
            return self._work.unpulled()
        except OSError:
            return 1

    def _write_ended(self, ending: Ending) -> None:
        body = {"reason": ending.reason, "action": ending.action, "ended_epoch_s": self._clock()}
        with contextlib.suppress(OSError):
            write_json(self._machine.folder.path / ENDED, body)
            (self._machine.folder.path / SERVER).unlink(missing_ok=True)
            (self._machine.base / NOTICE_FILE).unlink(missing_ok=True)


def _mtime(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
