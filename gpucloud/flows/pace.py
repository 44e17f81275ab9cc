"""How often to ask again: soon at first, then less and less often."""

from __future__ import annotations

from gpucloud.flows.context import Context


class Pace:
    """Pauses that grow from `waits.poll` to `waits.poll_max`."""

    def __init__(self, ctx: Context, first_s: float | None = None, longest_s: float | None = None) -> None:
        self._sleep = ctx.sleep
        self._next_s = ctx.waits.poll if first_s is None else first_s
        self._longest_s = ctx.waits.poll_max if longest_s is None else longest_s

    def pause(self, at_least_s: float = 0.0) -> None:
        """Sleep for the next pause, or as long as the cloud asked for."""
        self._sleep(max(self._next_s, at_least_s))
        self._next_s = min(self._longest_s, self._next_s * 1.4)
