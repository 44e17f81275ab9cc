"""Following a run on all its nodes: one stream of lines, exact exit code, Ctrl-C in three steps."""

from __future__ import annotations

import signal as signals
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from gpucloud.core.cloud import Resource
from gpucloud.core.deployments import Deployment, Run
from gpucloud.core.errors import GpucloudError, Interrupted, Unreachable
from gpucloud.core.wire import Transport
from gpucloud.flows import run_events, runs
from gpucloud.flows.companions import Companions
from gpucloud.flows.context import Context
from gpucloud.flows.lines import Lines
from gpucloud.flows.machines import MOST_AT_ONCE, Dial, endpoint_of
from gpucloud.remote.runs import RunEnd, follow, signal

STEPS = ("INT", "TERM", "KILL")
WORDS = {
    "INT": "Interrupting the command; press Ctrl-C again to terminate it.",
    "TERM": "Terminating the command; press Ctrl-C again to kill it.",
    "KILL": "Killing the command.",
}


@dataclass
class Follower:
    """Writes a run's log to `sink` until it ends. `ask_detach` is asked at the first Ctrl-C: True leaves it running."""

    ctx: Context
    dial: Dial
    sink: Callable[[bytes], None]
    ask_detach: Callable[[str], bool] = lambda question: False
    wait: bool = True
    only_reads: bool = False  # Ctrl-C ends the reading and leaves the command alone
    _presses: int = field(default=0, init=False)
    _writing: bool = field(default=False, init=False)
    _late: bool = field(default=False, init=False)

    def follow(self, deployment: Deployment, run: Run, offset: int = 0) -> Run:
        """The run as it stands when its nodes have ended (or at once, with `wait` False); its end is journaled."""
        machines = runs.machines_of(deployment, run)
        lines = Lines(self.sink, prefixed=len(machines) > 1)
        streams = [_Stream(self, machine, run, lines, offset) for machine in machines]
        try:
            with self._whole_writes():
                if len(streams) == 1:
                    self._patiently(streams[0], run, streams)
                else:
                    self._together(streams, run)
        finally:
            lines.end()
            for stream in streams:
                stream.close()
        states = {stream.rank: stream.end for stream in streams if stream.end is not None}
        for rank, end in states.items():
            if end.disk_full:
                where = f" of node {rank}" if len(streams) > 1 else ""
                self.ctx.narrate(f"The disk{where} was full when {run.id} ended: its log and files may lack their end.")
        return runs.note_status(self.ctx, run, states)

    @contextmanager
    def _whole_writes(self) -> Iterator[None]:
        """Ctrl-C waits until bytes are both written and counted: else they would be written twice."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def heard(number: int, frame: Any) -> None:
            if self._writing:
                self._late = True
            else:
                raise KeyboardInterrupt

        before = signals.signal(signals.SIGINT, heard)
        try:
            yield
        finally:
            signals.signal(signals.SIGINT, before)

    def take(self, write: Callable[[], object]) -> None:
        """Write and count as one step."""
        if threading.current_thread() is not threading.main_thread():
            write()
            return
        self._writing = True
        try:
            write()
        finally:
            self._writing = False
        if self._late:
            self._late = False
            raise KeyboardInterrupt

    def _patiently(self, stream: _Stream, run: Run, streams: list[_Stream]) -> None:
        while stream.end is None:
            try:
                stream.read()
            except KeyboardInterrupt:
                self._pressed(run, streams)

    def _together(self, streams: list[_Stream], run: Run) -> None:
        ended = threading.Event()  # not join(): a Ctrl-C in it makes Python up to 3.12 take the thread for dead
        for stream in streams:
            threading.Thread(target=stream.read_guarded, args=(ended,), daemon=True).start()
        companions = Companions(streams, _signal_others, self.ctx.narrate)
        while any(stream.end is None and stream.error is None for stream in streams):
            try:
                ended.wait(0.2)
                ended.clear()
                companions.look()
            except KeyboardInterrupt:
                self._pressed(run, streams)
        for stream in streams:
            if stream.error is not None and stream.end is None:
                raise stream.error

    def _pressed(self, run: Run, streams: list[_Stream]) -> None:
        """One press: ask or interrupt; two: terminate; three: kill. The next may come while one is carried out."""
        while True:
            try:
                return self._take_step(run, streams)
            except KeyboardInterrupt:
                continue

    def _take_step(self, run: Run, streams: list[_Stream]) -> None:
        if self.only_reads:
            raise Interrupted(f"{run.id} goes on.", f"`gpucloud cancel {run.id}` ends it.")
        if self._presses == 0:
            try:
                leave = self.ask_detach(f"Leave {run.id} running?")
            except KeyboardInterrupt:
                leave, self._presses = False, 1
            if leave:
                raise Interrupted(f"{run.id} goes on.", f"`gpucloud logs {run.id} -f` follows it again.")
        step = STEPS[min(self._presses, len(STEPS) - 1)]
        self._presses += 1
        self.ctx.narrate(WORDS[step])
        self.take(lambda: run_events.cancel_requested(self.ctx, run))
        _signal_all(streams, step)


def _signal_all(streams: Sequence[Any], step: str, *, others: bool = False) -> None:
    """On all nodes at once."""
    with ThreadPoolExecutor(min(MOST_AT_ONCE, len(streams))) as pool:
        list(pool.map(lambda stream: stream.signal(step, others=others), streams))


def _signal_others(streams: Sequence[Any], step: str) -> None:
    """The same because the run failed elsewhere."""
    _signal_all(streams, step, others=True)


class _Stream:
    """The log of one node, resumed at its own offset."""

    def __init__(self, follower: Follower, machine: Resource, run: Run, lines: Lines, offset: int) -> None:
        self.rank = machine.rank or 0
        self.end: RunEnd | None = None
        self.error: BaseException | None = None
        self.silent_since: float | None = None
        self._follower, self._machine, self._run, self._lines = follower, machine, run, lines
        self._offset = offset
        self._transport: Transport | None = None

    def read(self) -> None:
        """Until the run has ended on this node."""
        end = follow(
            self._connect,
            self._dir(),
            self._offset,
            self._take,
            on_lost=self._lost,
            wait=self._follower.wait,
        )
        self.end = self.end or end

    def read_guarded(self, ended: threading.Event) -> None:
        """The same in a thread: its error is kept, and the end told."""
        try:
            self.read()
        except BaseException as error:
            self.error = error
        ended.set()

    def give_up(self) -> None:
        """The node is dead: what it did is lost."""
        self.end = RunEnd("lost")

    def _dir(self) -> str:
        return runs.run_dir(endpoint_of(self._machine).base_dir, self._run.number)

    def _connect(self) -> Transport:
        self.close()
        self._transport = self._follower.dial(endpoint_of(self._machine))
        self.silent_since = None
        return self._transport

    def _take(self, data: bytes) -> None:
        def write() -> None:
            self._lines.write(self.rank, data)
            self._offset += len(data)

        self._follower.take(write)

    def _lost(self, error: Unreachable) -> None:
        if self.end is not None:
            raise error  # given up
        if self.silent_since is None:
            self.silent_since = time.monotonic()
            what = f"{error.message.rstrip('.')}: the command goes on, reconnecting."
            self._follower.ctx.narrate(f"Node {self.rank}: {what}" if self._lines.prefixed else what)

    def signal(self, name: str, *, others: bool = False) -> None:
        """Through a connection of its own: the stream's may be busy or dead."""
        with suppress(GpucloudError):
            transport = self._follower.dial(endpoint_of(self._machine))
            try:
                signal(transport, self._dir(), name, others=others)
            finally:
                transport.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None


def cancel(ctx: Context, dial: Dial, deployment: Deployment, run: Run, grace_s: float = 10.0) -> Run:
    """Interrupt, then terminate, then kill a run on all its nodes; returns when it has ended."""
    run = run_events.cancel_requested(ctx, run)
    silent = Follower(ctx, dial, lambda data: None)
    streams: list[Any] = [
        _Stream(silent, m, run, Lines(lambda data: None), 0) for m in runs.machines_of(deployment, run)
    ]
    for step in STEPS:
        _signal_all(streams, step)
        end = ctx.clock() + grace_s
        while ctx.clock() < end:
            runs.refresh(ctx, dial, [ctx.journal.present().deployments[deployment.id]])
            run = run_events.find_run(ctx, run.id)
            if not run.open:
                return run
            ctx.sleep(0.1)
    raise Unreachable(f"{run.id} did not end.", f"`gpucloud down {deployment.name}` ends the machine.")
