"""A run on several nodes is one job: when it fails on one node, the others, which would wait for it, are ended.

Whoever looks next does it: `run`, `wait` and `logs -f` while they follow, `ps` and `ls` when they ask. The nodes
themselves cannot: they have no keys to each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from gpucloud.remote.runs import RunEnd, RunStatus

OTHERS_GRACE_S = 30.0  # the others may end by themselves, with an error message of their own
KILL_AFTER_S = 10.0  # from TERM to KILL
NODE_PATIENCE_S = 60.0  # a node silent for that long while others answer is dead; all silent: it is our network


class Companion(Protocol):
    """One node's part of a run, being followed."""

    rank: int
    end: RunEnd | None
    silent_since: float | None  # monotonic clock; None while its connection stands

    def give_up(self) -> None:
        """Stop waiting for this node: its part is lost."""
        ...


class Companions:
    """Look at them now and then; `send(companions, signal)` reaches their jobs."""

    def __init__(
        self,
        companions: Sequence[Companion],
        send: Callable[[Sequence[Companion], str], None],
        narrate: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._all, self._send, self._narrate, self._clock = companions, send, narrate, clock
        self._failed_at: float | None = None
        self._network_since = self._clock()  # since when a node answers, so that silence is that of the others
        self._due_s, self._step = OTHERS_GRACE_S, "TERM"

    def look(self) -> None:
        """Take the step that is due."""
        self._bury_the_dead()
        failed, left = [one for one in self._all if _failed(one)], [one for one in self._all if one.end is None]
        if not failed or not left:
            return
        if self._failed_at is None:
            self._failed_at = self._clock() - _ago_s(failed)
            self._narrate(f"{_why(failed[0])}; the other nodes have {OTHERS_GRACE_S:g} s to end.")
        if self._clock() - self._failed_at >= self._due_s:
            self._narrate(ending(len(left), self._step))
            self._send(left, self._step)
            # KILL is repeated: a signal is lost with its connection
            self._due_s, self._step = self._clock() - self._failed_at + KILL_AFTER_S, "KILL"

    def _bury_the_dead(self) -> None:
        silent = [one for one in self._all if one.end is None and one.silent_since is not None]
        if len(silent) == len([one for one in self._all if one.end is None]):
            self._network_since = self._clock()
        for one in silent:
            if self._clock() - max(one.silent_since or 0.0, self._network_since) > NODE_PATIENCE_S:
                one.give_up()


def steps_due(states: Mapping[int, RunStatus], now: float) -> dict[int, str]:
    """Rank -> the signal that is due, for one who only asks now and then. `now` in epoch seconds.

    A node that knows nothing of the run has not failed: its start may be under way.
    """
    failed = [one for one in states.values() if one.state == "lost" or (one.exit_code and one.told_epoch_s is None)]
    if not failed or now - min(one.ended_epoch_s or 0.0 for one in failed) < OTHERS_GRACE_S:
        return {}
    told = {rank: one.told_epoch_s for rank, one in states.items() if one.state in ("setup", "running")}
    ripe = {rank: since for rank, since in told.items() if since is None or now - since >= KILL_AFTER_S}
    return {rank: "TERM" if since is None else "KILL" for rank, since in ripe.items()}


def ending(nodes: int, step: str) -> str:
    """What is said when the others are sent a signal."""
    return f"Ending the run on {nodes} more node{'s' * (nodes > 1)} ({step})."


def _failed(one: Companion) -> bool:
    return one.end is not None and (one.end.state in ("lost", "none") or bool(one.end.exit_code))


def _ago_s(failed: Sequence[Companion]) -> float:
    """How long ago the first of them ended: who begins to follow late does not give the others their time again."""
    ended = [one.end.ended_epoch_s for one in failed if one.end is not None and one.end.ended_epoch_s is not None]
    return max(0.0, time.time() - min(ended)) if ended else 0.0


def _why(one: Companion) -> str:
    assert one.end is not None
    told = "is lost" if one.end.exit_code is None else f"failed with exit code {one.end.exit_code}"
    return f"The run {told} on node {one.rank}"
