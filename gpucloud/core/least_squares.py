"""Non-negative least squares for a few terms, solved exactly by trying every set of active terms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

_SINGULAR = 1e-12
Matrix = list[list[float]]


def fit_to_one(rows: Sequence[Sequence[float]]) -> list[float]:
    """Coefficients c ≥ 0 that bring every row · c closest to 1 (least squares); at most a handful of columns."""
    width = len(rows[0])
    gram = [[sum(row[i] * row[j] for row in rows) for j in range(width)] for i in range(width)]
    aim = [sum(row[i] for row in rows) for i in range(width)]
    best_cost, best = 0.0, [0.0] * width
    for size in range(1, width + 1):
        for active in combinations(range(width), size):
            found = _solve([[gram[i][j] for j in active] + [aim[i]] for i in active])
            if found is None or min(found) < 0:
                continue
            full = [0.0] * width
            for column, value in zip(active, found, strict=True):
                full[column] = value
            cost = -sum(aim[i] * full[i] for i in active)  # at a stationary point of its set: c'Gc = aim'c
            if cost < best_cost - _SINGULAR:
                best_cost, best = cost, full
    return best


def _solve(augmented: Matrix) -> list[float] | None:
    """Gauss-Jordan with pivoting; None when the columns depend on each other."""
    size = len(augmented)
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(augmented[row][column]))
        if abs(augmented[pivot][column]) < _SINGULAR:
            return None
        augmented[column], augmented[pivot] = augmented[pivot], augmented[column]
        for row in range(size):
            if row != column:
                factor = augmented[row][column] / augmented[column][column]
                for k in range(column, size + 1):
                    augmented[row][k] -= factor * augmented[column][k]
    return [augmented[i][size] / augmented[i][i] for i in range(size)]
