"""The catalog as the rest of the program sees it: accelerators, instance types, offers, benchmarks, models."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpucloud.catalog.index import open_index
from gpucloud.catalog.location import catalog_folder
from gpucloud.core.offers import Accelerator, InstanceType, Offer

if TYPE_CHECKING:
    from gpucloud.catalog.offers import OfferReader
    from gpucloud.core.query import OfferQuery
    from gpucloud.core.throughput import Benchmark

TYPE_COLUMNS = """cloud, instance_type, accelerator, accelerator_count, vcpus, memory_gib, gpu_memory_gib, arch,
    intra_link, fabric, local_ssd_gib, stop_supported, status"""
BENCHMARK_COLUMNS = """accelerator, accelerator_count, model, throughput, unit, nodes, link, precision, framework,
    batch_size, year, source, flags"""


def open_catalog(
    overlay: Path | None = None,
    cache: Path | None = None,
    *,
    folder: Path | None = None,
    today: date | None = None,
    environ: Mapping[str, str] = os.environ,
    while_building: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Catalog:
    """Open the shipped catalog (or `folder`, or GPUCLOUD_CATALOG_DIR) with the user's `overlay` over it.

    `cache` is where the index is kept; without one, or when it cannot be written, it lives in a temporary
    database. `while_building()` is entered when the files must be read, which takes seconds where there are a
    million offers, and left when the index stands. Raises UsageError for a bad row (file, line, column) or a
    folder that is none.
    """
    base = folder or catalog_folder(environ)
    return Catalog(open_index(base, overlay, cache, while_building), base, overlay, today or date.today())


class Catalog:
    """An open index. `today` is what ages are counted from."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, overlay: Path | None, today: date) -> None:
        self.connection = connection
        self.folder, self.overlay, self.today = folder, overlay, today

    @cached_property
    def _offers(self) -> OfferReader:
        from gpucloud.catalog.offers import OfferReader  # who only asks for a card need not load it

        return OfferReader(self.connection, self.today)

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the index back."""
        self.connection.close()

    def offers(self, query: OfferQuery) -> list[Offer]:
        """The offers that meet the wishes, in order (see `core.query.select` for what that means).

        `work-price` and `throughput` are not known here: those sorts come in the order of `price`.
        """
        return self._offers.offers(query)

    def count(self, query: OfferQuery) -> int:
        """How many offers meet the wishes in all regions together."""
        return self._offers.count(query)

    def tally(self, query: OfferQuery) -> dict[tuple[str, str], int]:
        """How many offers meet the wishes other than market and status, by (market, status)."""
        return self._offers.tally(query)

    def accelerators(self) -> tuple[Accelerator, ...]:
        """Every card, by name."""
        return tuple(Accelerator(*row) for row in self._all("SELECT * FROM accelerators ORDER BY name"))

    def aliases(self) -> dict[str, str]:
        """Other names of cards."""
        return dict(self._all("SELECT alias, accelerator FROM aliases ORDER BY alias"))

    def instance_types(self, accelerator: str | None = None) -> tuple[InstanceType, ...]:
        """Every machine that is sold, or those with one accelerator."""
        where = "" if accelerator is None else " WHERE accelerator = ?"
        values = () if accelerator is None else (accelerator,)
        rows = self._all(f"SELECT {TYPE_COLUMNS} FROM types{where} ORDER BY cloud, instance_type", values)
        return tuple(InstanceType(*_with_switch(row)) for row in rows)

    def benchmarks(self, model: str | None = None) -> tuple[Benchmark, ...]:
        """Measured rows of one model, or all."""
        from gpucloud.core.throughput import Benchmark

        where, values = ("", ()) if model is None else (" WHERE model = ?", (model,))
        rows = self._all(f"SELECT {BENCHMARK_COLUMNS} FROM benchmarks{where} ORDER BY rowid", values)
        return tuple(Benchmark(*_flags_split(row)) for row in rows)

    def models(self) -> tuple[dict[str, Any], ...]:
        """Every model as a dictionary of the columns of models.csv."""
        return self.table("models")

    def model_names(self) -> list[str]:
        """Names that `--model` takes: described models and those that only benchmarks mention."""
        return [row[0] for row in self._all("SELECT model FROM models UNION SELECT model FROM benchmarks ORDER BY 1")]

    def table(self, name: str) -> tuple[dict[str, Any], ...]:
        """All rows of a small table (models, onprem, power, colocation, profiles, extras, sources, files)."""
        cursor = self.connection.execute(f"SELECT * FROM {_known_table(name)} ORDER BY rowid")
        names = [column[0] for column in cursor.description]
        return tuple(dict(zip(names, row, strict=True)) for row in cursor)

    def clouds(self) -> list[str]:
        """Clouds with at least one instance type or offer."""
        return [row[0] for row in self._all("SELECT cloud FROM types UNION SELECT cloud FROM places ORDER BY 1")]

    def regions(self, clouds: tuple[str, ...] = ()) -> list[str]:
        """Regions with an offer, of these clouds or of all."""
        marks = f" AND cloud IN ({', '.join('?' * len(clouds))})" if clouds else ""
        sql = f"SELECT DISTINCT region FROM places WHERE region != ''{marks} ORDER BY region"
        return [row[0] for row in self._all(sql, clouds)]

    def _all(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        return self.connection.execute(sql, values).fetchall()


def _flags_split(row: tuple[Any, ...]) -> list[Any]:
    return [*row[:-1], tuple(row[-1].split(";")) if row[-1] else ()]


def _with_switch(row: tuple[Any, ...]) -> list[Any]:
    return [*row[:-2], bool(row[-2]), row[-1]]


def _known_table(name: str) -> str:
    if name not in ("models", "onprem", "power", "colocation", "profiles", "extras", "sources", "files"):
        raise KeyError(name)
    return name
