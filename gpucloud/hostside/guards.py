"""When a local machine must end: its deadline, idleness, or the loss of its folder. Pure decisions on clock values.

Times are epoch seconds by the wall clock, so that a laptop that slept past its deadline ends when it wakes.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpucloud.providers.local.folder import Record


@dataclass(frozen=True)
class Ending:
    """Why a machine ends (deadline, idle, stop, folder_gone) and what remains (stop: its folder; delete: nothing)."""

    reason: str
    action: str


def due(record: Record, now_epoch_s: float, last_busy_epoch_s: float) -> Ending | None:
    """The ending whose time has come, or None."""
    if record.deadline_epoch_s is not None and now_epoch_s >= record.deadline_epoch_s:
        return Ending("deadline", record.at_end)
    if record.idle_s is not None and now_epoch_s - last_busy_epoch_s >= record.idle_s:
        return Ending("idle", record.at_end)
    return None


def notice_due(record: Record, now_epoch_s: float) -> bool:
    """Whether runs should be told now that the deadline is near."""
    return record.deadline_epoch_s is not None and now_epoch_s >= record.deadline_epoch_s - record.notice_s


def held_until(hold_mtime_epoch_s: float | None, last_busy_epoch_s: float) -> float:
    """A `hold` file counts as work at its modification time, which may lie in the future (`touch -d`)."""
    return max(last_busy_epoch_s, hold_mtime_epoch_s or 0.0)


def what_remains(ending: Ending, unpulled_runs: int) -> Ending:
    """Results outlive idleness and deadline: while outputs are not pulled, nothing is deleted."""
    return Ending(ending.reason, "stop") if unpulled_runs else ending
