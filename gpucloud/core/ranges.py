"""Values that are known only as a range `a..b`, and what a formula makes of them.

A formula is a plain function of numbers. With ranges it is evaluated at every corner of the box they span;
the formulas here are monotone in each input, so the extremes lie at corners.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from gpucloud.core.errors import UsageError
from gpucloud.core.units import split_quantity

Range = tuple[float, float]
MAX_RANGES = 10
NO_NUMBER = ("a plain number", "Write it like 7e9, 7B, 0.5 or 35%.")
_COUNT_SUFFIX = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15}


def number(text: str, what: str) -> float:
    """`"7e9"`, `"7B"`, `"1.4T"` or `"35%"` as a number. Raises UsageError for anything else."""
    if text.strip().endswith("%"):
        return split_quantity(text.strip()[:-1], what, *NO_NUMBER)[0] / 100
    value, suffix = split_quantity(text, what, *NO_NUMBER)
    if suffix not in _COUNT_SUFFIX:
        raise UsageError(f"{what} '{text}' is not {NO_NUMBER[0]}.", NO_NUMBER[1])
    return value * _COUNT_SUFFIX[suffix]


def parse_range(text: str, what: str, parse: Callable[[str, str], float] = number, *, zero_ok: bool = False) -> Range:
    """`"a"` or `"a..b"` as (low, high), each read by `parse`. Raises UsageError unless 0 < low ≤ high."""
    first, dots, last = text.partition("..")
    low = parse(first, what)
    high = parse(last, what) if dots else low
    if low < 0 or (low == 0 and not zero_ok) or not high < float("inf"):
        raise UsageError(f"{what} must be positive, not '{text}'.", "Leave it out when it is not known.")
    if low > high:
        raise UsageError(f"The range '{text}' of {what} runs backwards.", f"Write {last}..{first}.")
    return low, high


def spread(
    formula: Callable[[dict[str, float]], Mapping[str, Any]],
    inputs: Mapping[str, Range],
    *,
    inner: Mapping[str, Sequence[float]] | None = None,
    ranks: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The answers of `formula`, flat. When an input is a range, each number `k` becomes `k_low` and `k_high`.

    `k` itself stays where both ends agree. `inner` adds points inside the range of an input in which the
    formula is not monotone. `ranks` orders the words of a textual answer from best to worst.
    """
    ranged = [name for name, (low, high) in inputs.items() if low != high]
    if not ranged:
        return dict(formula({name: low for name, (low, _) in inputs.items()}))
    if len(ranged) > MAX_RANGES:
        raise UsageError(f"{len(ranged)} ranges at once are too many.", f"Give at most {MAX_RANGES}.")
    answers = [formula(point) for point in _points(inputs, inner or {})]
    flat: dict[str, Any] = {}
    for key in answers[0]:
        flat.update(_ends(key, [answer[key] for answer in answers], (ranks or {}).get(key)))
    return flat


def _points(inputs: Mapping[str, Range], inner: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    names = list(inputs)
    axes = []
    for name in names:
        low, high = inputs[name]
        inside = [value for value in inner.get(name, ()) if low < value < high]
        axes.append(sorted({low, high, *inside}))
    return [dict(zip(names, corner, strict=True)) for corner in product(*axes)]


def _ends(key: str, values: Sequence[Any], rank: Sequence[str] | None) -> dict[str, Any]:
    if isinstance(values[0], list) and rank is None:
        columns = [_ends("", column, None) for column in zip(*values, strict=False)]
        return {f"{key}_{end}": [column.get(f"_{end}") for column in columns] for end in ("low", "high")}
    if all(value == values[0] for value in values):
        same = {key: values[0]}
        numeric = isinstance(values[0], (int, float)) and not isinstance(values[0], bool)
        return {**same, f"{key}_low": values[0], f"{key}_high": values[0]} if numeric else same
    known = [value for value in values if value is not None]
    order = rank.index if rank else None
    low, high = min(known, key=order), max(known, key=order)
    if len(known) < len(values):  # beyond reach at one end of the range
        high = None
    return {f"{key}_low": low, f"{key}_high": high}
