"""One HTML file from a result: everything inside, nothing fetched, hostile words only ever shown as words."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Field(NamedTuple):
    """A column of the page. No title: not in the table, but in a row's details and in the CSV.

    `told` are the keys that a hover shows. `form` is how a number is written: `rate` (USD/h), `usd`, `hours`,
    `percent`, or plain. `paper` says whether the column is printed.
    """

    key: str
    title: str = ""
    number: bool = False
    told: tuple[str, ...] = ()
    name: str = ""  # what a hover and the details call it
    form: str = ""
    paper: bool = True


class Filter(NamedTuple):
    """A control above the table: `choice` of a value, `least` or `most` of a number."""

    key: str
    kind: str
    title: str


class Fact(NamedTuple):
    """A figure on top of the page: what it is, the figure, and a sentence below it."""

    title: str
    figure: str
    said: str = ""


class Chart(NamedTuple):
    """A Vega-Lite specification with its data inside, its title and a sentence below it."""

    title: str
    spec: Mapping[str, Any]
    said: str = ""


@dataclass(frozen=True)
class Report:
    """What a page shows. `rows` are dictionaries; `about` and `notes` are plain sentences."""

    title: str
    about: str
    command: str
    fields: Sequence[Field]
    rows: Sequence[Mapping[str, Any]]
    filters: Sequence[Filter] = ()
    charts: Sequence[Chart] = ()
    facts: Sequence[Fact] = ()
    notes: Sequence[str] = ()
    sort: str = ""


def page(report: Report, library: str, folder: Path, *, version: str, day: str) -> str:
    """The file's text. `library` is the charting library's script, `folder` holds the page's parts."""
    parts = {
        "TITLE": html.escape(report.title),
        "ABOUT": html.escape(report.about),
        "COMMAND": html.escape(report.command),
        "FACTS": _facts(report.facts),
        "NOTES": _notes(report.notes),
        "VERSION": html.escape(version),
        "DAY": html.escape(day),
        "STYLE": (folder / "style.css").read_text(encoding="utf-8"),
        "SCRIPT": (folder / "page.js").read_text(encoding="utf-8"),
        "LIBRARY": library.replace("</script", "<\\/script"),
        "DATA": _script_safe(_data(report)),
    }
    text = (folder / "page.html").read_text(encoding="utf-8")
    pieces = text.split("%%")  # every second piece is a name: what is put in is never looked at again
    return "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces))


def _facts(facts: Sequence[Fact]) -> str:
    if not facts:
        return ""
    items = "".join("<div><dt>{}</dt><dd><b>{}</b> {}</dd></div>".format(*map(html.escape, fact)) for fact in facts)
    return f'<dl class="facts">{items}</dl>'


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f'<section aria-labelledby="notes-title"><h2 id="notes-title">Notes</h2><ul>{items}</ul></section>'


def _data(report: Report) -> dict[str, Any]:
    return {
        "rows": len(report.rows),
        "columns": [_column(field, report.rows) for field in report.fields],
        "filters": [item._asdict() for item in report.filters] if len(report.rows) > 1 else [],
        "charts": [chart._asdict() for chart in report.charts],
        "sort": report.sort,
    }


def _column(field: Field, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The cells of a column; words that repeat are stored once."""
    about = {**field._asdict(), "told": list(field.told), "name": field.name or field.title or field.key}
    cells = [row.get(field.key) for row in rows]
    if all(cell in (None, "", [], ()) for cell in cells):
        about["title"] = ""  # a column of nothing takes no room in the table
    if field.number:
        return {**about, "cells": cells}
    words: dict[Any, int] = {}
    codes = [words.setdefault(_word(cell), len(words)) for cell in cells]
    return {**about, "words": list(words), "cells": codes}


def _word(cell: Any) -> Any:
    if isinstance(cell, (list, tuple)):
        return "; ".join(map(str, cell))
    return cell if cell is None or isinstance(cell, (bool, str)) else str(cell)


def _script_safe(data: Mapping[str, Any]) -> str:
    """JSON that can end neither its script element nor the page."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
