"""Quantities as people write them: durations, sizes, counts, money, times."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from gpucloud.core.errors import UsageError

SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31557600.0}
GIB = {"": 1.0, "gib": 1.0, "gb": 1.0, "g": 1.0, "mib": 1 / 1024, "mb": 1 / 1024, "tib": 1024.0, "tb": 1024.0}
NO_DURATION = ("a length of time", "Write it like 90m, 6h or 2d; the units are ms, s, m, h, d, w and y.")
NO_MEMORY = ("an amount of memory", "Write it like 40GB or 512MiB; the units are GB, GiB, MB, MiB, TB and TiB.")
_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([a-zA-Z]*)\s*")


def split_quantity(text: str, what: str, kind: str, hint: str) -> tuple[float, str]:
    """`"1.5h"` → `(1.5, "h")`. Raises UsageError, "not `kind`" with `hint`, when it is no such non-negative number."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UsageError(f"{what} '{text}' is not {kind}.", hint)
    return float(match[1]), match[2].lower()


def duration_s(text: str, what: str = "duration", bare: str = "h") -> float:
    """Seconds in `"90m"`, `"6h"`, `"54d"` or a bare number, which is in `bare` units (hours by default)."""
    value, unit = split_quantity(text, what, *NO_DURATION)
    unit = unit or bare
    if unit not in SECONDS:
        raise UsageError(f"{what} '{text}' is not {NO_DURATION[0]}.", NO_DURATION[1])
    return value * SECONDS[unit]


def memory_gib(text: str, what: str = "memory") -> float:
    """GiB in `"40GB"`, `"40"` or `"512MiB"`. GB is read as GiB, the way card names use it."""
    value, unit = split_quantity(text, what, *NO_MEMORY)
    if unit not in GIB:
        raise UsageError(f"{what} '{text}' is not {NO_MEMORY[0]}.", NO_MEMORY[1])
    return value * GIB[unit]


def show_duration(seconds: float) -> str:
    """The two largest units that matter: `2d 3h`, `1h 05m`, `4m 10s`, `12s`."""
    whole = max(0, round(seconds))
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {secs:02d}s" if minutes else f"{secs}s"


def iso_utc(epoch_s: float) -> str:
    """Epoch seconds as ISO-8601 UTC: `2026-11-24T20:17:52Z`."""
    return datetime.fromtimestamp(epoch_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def days_between(earlier_iso: str, later_iso: str) -> int:
    """Whole days from one ISO date to another (never negative)."""
    delta: timedelta = datetime.fromisoformat(later_iso[:10]) - datetime.fromisoformat(earlier_iso[:10])
    return max(0, delta.days)
