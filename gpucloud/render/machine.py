"""The formats for programs: one JSON object with a record a line, and CSV with nested fields spread out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gpucloud.render.text import printable


def json_lines(body: Mapping[str, Any]) -> Iterator[str]:
    """The object in pieces: a line for each field, and for each element of a list. No NaN, no infinity."""
    yield "{"
    for number, (key, value) in enumerate(body.items()):
        yield ",\n" if number else "\n"
        yield f"  {json.dumps(key)}: "
        if isinstance(value, (list, tuple)):
            yield from _list_lines(value)
        else:
            yield json.dumps(value, allow_nan=False)
    yield "\n}\n"


def _list_lines(values: Sequence[Any]) -> Iterator[str]:
    for number, value in enumerate(values):
        yield ",\n    " if number else "[\n    "
        yield json.dumps(value, allow_nan=False)
    yield "\n  ]" if values else "[]"


def csv_lines(records: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Iterator[str]:
    """A header and a line for each record, exact figures. Without `columns`, every field of every record is one.

    A nested object becomes columns `outer.inner`, a list one cell separated by `;`, missing an empty cell.
    """
    names = list(columns) if columns is not None else _columns(records)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for record in records:
        flat = _flat(record)
        writer.writerow([_csv_cell(flat.get(name, record.get(name))) for name in names])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _columns(records: Sequence[Mapping[str, Any]]) -> list[str]:
    found: dict[str, None] = {}
    for record in records:
        found.update(dict.fromkeys(_flat(record)))
    spread = {name.split(".")[0] for name in found if "." in name}
    return [name for name in found if name not in spread]


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
        return printable(value)
    if isinstance(value, (list, tuple)):
        return ";".join(printable(str(part)) for part in value)
    return value
