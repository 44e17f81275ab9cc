"""The user's own layer of the catalog: read as rows, changed as a whole or not at all.

Several files change together. Their new texts are written beside them first; then one file, `.commit`, names
them all (the moment of truth), and the renames follow. Whoever opens the overlay and finds `.commit` carries
the renames out, so a kill at any instant leaves the old catalog or the new one.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gpucloud.catalog.index import COMMIT
from gpucloud.catalog.load import batches
from gpucloud.catalog.schema import OFFER_TABLE, TABLES, Table, table_of
from gpucloud.core.errors import UsageError
from gpucloud.core.fresh import Key, PriceRow

HISTORY = "history"
# A line is a price and the day from which it held; `last_seen` is the last day on which the source still had it.
HISTORY_COLUMNS = (
    "instance_type", "region", "zone", "market", "usd_per_hour", "observed_on", "last_seen", "status", "source",
)  # fmt: skip


def offer_rows(folder: Path, cloud: str) -> list[PriceRow]:
    """The rows of one layer's offers; none where the file is missing. Raises UsageError at a bad row."""
    return [PriceRow(*row) for row in table_rows(folder, f"offers/{cloud}.csv", OFFER_TABLE)]


def table_rows(folder: Path, file: str, table: Table) -> list[tuple[Any, ...]]:
    """The rows of a file in the order of the schema's columns."""
    path = folder / file
    return [row for batch in batches(path, file, table) for row in batch] if path.is_file() else []


def in_force(shipped: Iterable[PriceRow], overlay: Iterable[PriceRow]) -> dict[Key, PriceRow]:
    """Both layers as one, as the index has them: the newer observation, the user's own price whatever its day.

    Doubted rows of the overlay are never in force.
    """
    rows = {row.key: row for row in shipped}
    for row in overlay:
        known = rows.get(row.key)
        newer = known is None or row.price_kind == "own" or row.observed_on >= known.observed_on
        if row.status != "suspect" and newer:
            rows[row.key] = row
    return rows


def text_of(table: Table, rows: Iterable[tuple[Any, ...]]) -> str:
    """A file's text: header and rows, cells as the loader reads them."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.names)
    switches = [number for number, column in enumerate(table.columns) if column.name == "stop_supported"]
    for row in rows:
        cells = [_cell(value) for value in row]
        for number in switches:
            cells[number] = "true" if row[number] else "false"
        writer.writerow(cells)
    return stream.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def with_rows(folder: Path, file: str, added: Iterable[Mapping[str, Any]]) -> str | None:
    """The text of an overlay table with these rows over its own by key; None when nothing is added."""
    table = table_of(file) or TABLES[file.removesuffix(".csv")]
    news = [tuple(row.get(column.name, column.empty) for column in table.columns) for row in added]
    if not news:
        return None
    at = [table.names.index(name) for name in table.key]
    rows = {tuple(row[number] for number in at): row for row in table_rows(folder, file, table)}
    rows |= {tuple(row[number] for number in at): row for row in news}
    return text_of(table, rows.values())


def history_text(folder: Path, cloud: str, rows: Iterable[tuple[Any, ...]]) -> str | None:
    """The overlay's history of a cloud with these lines at its end; None when there are none."""
    lines = list(rows)
    if not lines:
        return None
    path = folder / HISTORY / f"{cloud}.csv"
    stream = io.StringIO()
    if path.is_file():
        stream.write(path.read_text(encoding="ascii"))
    writer = csv.writer(stream, lineterminator="\n")
    if not stream.tell():
        writer.writerow(HISTORY_COLUMNS)
    writer.writerows([_cell(value) for value in line] for line in lines)
    return stream.getvalue()


def commit(folder: Path, texts: Mapping[str, str]) -> None:
    """Replace these files, all or none. Raises UsageError when the folder cannot be written; nothing changed then.

    Only one writer at a time: the caller holds the refresh lock.
    """
    settle(folder)
    mark = f"{os.getpid()}-{os.urandom(4).hex()}"
    moves = {f"{file}.{mark}.new": file for file in sorted(texts, key=_last_offers)}
    try:
        for new, file in moves.items():
            _write(folder / new, texts[file])
        _write(folder / f"{COMMIT}.{mark}.new", json.dumps(moves))
        (folder / f"{COMMIT}.{mark}.new").replace(folder / COMMIT)
        _keep_names(folder)
    except OSError as error:
        for new in (*moves, f"{COMMIT}.{mark}.new"):
            (folder / new).unlink(missing_ok=True)
        raise UsageError(
            f"The catalog in {folder} cannot be written: {error.strerror or error}.", "What it had is unchanged."
        ) from error
    settle(folder)


def settle(folder: Path) -> None:
    """Finish a commit whose process died after the moment of truth, and drop what died before it."""
    path = folder / COMMIT
    if not path.exists():
        return
    try:
        moves = json.loads(path.read_text(encoding="utf-8"))
        for new, file in moves.items():
            try:
                (folder / new).replace(folder / file)
            except FileNotFoundError:
                continue  # moved already
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"A refresh of {folder} was cut and cannot be finished: {error.strerror or error}.",
            "Make the folder writable, then repeat.",
        ) from error


def sweep(folder: Path) -> None:
    """Remove what a writer that died before its commit left; for the holder of the refresh lock only."""
    settle(folder)
    for place in (folder, folder / "offers", folder / HISTORY):
        for left in place.glob("*.new") if place.is_dir() else ():
            left.unlink(missing_ok=True)
    for left in folder.glob(f"{COMMIT}.*.new"):
        left.unlink(missing_ok=True)


def _last_offers(file: str) -> tuple[bool, str]:
    return (file.startswith("offers/"), file)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _keep_names(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
