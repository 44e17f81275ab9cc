"""The formats for programs: one JSON object with a record a line, and CSV with nested fields spread out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gpucloud.render.text import clean


def json_lines(body: Mapping[str, Any]) -> Iterator[str]:
    """The object in pieces: a line for each field, and for each element of a list. Lists may be iterators."""
    yield "{"
    for number, (key, value) in enumerate(body.items()):
        yield ",\n" if number else "\n"
        yield f"  {json.dumps(key)}: "
        if isinstance(value, Mapping | str) or not isinstance(value, Iterable):
            yield _dumped(value)
        else:
            yield from _list_lines(value)
    yield "\n}\n"


def _list_lines(values: Iterable[Any]) -> Iterator[str]:
    empty = True
    for value in values:
        yield "[\n    " if empty else ",\n    "
        yield _dumped(value)
        empty = False
    yield "[]" if empty else "\n  ]"


def _dumped(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def csv_lines(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A header and a line for each record; the first record's fields are the columns.

    A nested object becomes columns `outer.inner`, a list one cell separated by `;`, missing an empty cell.
    """
    kept = list(records)
    columns: dict[str, None] = {}
    for record in kept:
        columns.update(dict.fromkeys(_flat(record)))
    spread = {name.split(".")[0] for name in columns if "." in name}
    names = [name for name in columns if name not in spread]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if names:
        writer.writerow(names)
    for record in kept:
        flat = _flat(record)
        writer.writerow([_csv_cell(flat.get(name)) for name in names])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{inner}": part for inner, part in _flat(value).items()})
        else:
            flat[key] = value
    return flat


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list | tuple):
        return ";".join(clean(str(part)) for part in value)
    return value
