"""In which order the tests run: the long ones first, a fair share to each worker.

Workers begin with a contiguous piece of the list each, and steal from the others when theirs is done. A long test at
the end of the list would let one worker go on alone, so every piece begins with its part of the long ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

# Parts of the names of tests that take ten seconds or more, in any order.
LONG = (
    "clouds/test_fault_matrix",
    "flows/test_killpoints",
    "ssh/test_own_machines",
    "ssh/test_leases",
    "test_end_to_end",
    "test_killed_refresh",
    "house/test_readme",
    "house/test_live",
    "house/test_manual",
    "providers/test_local",
    "clouds/test_machine",
)


def in_pieces(items: Sequence[Item], names: Sequence[str], workers: int) -> list[Item]:
    """The same items; each of `workers` equal pieces begins with its share of the long ones."""
    long = [item for item, name in zip(items, names, strict=True) if _is_long(name)]
    short = [item for item, name in zip(items, names, strict=True) if not _is_long(name)]
    ordered: list[Item] = []
    taken = 0
    for worker in range(workers):
        share = long[worker::workers]
        size = len(items) * (worker + 1) // workers - len(ordered) - len(share)
        end = max(taken, min(taken + size, len(short))) if worker < workers - 1 else len(short)
        ordered += [*share, *short[taken:end]]
        taken = end
    return ordered


def _is_long(name: str) -> bool:
    return any(part in name for part in LONG)
