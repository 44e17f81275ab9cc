"""Aligned columns of text that fit the terminal.

Our own sixty lines and no table library: importing `tabulate` costs a third of `import typer`, which is more than
`compare` has to spare, and the fitting (drop what matters least, then cut what is longest) is ours anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpucloud.render.text import shortened, width_of

GAP = "  "
READABLE = 14  # text columns are cut to this before a column that matters is dropped
NARROWEST = 6  # and to this when nothing is left to drop
TITLE = 4  # and titles of numbers to this


def layout(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[bool],
    keep: Sequence[int],
    width: int | None = None,
) -> tuple[list[str], list[str]]:
    """Lines of the table, a rule under its titles, and the titles of the columns that had to go."""
    widths = [max([width_of(title), *(width_of(row[at]) for row in rows)]) for at, title in enumerate(titles)]
    shown = list(range(len(titles)))
    if width is not None:
        numbers = [max([TITLE, *(width_of(row[at]) for row in rows)]) for at in range(len(titles))]
        shown = _fitting(shown, widths, numbers, right, keep, width)
    rule = ["-" * size for size in widths]
    lines = [_line(row, shown, widths, right) for row in (titles, rule, *rows)]
    return lines, [titles[at] for at in range(len(titles)) if at not in shown]


def _total(shown: list[int], widths: list[int]) -> int:
    return sum(widths[at] for at in shown) + len(GAP) * (len(shown) - 1)


def _fitting(
    shown: list[int], widths: list[int], numbers: list[int], right: Sequence[bool], keep: Sequence[int], width: int
) -> list[int]:
    """The columns that stay, with `widths` cut: what matters little goes, then words get short, then the rest goes.

    A number is never cut, only the title above it.
    """
    for below, floor in ((5, READABLE), (9, NARROWEST)):
        shown = _dropped(shown, widths, keep, below, width)
        _cut(shown, widths, right, floor, width)
    if _total(shown, widths) > width:
        for at in (at for at in shown if right[at]):
            widths[at] = min(widths[at], numbers[at])
    return _dropped(shown, widths, keep, 10, width)


def _dropped(shown: list[int], widths: list[int], keep: Sequence[int], below: int, width: int) -> list[int]:
    left = list(shown)
    while _total(left, widths) > width:
        droppable = [at for at in left[1:] if keep[at] < below]  # the first one says what the row is
        if not droppable:
            break
        left.remove(min(droppable, key=lambda at: (keep[at], -at)))
    return left


def _cut(shown: list[int], widths: list[int], right: Sequence[bool], floor: int, width: int) -> None:
    """Take from the longest text column, letter by letter, until the line fits or none can give."""
    while _total(shown, widths) > width:
        longest = max((at for at in shown if not right[at]), key=lambda at: widths[at], default=None)
        if longest is None or widths[longest] <= floor:
            return
        widths[longest] -= 1


def _line(row: Sequence[str], shown: list[int], widths: list[int], right: Sequence[bool]) -> str:
    cells = []
    for at in shown:
        words = shortened(row[at], widths[at])
        padding = " " * (widths[at] - width_of(words))
        cells.append(padding + words if right[at] else words + padding)
    return GAP.join(cells).rstrip()
