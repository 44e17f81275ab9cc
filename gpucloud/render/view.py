"""A result as a value, and the one way to print it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from gpucloud.render.table import layout
from gpucloud.render.text import cell


class Column(NamedTuple):
    """One column for people. `value` is a record's key or a function of the record; numbers go to the right.

    `keep` says how much it matters when the terminal is narrow: lower goes first, 9 never goes. `wide` columns
    show with `-o wide` only.
    """

    title: str
    value: str | Callable[[Any], Any]
    right: bool = False
    keep: int = 5
    wide: bool = False

    def of(self, record: Any) -> str:
        """The cell of a record."""
        return cell(record.get(self.value) if isinstance(self.value, str) else self.value(record))


class Table(NamedTuple):
    """Records under columns, with an optional line above."""

    columns: Sequence[Column]
    rows: Sequence[Any]
    title: str = ""


class View(NamedTuple):
    """A command's result. See the room's docstring for what each part is for."""

    kind: str
    body: Mapping[str, Any]
    records: str = ""
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


def show(view: View, output: str = "table", stream: TextIO | None = None) -> None:
    """Print `view` in one of the five formats, on stdout unless told otherwise."""
    out = sys.stdout if stream is None else stream
    if output == "json":
        _json(view, out)
    elif output == "csv":
        _csv(view, out)
    elif output == "markdown":
        _markdown(view, out)
    else:
        _tables(view, out, wide=output == "wide")
    out.flush()


def _json(view: View, out: TextIO) -> None:
    from gpucloud.render.machine import json_lines

    out.writelines(json_lines({"version": 1, "kind": view.kind, **view.body}))


def _csv(view: View, out: TextIO) -> None:
    from gpucloud.render.machine import csv_lines

    records: Iterable[Mapping[str, Any]] = view.body[view.records] if view.records else [view.body]
    out.writelines(csv_lines(records))


def _markdown(view: View, out: TextIO) -> None:
    for number, table in enumerate(view.tables):
        if number:
            out.write("\n")
        if table.title:
            out.write(f"**{_escaped(cell(table.title))}**\n\n")
        columns = [column for column in table.columns if not column.wide]
        _markdown_row(out, [column.title for column in columns])
        _markdown_row(out, ["---:" if column.right else "---" for column in columns])
        for record in table.rows:
            _markdown_row(out, [_escaped(column.of(record)) for column in columns])
    for note in view.notes:
        out.write(f"\n{_escaped(cell(note))}\n")


def _markdown_row(out: TextIO, cells: Sequence[str]) -> None:
    out.write("| " + " | ".join(cells) + " |\n")


def _escaped(words: str) -> str:
    for mark in "\\|<>*_`[]":
        words = words.replace(mark, "\\" + mark)
    return words


def _tables(view: View, out: TextIO, wide: bool) -> None:
    width = None if wide else terminal_width(out)
    notes = [cell(note) for note in view.notes]
    for number, table in enumerate(view.tables):
        if number:
            out.write("\n")
        gone = _table(table, out, wide, width)
        if gone:
            notes.append(f"Left out for the width of the terminal: {', '.join(gone)} (-o wide shows all).")
    if notes:
        out.write("\n" if view.tables else "")
        for note in notes:
            out.write("\n".join(wrapped(note, width)) + "\n")


def _table(table: Table, out: TextIO, wide: bool, width: int | None) -> list[str]:
    columns = [column for column in table.columns if wide or not column.wide]
    lines, gone = layout(
        [column.title for column in columns],
        [[column.of(record) for column in columns] for record in table.rows],
        [column.right for column in columns],
        [column.keep for column in columns],
        width,
        "…" if (out.encoding or "").lower().startswith("utf") else "~",
    )
    if table.title:
        out.write(cell(table.title) + "\n")
    out.write("\n".join(lines) + "\n")
    return gone


def wrapped(note: str, width: int | None) -> list[str]:
    """A note in lines that fit."""
    if width is None or len(note) <= width:
        return [note]
    from textwrap import wrap

    return wrap(note, max(width, 20), subsequent_indent="  ")


def terminal_width(out: TextIO) -> int | None:
    """Columns to fit: COLUMNS where it is set, else the terminal's; None where nothing bounds the line."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    try:
        return os.get_terminal_size(out.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None
