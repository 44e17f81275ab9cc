"""Cost against time as letters on a terminal: both axes logarithmic, rented and owned, the Pareto front.

Our own hundred lines and no library: only marks in cells are needed, with labels that do not collide and letters
that every terminal has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import floor, log10
from typing import NamedTuple

from gpucloud.render.text import significant

ROWS, NARROWEST, WIDEST = 14, 30, 120  # terminal cells
DECADES = range(-4, 10)  # of USD
MINUTE_H, DAY_H, YEAR_H = 1 / 60, 24.0, 8766.0
TIMES = {  # hours of the ticks on the time axis → their names
    **{n * MINUTE_H / 60: f"{n}s" for n in (1, 5, 15, 30)},
    **{n * MINUTE_H: f"{n}m" for n in (1, 2, 5, 10, 20, 30)},
    **{float(n): f"{n}h" for n in (1, 2, 4, 8, 16)},
    **{n * DAY_H: f"{n}d" for n in (1, 2, 4, 8, 15, 30, 60, 120, 240)},
    **{n * YEAR_H: f"{n:,}y" for n in (1, 2, 5, 10, 20, 50, 100, 1000, 10_000)},
}


class Point(NamedTuple):
    """One option: hours and USD for the whole work, both above zero; `kind` is rent or own."""

    hours: float
    usd: float
    kind: str
    front: bool = False


class Marks(NamedTuple):
    """The letters of a chart."""

    rent: str
    own: str
    front: str
    path: str
    side: str
    floor: str
    corner: str


UNICODE = Marks("○", "□", "◆", "·", "│", "─", "└")
ASCII = Marks("o", "x", "*", ".", "|", "-", "+")


def can_show(encoding: str | None) -> bool:
    """Whether a stream of this encoding can take the marks that are no ASCII."""
    try:
        "".join(UNICODE).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class Axis(NamedTuple):
    """A logarithmic scale over `cells` places."""

    low: float
    high: float
    cells: int

    @classmethod
    def over(cls, values: Sequence[float], cells: int) -> Axis:
        """A scale that holds all values with a little room; never of no length."""
        low, high = log10(min(values)), log10(max(values))
        room = max(0.04 * (high - low), 0.02)
        return cls(low - room, high + room, cells)

    def place(self, value: float) -> int:
        """The cell of a value, from 0."""
        return round((log10(value) - self.low) / (self.high - self.low) * (self.cells - 1))

    def ticks(self, candidates: Mapping[float, str], apart: int | None = None) -> dict[int, str]:
        """Cells and labels of those candidates that lie on the scale and do not touch each other.

        `apart` is the least distance of two labels; None leaves as much as the labels are wide.
        """
        kept: dict[int, str] = {}
        free = 0
        for value, name in sorted(candidates.items()):
            if self.low <= log10(value) <= self.high and (cell := self.place(value)) >= free:
                kept[cell] = name
                free = cell + (len(name) + 2 if apart is None else apart)
        return kept


def chart(points: Sequence[Point], width: int | None = None, unicode: bool = False) -> list[str]:
    """Lines of at most `width` columns (80 where it is not known); none when there is nothing to draw."""
    drawn = [point for point in points if point.hours > 0 and point.usd > 0]
    if not drawn:
        return []
    marks = UNICODE if unicode else ASCII
    across = min(max((width or 80) - 1, NARROWEST), WIDEST)
    up = Axis.over([point.usd for point in drawn], ROWS)
    prices = up.ticks(_prices(up), apart=2)
    margin = max(map(len, prices.values()), default=0) + 1
    along = Axis.over([point.hours for point in drawn], across - margin - 1)
    grid = _grid(drawn, along, up, marks)
    sides = [f"{prices.get(row, ''):>{margin - 1}} {marks.side}" for row in range(ROWS)]
    body = [(sides[row] + "".join(grid[row])).rstrip() for row in reversed(range(ROWS))]
    foot = " " * margin + marks.corner + marks.floor * along.cells
    return ["USD for the whole work", *body, foot, _times(along, margin + 1), *_legend(drawn, marks, across)]


def _prices(axis: Axis) -> dict[float, str]:
    """1, 2 and 5 of every decade; where the axis is shorter than that, its two ends."""
    nice = {step * 10.0**decade: significant(step * 10.0**decade) for decade in DECADES for step in (1, 2, 5)}
    if sum(axis.low <= log10(value) <= axis.high for value in nice) >= 2:
        return nice
    ends = (10 ** (axis.low + 0.02), 10 ** (axis.high - 0.02))
    return {value: significant(value, 3) for value in ends}


def _grid(points: Sequence[Point], along: Axis, up: Axis, marks: Marks) -> list[list[str]]:
    """Cells from the bottom; of several points in a cell the front's is seen, else the owned one's."""
    grid = [[" "] * along.cells for _ in range(up.cells)]
    placed = [(point, along.place(point.hours), up.place(point.usd)) for point in points]
    front = sorted({(x, y) for point, x, y in placed if point.front}, key=lambda cell: (cell[0], -cell[1]))
    for begin, end in pairwise(front):
        for x, y in _between(begin, end):
            grid[y][x] = marks.path
    for point, x, y in sorted(placed, key=lambda one: (one[0].front, one[0].kind == "own")):
        grid[y][x] = marks.front if point.front else marks.own if point.kind == "own" else marks.rent
    return grid


def _between(begin: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The cells of a straight line without its ends."""
    across, up = end[0] - begin[0], end[1] - begin[1]
    cells = max(abs(across), abs(up))
    for step in range(1, cells):
        yield floor(begin[0] + across * step / cells + 0.5), floor(begin[1] + up * step / cells + 0.5)


def _times(along: Axis, margin: int) -> str:
    ticks = along.ticks(TIMES)
    if len(ticks) < 2:
        middle = 10 ** ((along.low + along.high) / 2)
        ticks = ticks or {along.place(middle): f"{significant(middle, 3)}h"}
    line = ""
    for cell, name in ticks.items():
        cell = min(cell, along.cells - len(name))
        line = line.ljust(cell) + name if cell >= len(line) else line
    return " " * margin + line


def _legend(points: Sequence[Point], marks: Marks, across: int) -> list[str]:
    words = ["time for the whole work"]
    words += [f"{marks.rent} rent"] if any(one.kind != "own" for one in points) else []
    words += [f"{marks.own} own"] if any(one.kind == "own" for one in points) else []
    words += [f"{marks.front} Pareto front"] if any(one.front for one in points) else []
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 3 + len(word) <= across:
            lines[-1] += "   " + word
        else:
            lines.append(word)
    return lines
