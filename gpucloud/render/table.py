"""Aligned columns of text that fit the terminal.

Our own forty lines instead of a table library: importing `tabulate` costs a third of `import typer`, and the
fitting (drop what matters least, then cut what is longest) would remain to be written anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpucloud.render.text import shortened, width_of

GAP = "  "
NARROWEST = 6  # a text column is not cut below this


def layout(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[bool],
    keep: Sequence[int],
    width: int | None = None,
    ellipsis: str = "~",
) -> tuple[list[str], list[str]]:
    """Lines of the table, and the titles of the columns that had to go.

    Columns with a lower `keep` go first; those with `keep` 9 or more never go, but are cut.
    """
    widths = [max([width_of(title), *(width_of(row[at]) for row in rows)]) for at, title in enumerate(titles)]
    shown = list(range(len(titles)))
    if width is not None:
        shown = _fitting(shown, widths, keep, width)
        _cut(shown, widths, right, width)
    lines = [_line(row, shown, widths, right, ellipsis) for row in (titles, *rows)]
    return lines, [titles[at] for at in range(len(titles)) if at not in shown]


def _total(shown: list[int], widths: list[int]) -> int:
    return sum(widths[at] for at in shown) + len(GAP) * (len(shown) - 1)


def _fitting(shown: list[int], widths: list[int], keep: Sequence[int], width: int) -> list[int]:
    left = list(shown)
    while _total(left, widths) > width:
        droppable = [at for at in left if keep[at] < 9]
        if not droppable:
            break
        left.remove(min(droppable, key=lambda at: (keep[at], -at)))
    return left


def _cut(shown: list[int], widths: list[int], right: Sequence[bool], width: int) -> None:
    while (over := _total(shown, widths) - width) > 0:
        longest = max((at for at in shown if not right[at]), key=lambda at: widths[at], default=None)
        if longest is None or widths[longest] <= NARROWEST:
            return
        rivals = [widths[at] for at in shown if at != longest and not right[at] and widths[at] < widths[longest]]
        floor = max([NARROWEST, *rivals])
        widths[longest] = max(floor if floor < widths[longest] else NARROWEST, widths[longest] - over)


def _line(row: Sequence[str], shown: list[int], widths: list[int], right: Sequence[bool], ellipsis: str) -> str:
    cells = []
    for at in shown:
        words = shortened(row[at], widths[at], ellipsis)
        padding = " " * (widths[at] - width_of(words))
        cells.append(padding + words if right[at] else words + padding)
    return GAP.join(cells).rstrip()
