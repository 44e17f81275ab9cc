"""The same result for people and for programs: a table that fits the terminal, or JSON, CSV and Markdown.

A command builds one `View` and calls `show`. The JSON body holds the result's own keys and exact figures; columns
say how the rows of the human view are written.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from gpucloud.render.paint import Painter, painter, unpainted, with_commands
from gpucloud.render.table import Column, layout
from gpucloud.render.terminal import terminal_width
from gpucloud.render.text import plain, printable, usd

__all__ = ["Column", "Section", "View", "plain", "printable", "show", "table", "usd"]

VERSION = 1


class Section(NamedTuple):
    """A further table below the first, under a line of its own."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]


class View(NamedTuple):
    """A result. `body` are the JSON keys beside `version` and `kind`; `notes` are lines under the table.

    CSV prints the columns of `rows`; with `records`, the key of a list in `body`, every field of that list instead.
    """

    kind: str
    body: Mapping[str, Any]
    columns: Sequence[Column] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    empty: str = "Nothing to show."
    records: str = ""
    sections: Sequence[Section] = ()


def show(view: View, output: str, stream: TextIO | None = None) -> None:
    """Write the view as `table`, `wide`, `json`, `csv` or `markdown`, on stdout unless told otherwise."""
    stream = sys.stdout if stream is None else stream
    if output == "json":
        from gpucloud.render.machine import json_lines

        stream.writelines(json_lines({"version": VERSION, "kind": view.kind, **view.body}))
    elif output == "csv":
        from gpucloud.render.machine import csv_lines

        stream.writelines(csv_lines(*_csv(view)))
    elif output == "markdown":
        _markdown(view, stream)
    else:
        _text(view, stream, wide=output == "wide")


def _csv(view: View) -> tuple[Sequence[Mapping[str, Any]], list[str] | None]:
    if view.records:
        return view.body[view.records], None
    return view.rows, [column.key for column in view.columns]


def _text(view: View, stream: TextIO, wide: bool) -> None:
    width, paint = None if wide else terminal_width(stream), painter(stream)
    notes = [printable(note) for note in view.notes]
    gone: dict[str, None] = {}
    for title, columns, rows in _tables(view):
        if title:
            stream.write(f"\n{paint(wrapped(printable(title), width), 'title')}\n")
        shown = [column for column in columns if wide or not column.wide]
        text, left_out = _layout(shown, rows, width, paint)
        gone.update(dict.fromkeys(left_out))
        stream.write((text if rows else with_commands(wrapped(view.empty, width), paint)) + "\n")
    if gone:
        notes.append(f"Left out for the width of the terminal: {', '.join(gone)} (-o wide shows all).")
    for note in notes:
        stream.write(with_commands(wrapped(note, width), paint) + "\n")


def _tables(view: View) -> list[Section]:
    first = [Section("", view.columns, view.rows)] if view.columns else []
    return [*first, *view.sections]


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """Aligned text, no wider than `width`; a column in which no row says anything is left out."""
    return _layout(columns, rows, width)[0]


def _layout(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], width: int | None, paint: Painter = unpainted
) -> tuple[str, list[str]]:
    cells = [[printable(column.write(row.get(column.key))) for column in columns] for row in rows]
    kept = [number for number in range(len(columns)) if any(row[number] for row in cells)]
    written = [[row[number] for number in kept] for row in cells]
    lines, gone = layout([columns[number] for number in kept], written, width, paint)
    return "\n".join(lines), gone


def wrapped(note: str, width: int | None) -> str:
    """A note in lines that fit, as far in as it begins; a command to copy stays whole."""
    if width is None or len(note) <= width or note.startswith("  gpucloud "):
        return note
    from textwrap import wrap

    indent = " " * (len(note) - len(note.lstrip()))
    lines = wrap(
        note,
        max(width, 20),
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,  # names stay whole to be copied
        break_long_words=False,
    )
    return "\n".join(lines)


def _markdown(view: View, stream: TextIO) -> None:
    for title, columns, rows in _tables(view):
        if title:
            stream.write(f"\n{_escaped(title)}\n\n")
        if not rows:
            stream.write(view.empty + "\n")
            continue
        stream.write(_piped(columns, rows) + "\n")
    for note in view.notes:
        stream.write(f"\n{_escaped(note)}\n")


def _piped(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table. `tabulate` is imported here only: it costs a third of `import typer`."""
    from tabulate import tabulate

    return str(
        tabulate(
            [[_escaped(column.write(row.get(column.key))) for column in columns] for row in rows],
            headers=[column.title for column in columns],
            tablefmt="pipe",
            colalign=["right" if column.right else "left" for column in columns],
            disable_numparse=True,
        )
    )


def _escaped(words: str) -> str:
    """Clean text that stays in its cell and opens no HTML tag."""
    words = printable(words)
    for mark in "\\|<":
        words = words.replace(mark, "\\" + mark)
    return words
