"""Values as people read them: money, counts, ages, and strings that cannot harm a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

DAYS_PER_MONTH, DAYS_PER_YEAR = 30.44, 365.25


def printable(words: str) -> str:
    """Without control characters: what a catalog or a cloud says cannot move the cursor or forge a line."""
    return words if words.isprintable() else "".join(mark if mark.isprintable() else "?" for mark in words)


def plain(value: Any) -> str:
    """How a value is written when its column does not say: nothing for None, yes and no, lists with commas."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    return str(value)


def usd(digits: int = 2) -> Callable[[Any], str]:
    """Writes money with that many decimals, nothing for None."""
    return lambda value: "" if value is None else f"{value:,.{digits}f}"


def dollars(value: float) -> str:
    """Money as a figure to compare: cents only where they matter."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.2f}"


def dollars_between(low: float, high: float) -> str:
    """An uncertain sum: no cents from ten dollars on, `41 .. 57`."""
    digits = 0 if high >= 10 else 2
    return f"{low:,.{digits}f} .. {high:,.{digits}f}"


def significant(value: float | None, digits: int = 4) -> str:
    """A figure with about four digits, without an exponent where people expect none: `0.05261`, `31,415`."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    size = abs(value)
    if not 1e-6 <= size < 1e15:
        return f"{value:.{digits}g}"
    shown = f"{value:,.{max(0, digits - 1 - _magnitude(size))}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _magnitude(size: float) -> int:
    """The power of ten of the first digit that is shown."""
    return int(f"{size:e}".split("e")[1])


def count(value: float | None) -> str:
    """How many GPUs; a share of one as a fraction: `8`, `1/6`."""
    if value is None:
        return ""
    if 0 < value < 1 and abs(1 / value - round(1 / value)) < 0.05:
        return f"1/{round(1 / value)}"
    return f"{value:,.10g}"


def age(days: int | None) -> str:
    """How old a price is: `today`, `12 d`, `5 mo`, `1.3 y`; `unknown` when nobody knows."""
    if days is None:
        return "unknown"
    if days <= 0:
        return "today"
    if days < 2 * DAYS_PER_MONTH:
        return f"{days} d"
    if days < DAYS_PER_YEAR:
        return f"{days / DAYS_PER_MONTH:.0f} mo"
    return f"{days / DAYS_PER_YEAR:.1f} y"


def plural(amount: int, noun: str) -> str:
    """`1 offer`, `2,104 offers`."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def width_of(words: str) -> int:
    """Terminal columns that a clean string takes."""
    if words.isascii():
        return len(words)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(mark) else 2 if east_asian_width(mark) in "WF" else 1 for mark in words)


def shortened(words: str, width: int) -> str:
    """The string cut to `width` columns, with two dots where it was cut."""
    if width_of(words) <= width:
        return words
    kept = ""
    for mark in words:
        if width_of(kept + mark) > width - 2:
            break
        kept += mark
    return kept + ".."
