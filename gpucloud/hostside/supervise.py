"""Keeps one run of a `local` machine: starts its job in a session of its own, holds the log to its cap, records
the exit code. A program of its own, started as a file with `-I -S`, so that it lives when the server dies; it
imports nothing of gpucloud and little else, because every `run` waits for its start.

Argument: the run's folder. stdin: the job, marshalled. stdout: `ready`.
"""

from __future__ import annotations

import _thread
import fcntl
import marshal
import os
import signal
import sys
import time
from typing import IO, Any

CAP_LOOKS_S = (0.1, 1.0)
KEPT_BYTES = 65536
MARK = (
    "\n[gpucloud: the log has reached its cap of %d bytes; "
    "of what follows only the last %d bytes are kept, until the end]\n"
)
LEFT_OUT = "[gpucloud: %d bytes are left out here]\n"
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def main(run: str) -> None:
    """Detach, then keep the run until its job has ended."""
    job: dict[str, Any] = marshal.loads(sys.stdin.buffer.read())
    if os.fork():
        os._exit(0)
    os.chdir(job["work"])
    lock = os.open(os.path.join(run, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)  # held as long as this process lives: how others see that it does
    put(run, "sup", str(os.getpid()))
    reserve(run)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.write(1, b"ready\n")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    child, terminal = begin(run, job)
    held = HeldLog(run, job["cap"])
    if job["cap"]:
        _thread.start_new_thread(held.watch, ())
    if terminal >= 0:
        copy_terminal(run, terminal)
    _, status = os.waitpid(child, 0)
    held.end()
    finish(run, status)


def put(run: str, name: str, text: str) -> None:
    """Write a small file so that it is seen whole or not at all."""
    path = os.path.join(run, name)
    with open(path + ".new", "w") as file:
        file.write(text + "\n")
    os.rename(path + ".new", path)


def reserve(run: str) -> None:
    """Room for what is written at the end: a disk that is full by then must not cost the exit code."""
    for name in ("exit.new", "ended", "room"):
        with open(os.path.join(run, name), "w") as file:
            file.write(" " * 32 + "\n")


def note_full_disk(run: str) -> None:
    """Leave a mark where the disk has no room by now: the log may lack its end. A new name needs none."""
    probe = os.path.join(run, "room.new")
    try:
        with open(probe, "wb") as file:
            file.write(b" " * 4096)
    except OSError:
        os.rename(os.path.join(run, "room"), os.path.join(run, "full"))
    if os.path.exists(probe):
        os.unlink(probe)


def overwrite(run: str, name: str, text: str) -> None:
    """Fill what `reserve` made."""
    descriptor = os.open(os.path.join(run, name), os.O_WRONLY)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def finish(run: str, status: int) -> None:
    """Record the end: 128 + signal number for a job that was killed."""
    note_full_disk(run)
    code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    overwrite(run, "ended", f"{time.time():.3f}")
    overwrite(run, "exit.new", str(code))
    os.rename(os.path.join(run, "exit.new"), os.path.join(run, "exit"))


class HeldLog:
    """Holds a log to its cap: what goes beyond is cut between two looks, and the last of it put back at the end."""

    def __init__(self, run: str, cap: int) -> None:
        self._run, self._path, self._cap = run, os.path.join(run, "log"), cap
        self._kept_bytes = min(cap, KEPT_BYTES)
        self._mark = (MARK % (cap, self._kept_bytes)).encode()
        self._marked = self._over = False
        self._cut_bytes, self._tail = 0, b""
        self._one_at_a_time = _thread.allocate_lock()

    def watch(self) -> None:
        """Look at the log's size once a second, ten times while it grows so fast that the cap is near."""
        before, pause_s = 0, CAP_LOOKS_S[0]
        while True:
            time.sleep(pause_s)
            if not os.path.exists(self._path):
                continue
            size = os.stat(self._path).st_size
            with self._one_at_a_time:
                if self._over:
                    return
                self._hold_where_possible()
            grown, before = size - before, min(size, os.stat(self._path).st_size)
            pause_s = CAP_LOOKS_S[0 if grown > 0 and size + 4 * grown / pause_s > self._cap else 1]

    def end(self) -> None:
        """The last look; the tail of what was cut goes behind the mark."""
        with self._one_at_a_time:
            self._over = True
            self._hold_where_possible()
            if self._tail:
                left = self._cut_bytes - len(self._tail)
                with open(self._path, "ab") as log:
                    log.write((LEFT_OUT % left).encode() * (left > 0) + self._tail)
                put(self._run, "capped", str(os.stat(self._path).st_size))

    def _hold_where_possible(self) -> None:
        """Where the disk has no room for the mark, or the run is being removed, the next look decides."""
        try:
            self._hold()
        except OSError:
            return

    def _hold(self) -> None:
        if not self._cap or os.stat(self._path).st_size <= self._cap:
            return
        with open(self._path, "r+b", 0) as log:
            if not self._marked:
                self._cut(log, self._cap)  # the mark takes its place
                os.pwrite(log.fileno(), self._mark, self._cap)
                put(self._run, "capped", str(self._cap + len(self._mark)))
                self._marked = True
            else:
                self._cut(log, self._cap + len(self._mark))

    def _cut(self, log: IO[bytes], most: int) -> None:
        size = os.fstat(log.fileno()).st_size
        if size > most:
            new = os.pread(log.fileno(), self._kept_bytes, max(most, size - self._kept_bytes))
            self._tail = (self._tail + new)[-self._kept_bytes :]
            self._cut_bytes += size - most
            os.ftruncate(log.fileno(), most)


def begin(run: str, job: dict[str, Any]) -> tuple[int, int]:
    """Fork the job; returns its pid and the terminal to copy from (-1: none)."""
    terminal, inner = os.openpty() if job["tty"] else (-1, -1)
    child = os.fork()
    if child:
        if inner >= 0:
            os.close(inner)
        return child, terminal
    code = 127
    try:
        be_the_job(run, job, terminal, inner)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except OSError as error:
        code = 126 if isinstance(error, PermissionError) else 127
        os.write(2, f"gpucloud: {error.filename or job['words'][:1]}: {error.strerror}\n".encode())
    finally:
        os._exit(code)


def be_the_job(run: str, job: dict[str, Any], terminal: int, inner: int) -> None:
    """In the child: own session, log and environment, set-up, then the command. Never returns."""
    os.setsid()
    if inner >= 0:
        import termios

        os.close(terminal)
        fcntl.ioctl(inner, termios.TIOCSCTTY, 0)
        set_size(inner, job["environment"])
        out = inner
    else:
        out = os.open(os.path.join(run, "log"), APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(out, descriptor)
    if inner >= 0:
        os.dup2(inner, 0)
    for one in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)
    put(run, "pid", str(os.getpid()))
    if job["setup"]:
        set_up(run, job)
    words = job["words"] or ["/bin/sh", "-c", job["text"]]
    os.execvpe(words[0], words, job["environment"])


def set_size(terminal: int, environment: dict[str, str]) -> None:
    """Give the terminal the size that COLUMNS and LINES name."""
    import struct
    import termios

    columns, lines = environment.get("COLUMNS", ""), environment.get("LINES", "")
    size = (int(lines) if lines.isdigit() else 24, int(columns) if columns.isdigit() else 80)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))


