"""Values as people read them: money, counts, ages, and strings that cannot harm a terminal."""

from __future__ import annotations

from typing import Any

MISSING = "-"
DAYS_PER_MONTH, DAYS_PER_YEAR = 30.44, 365.25


def clean(words: str) -> str:
    """The string with everything that does not print (control, escape, direction marks) replaced by `?`."""
    return words if words.isprintable() else "".join(mark if mark.isprintable() else "?" for mark in words)


def cell(value: Any) -> str:
    """Any value as a cell: missing is `-`, numbers are short, strings are clean."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return significant(value)
    return clean(str(value))


def significant(value: float | None, digits: int = 4) -> str:
    """A figure with about four digits, never in scientific notation below 1e15: `0.05261`, `12.34`, `31,415`."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15 or size < 1e-6:
        return f"{value:.{digits}g}"
    whole_digits = len(str(int(size))) if size >= 1 else 0
    decimals = max(0, digits - whole_digits) if size >= 1 else digits - 1 + _zeros(size)
    shown = f"{value:,.{decimals}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _zeros(size: float) -> int:
    """Zeros between the point and the first digit, plus one."""
    zeros = 1
    while size * 10**zeros < 1:
        zeros += 1
    return zeros


def usd(value: float | None) -> str:
    """Money per hour with three decimals, so that columns align: `32.773`, `0.053`."""
    return MISSING if value is None else f"{value:,.3f}"


def usd_total(value: float | None) -> str:
    """An amount of money in dollars and cents."""
    return MISSING if value is None else f"{value:,.2f}"


def count(value: float | None) -> str:
    """How many GPUs; a share of one as a fraction: `8`, `1/6`."""
    if value is None:
        return MISSING
    if 0 < value < 1:
        return f"1/{round(1 / value)}" if abs(1 / value - round(1 / value)) < 0.05 else f"{value:g}"
    return f"{value:,.10g}"


def number(value: float | None) -> str:
    """A whole or decimal figure as it is: `96`, `7450.6`."""
    return MISSING if value is None else f"{value:,.10g}"


def age(days: int | None) -> str:
    """How old a price is: `today`, `12 d`, `5 mo`, `1.3 y`; `?` when nobody knows."""
    if days is None:
        return "?"
    if days <= 0:
        return "today"
    if days < 2 * DAYS_PER_MONTH:
        return f"{days} d"
    if days < DAYS_PER_YEAR:
        return f"{days / DAYS_PER_MONTH:.0f} mo"
    return f"{days / DAYS_PER_YEAR:.1f} y"


def plural(number_of: int, noun: str) -> str:
    """`1 offer`, `2,104 offers`."""
    return f"{number_of:,} {noun}" if number_of == 1 else f"{number_of:,} {noun}s"


def width_of(words: str) -> int:
    """Terminal columns that a clean string takes."""
    if words.isascii():
        return len(words)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(mark) else 2 if east_asian_width(mark) in "WF" else 1 for mark in words)


def shortened(words: str, width: int, ellipsis: str = "~") -> str:
    """The string cut to `width` columns, with a mark where it was cut."""
    if width_of(words) <= width:
        return words
    kept = ""
    for mark in words:
        if width_of(kept + mark) > width - width_of(ellipsis):
            break
        kept += mark
    return kept + ellipsis
