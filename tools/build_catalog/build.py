"""The whole catalog as rows by file, built from a folder of reference tables."""

from __future__ import annotations

from pathlib import Path

from tools.build_catalog import clouds_big, clouds_gcp, clouds_other
from tools.build_catalog.cards import accelerators, aliases
from tools.build_catalog.ledger import Ledger
from tools.build_catalog.names import Names
from tools.build_catalog.offers import OfferBook
from tools.build_catalog.rules import mark_outliers
from tools.build_catalog.sources_used import sources
from tools.build_catalog.tables import Row, number_key, read

PRICE_TABLES = (
    "prices_aws.csv", "prices_azure.csv", "prices_gcp_shapes.csv", "prices_gcp_tpu.csv", "prices_gcp_accelerators.csv",
    "prices_gcp_hosts.csv", "prices_retired.csv", "prices_other.csv", "gcp_gpu_attach.csv",
)  # fmt: skip


def build(source_dir: Path, ledger: Ledger) -> dict[str, list[Row]]:
    """Catalog file name to its rows, each file in its final order."""
    names = Names()
    files = _prices(source_dir, ledger)
    cards = accelerators("gpus.csv", _read(source_dir, "gpus.csv", ledger), names, ledger)
    files["accelerators.csv"] = cards
    files["aliases.csv"] = aliases(cards, ledger)
    files["sources.csv"] = sources(files, ledger)
    _check_cards(files, {card["name"] for card in cards})
    return files


def _read(source_dir: Path, table: str, ledger: Ledger) -> list[Row]:
    rows = read(source_dir / table)
    ledger.opened(table, len(rows))
    return rows


def _prices(source_dir: Path, ledger: Ledger) -> dict[str, list[Row]]:
    tables = {table: _read(source_dir, table, ledger) for table in PRICE_TABLES}
    book = OfferBook(ledger)
    clouds_big.add_aws(book, "prices_aws.csv", tables["prices_aws.csv"])
    clouds_big.add_azure(book, "prices_azure.csv", tables["prices_azure.csv"])
    clouds_gcp.add_shapes(book, "prices_gcp_shapes.csv", tables["prices_gcp_shapes.csv"])
    clouds_gcp.add_tpus(book, "prices_gcp_tpu.csv", tables["prices_gcp_tpu.csv"])
    clouds_big.add_retired(book, "prices_retired.csv", tables["prices_retired.csv"])
    clouds_gcp.add_pairs(book, tables, tables["gcp_gpu_attach.csv"])
    clouds_other.add_other(book, "prices_other.csv", tables["prices_other.csv"])
    clouds_big.add_unpriced(book, "typed/unpriced_machines.csv")
    mark_outliers(book)
    files = {f"offers/{cloud}.csv": _sorted_offers(offers.values()) for cloud, offers in book.by_cloud.items()}
    return {**files, "instance_types.csv": book.machines.rows(book.statuses())}


def _sorted_offers(offers: object) -> list[Row]:
    rows: list[Row] = list(offers)  # type: ignore[call-overload]
    return sorted(rows, key=lambda row: (row["instance_type"], row["region"], row["zone"], row["market"]))


def _check_cards(files: dict[str, list[Row]], cards: set[str]) -> None:
    for file, rows in files.items():
        for row in rows:
            if row.get("accelerator", "") not in cards | {""}:
                raise SystemExit(f"{file}: no accelerator is called {row['accelerator']}")
