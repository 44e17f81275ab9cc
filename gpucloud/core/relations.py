"""Solving a handful of products (`hours × count = gpu_hours`) for whatever is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

from gpucloud.core.errors import UsageError

AGREE_WITHIN = 0.02  # figures that people round before they type them


class Product(NamedTuple):
    """`whole = factor × product of parts`; every quantity is positive."""

    whole: str
    parts: tuple[str, ...]
    factor: float = 1.0


def solve(known: Mapping[str, float], products: Sequence[Product]) -> dict[str, float]:
    """All quantities that follow from the known ones. Raises UsageError when two given figures disagree."""
    values = dict(known)
    while any(_apply(relation, values) for relation in products):
        pass
    for relation in products:
        _check(relation, values)
    return values


def _apply(relation: Product, values: dict[str, float]) -> bool:
    missing = [name for name in (relation.whole, *relation.parts) if name not in values]
    if len(missing) != 1:
        return False
    known_parts = relation.factor * prod(values[name] for name in relation.parts if name in values)
    values[missing[0]] = known_parts if missing[0] == relation.whole else values[relation.whole] / known_parts
    return True


def _check(relation: Product, values: Mapping[str, float]) -> None:
    if any(name not in values for name in (relation.whole, *relation.parts)):
        return
    right = relation.factor * prod(values[name] for name in relation.parts)
    left = values[relation.whole]
    if abs(left - right) > AGREE_WITHIN * max(left, right):
        words = " and ".join(name.replace("_", " ") for name in relation.parts)
        raise UsageError(
            f"The figures contradict each other: {relation.whole.replace('_', ' ')} {left:.4g}, but {words}"
            f" give {right:.4g}.",
            "Leave one of them out, and it is computed from the others.",
        )
