"""The same result for people and for programs: a table that fits the terminal, or JSON, CSV and Markdown.

A command builds one `View` and calls `show`. The JSON body holds the result's own keys and exact figures; columns
say how the rows of the human view are written.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

VERSION = 1
SMALLEST = 6  # no column is squeezed below this many letters
GAP = "  "


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


class Column(NamedTuple):
    """One column: the key of its value in a row, its title with the unit, its side, and how it is written.

    `wide` columns appear only with `-o wide`, `csv` and `markdown`.
    """

    key: str
    title: str
    right: bool = False
    wide: bool = False
    write: Callable[[Any], str] = plain


class View(NamedTuple):
    """A result. `body` are the JSON keys beside `version` and `kind`; `notes` are lines under the table."""

    kind: str
    body: Mapping[str, Any]
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()
    empty: str = "Nothing to show."


def show(view: View, output: str, stream: TextIO) -> None:
    """Write the view: `table`, `wide`, `json`, `csv` or `markdown`."""
    if output == "json":
        _json(view, stream)
    elif output == "csv":
        _csv(view, stream)
    else:
        _text(view, output, stream)


def _json(view: View, stream: TextIO) -> None:
    import json

    json.dump({"version": VERSION, "kind": view.kind, **view.body}, stream, indent=2, ensure_ascii=True)
    stream.write("\n")


def _csv(view: View, stream: TextIO) -> None:
    """Exact values under the JSON names of the columns."""
    import csv

    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.key for column in view.columns])
    for row in view.rows:
        writer.writerow([_exact(row.get(column.key)) for column in view.columns])


def _exact(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return ";".join(str(item) for item in value)
    return value


def _text(view: View, output: str, stream: TextIO) -> None:
    columns = [column for column in view.columns if output != "table" or not column.wide]
    if not view.rows:
        stream.write(view.empty + "\n")
    elif output == "markdown":
        stream.write(_markdown(columns, view.rows) + "\n")
    else:
        width = terminal_width(stream) if output == "table" else None
        stream.write(table(columns, view.rows, width) + "\n")
    for note in view.notes:
        stream.write(printable(note) + "\n")


def terminal_width(stream: TextIO) -> int | None:
    """Columns of the terminal behind `stream`; None in a pipe, where nothing is squeezed."""
    return shutil.get_terminal_size((100, 24)).columns if stream.isatty() else None


def printable(text: str) -> str:
    """Without control characters: what a catalog or a cloud says cannot move the cursor or forge a line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """Aligned text, no wider than `width`: the widest left-aligned columns give way first."""
    import tabulate

    tabulate.MIN_PADDING = 0  # a header needs no room beyond its own letters
    cells = [[printable(column.write(row.get(column.key))) for column in columns] for row in rows]
    columns, cells = _without_empty(columns, cells)
    if width is not None:
        _squeeze(columns, cells, width)
    align = ["right" if column.right else "left" for column in columns]
    return str(
        tabulate.tabulate(
            cells,
            headers=[column.title for column in columns],
            tablefmt="simple",
            colalign=align,
            disable_numparse=True,
        )
    )


def _without_empty(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> tuple[list[Column], list[list[str]]]:
    """A column in which no row says anything is left out."""
    kept = [number for number in range(len(columns)) if any(row[number] for row in cells)]
    return [columns[number] for number in kept], [[row[number] for number in kept] for row in cells]


def _squeeze(columns: Sequence[Column], cells: list[list[str]], width: int) -> None:
    widths = [max(len(column.title), *(len(row[number]) for row in cells)) for number, column in enumerate(columns)]
    limit = width - len(GAP) * (len(columns) - 1)
    while sum(widths) > limit:
        flexible = [n for n, column in enumerate(columns) if not column.right and widths[n] > _floor(column)]
        if not flexible:
            break
        widest = max(flexible, key=lambda n: widths[n])
        widths[widest] -= 1
    for row in cells:
        row[:] = [
            text if len(text) <= size else text[: size - 2] + ".." for text, size in zip(row, widths, strict=True)
        ]


def _floor(column: Column) -> int:
    return max(SMALLEST, len(column.title))


def _markdown(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rule = ["---:" if column.right else "---" for column in columns]
    body = [[_cell(column.write(row.get(column.key))) for column in columns] for row in rows]
    return "\n".join(line(cells) for cells in [[column.title for column in columns], rule, *body])


def _cell(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|")


def usd(digits: int = 2) -> Callable[[Any], str]:
    """Writes money with that many decimals, nothing for None."""
    return lambda value: "" if value is None else f"{value:,.{digits}f}"
