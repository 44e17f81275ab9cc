"""Reading one CSV file: fast and strict for the index, slow and complete for finding every fault."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from gpucloud.catalog.schema import Column, Table
from gpucloud.core.errors import UsageError
from gpucloud.core.rules import Problem

BATCH_ROWS = 2000
MEMO_SIZE = 20_000  # distinct values remembered per column; bounds the memory of a file of any length
Values = tuple[Any, ...]


class _BadCell(Exception):
    """Something in the file is wrong; the slow reader will say what and where."""


class _Memo(dict[str, Any]):
    """Parsed values by their text: most columns repeat a few values in many rows."""

    def __init__(self, column: Column) -> None:
        super().__init__()
        self.column = column

    def __missing__(self, cell: str) -> Any:
        value = parse_cell(cell, self.column)
        if len(self) < MEMO_SIZE:
            self[cell] = value
        return value


def parse_cell(cell: str, column: Column) -> Any:
    """The value of a cell. Raises ValueError with what is wrong with it."""
    if cell:
        return column.parse(cell)
    if column.required:
        raise ValueError("must be filled")
    return column.empty


def batches(path: Path, file: str, table: Table) -> Iterator[list[Values]]:
    """The rows of a valid file as tuples in schema order, some thousand at a time.

    Raises UsageError that names file, line and column of the first fault.
    """
    try:
        yield from _fast(path, table)
    except (_BadCell, ValueError, csv.Error):
        raise bad_row(first_problem(path, file, table)) from None


def _fast(path: Path, table: Table) -> Iterator[list[Values]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        header = next(reader, [])
        if header_problems(header, "", table):
            raise _BadCell
        memos = [_Memo(column) for column in table.columns]
        while block := list(islice(reader, BATCH_ROWS)):
            yield _parsed([cells for cells in block if cells], header, table, memos)


def _parsed(block: list[list[str]], header: list[str], table: Table, memos: list[_Memo]) -> list[Values]:
    if any(len(cells) != len(header) for cells in block):
        raise _BadCell
    by_name = dict(zip(header, zip(*block, strict=True), strict=False))
    columns = [
        _column(by_name.get(column.name), column, memo, len(block))
        for column, memo in zip(table.columns, memos, strict=True)
    ]
    return list(zip(*columns, strict=True))


def _column(cells: tuple[str, ...] | None, column: Column, memo: _Memo, rows: int) -> list[Any]:
    if cells is None:
        return [column.empty] * rows
    if column.few_values:
        return list(map(memo.__getitem__, cells))
    return [parse_cell(cell, column) for cell in cells]


class Row(NamedTuple):
    """A valid row and the line it starts on."""

    line: int
    values: dict[str, Any]


def read(path: Path, file: str, table: Table) -> tuple[list[Row], list[Problem]]:
    """Every valid row and every fault of a file."""
    found: list[Row] = []
    problems: list[Problem] = []
    for item in scan(path, file, table):
        if isinstance(item, Row):
            found.append(item)
        else:
            problems.append(item)
    return found, problems


def scan(path: Path, file: str, table: Table) -> Iterator[Row | Problem]:
    """Rows and faults in the order of the file."""
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = next(reader, [])
            wrong = header_problems(header, file, table)
            yield from wrong
            if wrong:
                return
            line = reader.line_num
            for cells in reader:
                start, line = line + 1, reader.line_num
                if cells:
                    yield from _row(cells, header, file, start, table)
    except UnicodeDecodeError:
        yield Problem(file, _line_of_bad_byte(path), "", "encoding", "The file is not UTF-8 text.")
    except (csv.Error, ValueError) as error:
        yield Problem(file, line + 1, "", "csv", f"The row is not valid CSV: {error}.")


def _row(cells: list[str], header: list[str], file: str, line: int, table: Table) -> Iterator[Row | Problem]:
    if len(cells) != len(header):
        message = f"The row has {len(cells)} cells, the header {len(header)}."
        yield Problem(file, line, header[min(len(cells), len(header)) - 1], "cells", message)
        return
    given = dict(zip(header, cells, strict=True))
    values: dict[str, Any] = {}
    faults: list[Problem] = []
    for column in table.columns:
        try:
            values[column.name] = parse_cell(given.get(column.name, ""), column)
        except ValueError as error:
            cell = given.get(column.name, "")
            faults.append(Problem(file, line, column.name, "value", f"{shown(cell)} {error}."))
    if faults:
        yield from faults
    else:
        yield Row(line, values)


def shown(cell: str) -> str:
    """A cell as it can stand in a message."""
    return f"'{ascii(cell[:60])[1:-1]}'" if cell else "An empty cell"


def header_problems(header: list[str], file: str, table: Table) -> list[Problem]:
    """Unknown, repeated and missing columns."""
    from gpucloud.core.errors import nearest

    problems: list[Problem] = []
    for name in sorted(set(header) - set(table.names)):
        close = nearest(name, table.names, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        problems.append(Problem(file, 1, name, "header", f"{shown(name)} is no column of {table.name}.{hint}"))
    for name in sorted({name for name in header if header.count(name) > 1}):
        problems.append(Problem(file, 1, name, "header", "The column stands there twice."))
    for column in table.columns:
        if column.required and column.name not in header:
            problems.append(Problem(file, 1, column.name, "header", "The column is missing."))
    return problems


def first_problem(path: Path, file: str, table: Table) -> Problem:
    """The first fault of a file that the fast reader refused."""
    for item in scan(path, file, table):
        if isinstance(item, Problem):
            return item
    return Problem(file, 1, "", "changed", "The file changed while it was read.")


def bad_row(problem: Problem) -> UsageError:
    """The error that a fault in the catalog stops a command with."""
    where = f"{problem.file} line {problem.line}" + (f", column {problem.column}" if problem.column else "")
    return UsageError(
        f"{where}: {problem.message}",
        "Correct the row; `gpucloud catalog check` lists every fault.",
        file=problem.file,
        line=problem.line,
        column=problem.column,
    )


def _line_of_bad_byte(path: Path) -> int:
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1
