"""Aligned columns of text that fit the terminal.

Our own lines and no table library: importing `tabulate` costs a third of `import typer`, which is more than
`compare` has to spare, and the fitting (drop what matters least, then cut what is longest) is ours anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gpucloud.render.paint import Painter, Tone, unpainted
from gpucloud.render.text import plain, shortened, width_of

GAP = "  "
READABLE = 14  # text columns are cut to this (or their own `floor`) before a column that matters is dropped
NARROWEST = 6  # and to this when nothing is left to drop
TITLE = 4  # and titles of numbers to this


def toneless(words: str) -> Tone:
    """Most cells have no tone."""
    return ""


class Column(NamedTuple):
    """One column: the key of its value in a row, its title with the unit, its side, and how it is written.

    `wide` columns appear only with `-o wide`, `csv` and `markdown`. Where the terminal is too narrow, columns with
    a lower `keep` go first; 9 (the rule) is squeezed before it goes, and the first column never goes. A text is not
    cut below `floor` while a column that matters less than 9 is there. `tone` says how a written value shows on a
    terminal with colours.
    """

    key: str
    title: str
    right: bool = False
    wide: bool = False
    write: Callable[[Any], str] = plain
    keep: int = 9
    tone: Callable[[str], Tone] = toneless
    floor: int = READABLE


def layout(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None = None, paint: Painter = unpainted
) -> tuple[list[str], list[str]]:
    """Lines of the table, a rule under its titles, and the titles of the columns that had to go.

    `rows` are written and printable already, a text for each column.
    """
    titles = [column.title for column in columns]
    widths = [max([width_of(title), *(width_of(row[at]) for row in rows)]) for at, title in enumerate(titles)]
    shown = list(range(len(columns)))
    if width is not None:
        numbers = [max([TITLE, *(width_of(row[at]) for row in rows)]) for at in range(len(columns))]
        shown = _fitting(shown, widths, numbers, columns, width)

    def line(row: Sequence[str], tone: Callable[[int], Tone]) -> str:
        return GAP.join(_cell(row[at], widths[at], columns[at].right, tone(at), paint) for at in shown).rstrip()

    rule = ["-" * size for size in widths]
    lines = [line(titles, lambda at: "title"), line(rule, lambda at: "aside")]
    lines.extend(line(row, lambda at, row=row: columns[at].tone(row[at])) for row in rows)  # type: ignore[misc]
    return lines, [titles[at] for at in range(len(columns)) if at not in shown]


def _cell(words: str, width: int, right: bool, tone: Tone, paint: Painter) -> str:
    words = shortened(words, width)
    padding, toned = " " * (width - width_of(words)), paint(words, tone)
    return padding + toned if right else toned + padding


def _total(shown: list[int], widths: list[int]) -> int:
    return sum(widths[at] for at in shown) + len(GAP) * (len(shown) - 1)


def _fitting(
    shown: list[int], widths: list[int], numbers: list[int], columns: Sequence[Column], width: int
) -> list[int]:
    """The columns that stay, with `widths` cut: what matters little goes, then words get short, then the rest goes.

    A number is never cut, only the title above it.
    """
    natural, floors = list(widths), [column.floor for column in columns]
    shown = _dropped(shown, widths, columns, 5, width)
    _cut(shown, widths, columns, floors, width)
    shown = _dropped(shown, widths, columns, 9, width)
    widths[:] = natural  # what was dropped leaves room
    _cut(shown, widths, columns, floors, width)
    _cut(shown, widths, columns, [NARROWEST] * len(columns), width)
    if _total(shown, widths) > width:
        for at in (at for at in shown if columns[at].right):
            widths[at] = min(widths[at], numbers[at])
    return _dropped(shown, widths, columns, 10, width)


def _dropped(shown: list[int], widths: list[int], columns: Sequence[Column], below: int, width: int) -> list[int]:
    left = list(shown)
    while _total(left, widths) > width:
        droppable = [at for at in left[1:] if columns[at].keep < below]  # the first one says what the row is
        if not droppable:
            break
        left.remove(min(droppable, key=lambda at: (columns[at].keep, -at)))
    return left


def _cut(shown: list[int], widths: list[int], columns: Sequence[Column], floors: list[int], width: int) -> None:
    """Take from the text that is longest above its floor, letter by letter, until the line fits or none can give."""
    texts = [at for at in shown if not columns[at].right]
    while _total(shown, widths) > width:
        longest = max(texts, key=lambda at: (widths[at] > floors[at], widths[at]), default=None)
        if longest is None or widths[longest] <= floors[longest]:
            return
        widths[longest] -= 1
