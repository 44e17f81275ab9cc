"""Filling an index from the CSV files, a batch of rows at a time, the overlay's rows over the shipped ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from gpucloud.catalog.index import FORMAT
from gpucloud.catalog.load import Values, bad_row, batches, scan, shown
from gpucloud.catalog.location import csv_files
from gpucloud.catalog.schema import OFFER_TABLE, TABLES, Table
from gpucloud.core.rules import Problem

OFFER_COLUMNS = ("type_id", *OFFER_TABLE.names[1:])


def build(connection: sqlite3.Connection, layers: list[Path]) -> None:
    """Make and fill every table. Raises UsageError at the first bad row."""
    connection.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;")
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE files (layer INTEGER, file TEXT, rows INTEGER)")
    for table in TABLES.values():
        _fill_table(connection, table, layers)
    _complete_types(connection)
    _fill_offers(connection, layers)
    _finish(connection)
    connection.execute(f"PRAGMA user_version={FORMAT}")
    connection.commit()


def _create(connection: sqlite3.Connection, name: str, columns: Iterable[str]) -> None:
    connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")


def _fill_table(connection: sqlite3.Connection, table: Table, layers: list[Path]) -> None:
    """One table from its file in each layer; a later layer's row replaces the one with the same key."""
    names = table.names
    _create(connection, table.name, names)
    values = ", ".join("?" * len(names))
    same_key = " AND ".join(f"{name} IS ?" for name in table.key)
    at = [names.index(name) for name in table.key]
    for number, layer in enumerate(layers):
        file = f"{table.name}.csv"
        rows = _rows(connection, number, layer, file, table)
        if number:
            rows = list(rows)
            keys = ([row[position] for position in at] for row in rows)
            connection.executemany(f"DELETE FROM {table.name} WHERE {same_key}", keys)
        connection.executemany(f"INSERT INTO {table.name} VALUES ({values})", rows)


def _rows(connection: sqlite3.Connection, number: int, layer: Path, file: str, table: Table) -> Iterable[Values]:
    if not (layer / file).is_file():
        return
    count = 0
    for batch in batches(layer / file, file, table):
        count += len(batch)
        yield from batch
    connection.execute("INSERT INTO files VALUES (?, ?, ?)", (number, file, count))


def _complete_types(connection: sqlite3.Connection) -> None:
    """Cards that only an instance type mentions become accelerators of their own family; memory is per GPU as sold."""
    connection.executescript(
        """
        INSERT INTO accelerators (name, family, vendor, architecture, form, compute_capability, note)
            SELECT DISTINCT accelerator, accelerator, '', '', '', '', '' FROM instance_types
            WHERE accelerator NOT IN (SELECT name FROM accelerators);
        UPDATE accelerators SET family = name WHERE family = '';
        CREATE TABLE types AS SELECT instance_types.*, accelerators.form AS form FROM instance_types
            LEFT JOIN (SELECT name, max(form) AS form FROM accelerators GROUP BY name) accelerators
            ON accelerators.name = instance_types.accelerator;
        UPDATE types SET gpu_memory_gib = min(1.0, accelerator_count)
            * (SELECT memory_gib FROM accelerators WHERE name = types.accelerator) WHERE gpu_memory_gib IS NULL;
        DROP TABLE instance_types;
        CREATE INDEX types_by_accelerator ON types (accelerator);
        """
    )


def _fill_offers(connection: sqlite3.Connection, layers: list[Path]) -> None:
    # Only the joined column has a type: compared with a rowid, a column without one could not use its index.
    columns = ("type_id INTEGER", *OFFER_COLUMNS[1:])
    _create(connection, "offers", columns)
    _insert_offers(connection, "offers", 0, layers[0])
    if len(layers) > 1:
        connection.execute(f"CREATE TEMP TABLE newer ({', '.join(columns)})")
        _insert_offers(connection, "newer", 1, layers[1])
        _overlay(connection)


def _insert_offers(connection: sqlite3.Connection, target: str, number: int, layer: Path) -> None:
    values = ", ".join("?" * len(OFFER_COLUMNS))
    for file in csv_files(layer):
        if not file.startswith("offers/"):
            continue
        cloud = file.removeprefix("offers/").removesuffix(".csv")
        ids = dict(connection.execute("SELECT instance_type, rowid FROM types WHERE cloud = ?", (cloud,)))
        count = 0
        for batch in batches(layer / file, file, OFFER_TABLE):
            count += len(batch)
            connection.executemany(f"INSERT INTO {target} VALUES ({values})", _with_ids(batch, ids, layer / file, file))
        connection.execute("INSERT INTO files VALUES (?, ?, ?)", (number, file, count))


def _with_ids(batch: list[Values], ids: dict[str, int], path: Path, file: str) -> list[Values]:
    try:
        return [(ids[row[0]], *row[1:]) for row in batch]
    except KeyError:
        raise bad_row(_unknown_type(ids, path, file)) from None


def _unknown_type(ids: dict[str, int], path: Path, file: str) -> Problem:
    for item in scan(path, file, OFFER_TABLE):
        if isinstance(item, Problem):
            return item
        if item.values["instance_type"] not in ids:
            cell = shown(item.values["instance_type"])
            message = f"{cell} of this cloud is not in instance_types.csv."
            return Problem(file, item.line, "instance_type", "known", message)
    return Problem(file, 1, "", "changed", "The file changed while it was read.")


def _overlay(connection: sqlite3.Connection) -> None:
    """Where both layers have a key, the newer observation stays; the overlay's when they are of the same day.

    A price of the user's own holds whatever its day. A doubted price of the overlay stands beside the row that it
    doubts: it is shown on request, and displaces nothing.
    """
    same = " AND ".join(f"newer.{name} IS offers.{name}" for name in ("type_id", *OFFER_TABLE.key[1:]))
    connection.execute("CREATE INDEX temp.newer_key ON newer (type_id, region, zone, market)")
    connection.execute(
        f"DELETE FROM offers WHERE EXISTS "
        f"(SELECT 1 FROM newer WHERE {same} AND newer.status != 'suspect' "
        f"AND (newer.price_kind = 'own' OR newer.observed_on >= offers.observed_on))"
    )
    connection.execute("CREATE INDEX offers_key ON offers (type_id, region, zone, market)")
    absent = f"NOT EXISTS (SELECT 1 FROM offers WHERE {same})"
    connection.execute(f"INSERT INTO offers SELECT * FROM newer WHERE newer.status != 'suspect' AND {absent}")
    connection.execute("INSERT INTO offers SELECT * FROM newer WHERE newer.status = 'suspect'")
    connection.execute("DROP INDEX offers_key")
    connection.execute("DROP TABLE newer")


def _finish(connection: sqlite3.Connection) -> None:
    """The indexes of the queries, and the small tables that spare them a walk over everything."""
    walked = "type_id, market, status, usd_per_hour, region, zone, observed_on"
    connection.execute(f"CREATE INDEX offers_by_price ON offers ({walked})")
    connection.execute("CREATE INDEX benchmarks_by_model ON benchmarks (model)")
    connection.execute(
        "CREATE TABLE places AS SELECT DISTINCT types.cloud AS cloud, offers.region AS region "
        "FROM offers JOIN types ON types.rowid = offers.type_id"
    )