def set_up(run: str, job: dict[str, Any]) -> None:
    """The set-up step, unless its stamp says it was done; SystemExit with its code when it fails."""
    stamp = job["stamp"]
    if os.path.exists(stamp):
        return
    put(run, "setup", "")
    os.makedirs(os.path.dirname(stamp), exist_ok=True)
    lock = os.open(stamp + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.path.exists(stamp):
        child = os.fork()
        if not child:
            os.execve("/bin/sh", ["/bin/sh", "-ec", job["setup"]], job["environment"])
        _, status = os.waitpid(child, 0)
        if status:
            code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            said = f"gpucloud: the set-up failed with exit code {code}; the command was not started\n"
            os.write(2, said.encode())
            raise SystemExit(code)
        os.close(os.open(stamp, os.O_WRONLY | os.O_CREAT, 0o600))
    os.close(lock)
    os.unlink(os.path.join(run, "setup"))


def copy_terminal(run: str, terminal: int) -> None:
    """Everything the job prints on its terminal into the log, until the terminal is closed."""
    log = os.open(os.path.join(run, "log"), APPEND, 0o600)
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # EIO on Linux: nobody holds the other end
            return
        if not data:
            return
        while data:
            try:
                data = data[os.write(log, data) :]
            except OSError:
                break  # the disk is full: the job must not block on it


if __name__ == "__main__":
    main(sys.argv[1])
