"""A user's own CSV as rows of the overlay: prices, benchmarks or owned systems, line by line, with what is refused."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gpucloud.catalog.load import parse_cell
from gpucloud.catalog.schema import OFFER_TABLE, TABLES, Column, Table
from gpucloud.core.errors import UsageError, nearest
from gpucloud.core.rules import PLACEHOLDERS, benchmark_problems

MOST_BYTES = 256 << 20
OWN = "own"
KINDS: Mapping[str, tuple[str, ...]] = {
    "offers": ("instance_type", "usd_per_hour"),
    "benchmarks": ("accelerator", "model", "throughput"),
    "onprem": ("system", "accelerator", "usd"),
}
TYPE_COLUMNS = tuple(column for column in TABLES["instance_types"].columns if column.name not in ("cloud", "status"))


class Refused(NamedTuple):
    """A line that was not taken: where, and why."""

    line: int
    column: str
    message: str


@dataclass
class Imported:
    """Rows by catalog file, as dictionaries of the schema's columns, and the lines that were refused."""

    kind: str
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True)
class Known:
    """What the catalog knows: names by which a line is understood."""

    types: Collection[tuple[str, str]]
    cards: Mapping[str, str]  # any spelling, case folded → name


def read_import(path: Path, known: Known, *, cloud: str, today: str) -> Imported:
    """Every line of the file. `cloud` stands for an absent column of that name.

    Raises UsageError for a file that cannot be read, is no CSV, or whose header is none of the three kinds.
    """
    header, lines = _cells(path)
    kind = _kind(path, header)
    found = Imported(kind)
    table = OFFER_TABLE if kind == "offers" else TABLES[kind]
    _refuse_unknown_columns(path, header, table)
    seen: dict[tuple[Any, ...], int] = {}
    for number, cells in lines:
        try:
            _take(found, table, cells, number, known, cloud, today, seen)
        except _BadLine as bad:
            found.refused.append(Refused(number, bad.column, str(bad)))
    return found


class _BadLine(Exception):
    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


def _cells(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} has more than {MOST_BYTES >> 20} MiB.", "Split it.")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.", "Name a CSV file.") from None
    except (UnicodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV file: {error}.", "Save it as CSV in UTF-8.") from None
    return header, [(line, dict(zip(header, map(str.strip, row), strict=False))) for line, row in rows]


def _kind(path: Path, header: Collection[str]) -> str:
    for kind, needed in KINDS.items():
        if set(needed) <= set(header):
            return kind
    ways = "; ".join(f"{kind}: {', '.join(needed)}" for kind, needed in KINDS.items())
    raise UsageError(f"The header of {path} is none that can be imported.", f"Needed columns, {ways}.")


def _refuse_unknown_columns(path: Path, header: Collection[str], table: Table) -> None:
    allowed = {*table.names, *(("cloud", *(column.name for column in TYPE_COLUMNS)) if table is OFFER_TABLE else ())}
    for name in header:
        if name not in allowed:
            close = nearest(name, sorted(allowed))
            hint = f"Did you mean {close[0]}?" if close else f"Columns: {', '.join(sorted(allowed))}."
            raise UsageError(f"{path} has a column '{name}' that means nothing.", hint)


def _take(
    found: Imported,
    table: Table,
    cells: Mapping[str, str],
    line: int,
    known: Known,
    cloud: str,
    today: str,
    seen: dict[tuple[Any, ...], int],
) -> None:
    owner = cells.get("cloud") or cloud
    if table is OFFER_TABLE and not owner:
        raise _BadLine("cloud", "The line names no cloud; add the column, or give --cloud.")
    if owner and not owner.replace("-", "").replace("_", "").isalnum():
        raise _BadLine("cloud", f"'{owner}' is not the name of a cloud.")
    row = _row(table, cells, today)
    _agree(row, table, known, today)
    kind = _machine(cells, row, owner, known) if table is OFFER_TABLE else None
    key = (owner, *(row[name] for name in table.key))
    if key in seen:
        raise _BadLine(table.key[0], f"The line repeats the key of line {seen[key]}.")
    seen[key] = line
    if kind is not None and kind not in found.rows.setdefault("instance_types.csv", []):
        found.rows["instance_types.csv"].append(kind)
    file = f"offers/{owner}.csv" if table is OFFER_TABLE else f"{table.name}.csv"
    found.rows.setdefault(file, []).append(row)


def _row(table: Table, cells: Mapping[str, str], today: str) -> dict[str, Any]:
    defaults = {"price_kind": OWN, "source": OWN, "observed_on": today, "availability": "open", "year": today[:4]}
    row = {}
    for column in table.columns:
        cell = cells.get(column.name) or (defaults.get(column.name, "") if column.name in defaults else "")
        row[column.name] = _parsed(column, cell)
    return row


def _parsed(column: Column, cell: str) -> Any:
    try:
        return parse_cell(cell, column)
    except ValueError as error:
        raise _BadLine(column.name, f"'{cell[:60]}' {error}." if cell else f"The cell {error}.") from None


def _agree(row: dict[str, Any], table: Table, known: Known, today: str) -> None:
    """The data rules that a single line can break; a card's spelling becomes its name."""
    if row.get("observed_on", "") > today:
        raise _BadLine("observed_on", f"{row['observed_on']} has not come yet.")
    if table is OFFER_TABLE:
        if row["usd_per_hour"] is None:
            raise _BadLine("usd_per_hour", "The line has no price.")
        if row["usd_per_hour"] in PLACEHOLDERS:
            raise _BadLine("usd_per_hour", f"{row['usd_per_hour']:g} is a placeholder, not a price.")
        return
    row["accelerator"] = _card(row["accelerator"], known)


def _card(name: str, known: Known) -> str:
    found = known.cards.get(name.casefold())
    if found is None:
        close = nearest(name, sorted(set(known.cards.values())))
        hint = f" Did you mean {', '.join(close)}?" if close else ""
        raise _BadLine("accelerator", f"'{name}' is not known.{hint}")
    return found


def _machine(cells: Mapping[str, str], row: Mapping[str, Any], cloud: str, known: Known) -> dict[str, Any] | None:
    """The row of instance_types.csv for a machine that is not known yet, from the same line."""
    if (cloud, row["instance_type"]) in known.types:
        return None
    if not cells.get("accelerator") or not cells.get("accelerator_count"):
        raise _BadLine(
            "instance_type",
            f"{cloud} has no type '{row['instance_type']}'; describe it with accelerator and accelerator_count.",
        )
    made: dict[str, Any] = {column.name: _parsed(column, cells.get(column.name, "")) for column in TYPE_COLUMNS}
    made["accelerator"] = _card(made["accelerator"], known)
    return {"cloud": cloud, **made, "status": "current"}


def superlinear(rows: list[dict[str, Any]], measured: list[dict[str, Any]]) -> Iterator[int]:
    """Positions of benchmark rows that scale too well to be true together with those that are known."""
    for problem in benchmark_problems("", [*enumerate(rows), *((-1, row) for row in measured)]):
        if problem.line >= 0:
            yield problem.line
