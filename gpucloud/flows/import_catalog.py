"""`catalog import`: a user's own prices, benchmarks and systems into the overlay, as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpucloud.catalog import overlay
from gpucloud.catalog.catalog import Catalog, open_catalog
from gpucloud.catalog.importing import OWN, Imported, Known, read_import, superlinear
from gpucloud.catalog.schema import OFFER_TABLE
from gpucloud.core.fresh import PriceRow
from gpucloud.flows.catalog_lock import only_writer
from gpucloud.state.home import Home

SOURCE_ROW = {"source": OWN, "title": "Your own figures", "publisher": "you", "path": "", "version": "",
              "licence": "", "note": "added by gpucloud catalog import or bench"}  # fmt: skip


def read(home: Home, environ: Mapping[str, str], path: Path, *, cloud: str, today: str) -> Imported:
    """What the file holds, checked against the catalog; nothing is written."""
    with open_catalog(home.catalog, home.cache, environ=environ) as catalog:
        return read_import(path, known(catalog), cloud=cloud, today=today)


def known(catalog: Catalog) -> Known:
    """The names by which lines are understood."""
    cards = {card.name.casefold(): card.name for card in catalog.accelerators()}
    aliases = {alias.casefold(): name for alias, name in catalog.aliases().items()}
    types = {(kind.cloud, kind.instance_type) for kind in catalog.instance_types()}
    return Known(types, {**aliases, **cards})


def write(home: Home, found: Imported) -> dict[str, int]:
    """Put the rows over the overlay's own; returns how many, by file."""
    with only_writer(home):
        overlay.sweep(home.catalog)
        texts = {file: _text(home.catalog, file, rows) for file, rows in found.rows.items() if rows}
        if any("source" in row for rows in found.rows.values() for row in rows):
            texts["sources.csv"] = overlay.with_rows(home.catalog, "sources.csv", [SOURCE_ROW]) or ""
        overlay.commit(home.catalog, {file: text for file, text in texts.items() if text})
    return {file: len(rows) for file, rows in sorted(found.rows.items()) if rows}


def _text(folder: Path, file: str, rows: list[dict[str, Any]]) -> str:
    if file.startswith("offers/"):
        return _offers(folder, file, rows)
    if file == "benchmarks.csv":
        for position in superlinear(rows, []):
            rows[position]["flags"] = ";".join(filter(None, (rows[position]["flags"], "superlinear")))
    return overlay.with_rows(folder, file, rows) or ""


def _offers(folder: Path, file: str, rows: list[dict[str, Any]]) -> str:
    news = [PriceRow(*(row[name] for name in OFFER_TABLE.names)) for row in rows]
    kept = overlay.offer_rows(folder, Path(file).stem)
    replaced = {row.key for row in news}
    return overlay.text_of(OFFER_TABLE, [*(row for row in kept if row.key not in replaced), *news])
