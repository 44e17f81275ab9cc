"""The whole catalog as rows by file, built from a folder of reference tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools.build_catalog import clouds_big, clouds_gcp, clouds_other, history, owned
from tools.build_catalog.bench_minutes import DAWN, MLPERF, dawn_rows, mlperf_rows
from tools.build_catalog.bench_public import TABLE as PUBLIC
from tools.build_catalog.bench_public import mpt_parameters, public_rows
from tools.build_catalog.bench_rows import mark_slow_halves, mark_superlinear, sort_key
from tools.build_catalog.bench_throughput import TABLE as THROUGHPUT
from tools.build_catalog.bench_throughput import throughput_rows
from tools.build_catalog.cards import accelerators, aliases
from tools.build_catalog.ledger import Ledger
from tools.build_catalog.modelbook import models
from tools.build_catalog.names import Names
from tools.build_catalog.offers import OfferBook
from tools.build_catalog.rules import mark_outliers
from tools.build_catalog.sources_used import sources
from tools.build_catalog.tables import Row, read

PRICE_TABLES = (
    "prices_aws.csv", "prices_azure.csv", "prices_gcp_shapes.csv", "prices_gcp_tpu.csv", "prices_gcp_accelerators.csv",
    "prices_gcp_hosts.csv", "prices_retired.csv", "prices_other.csv", "gcp_gpu_attach.csv",
)  # fmt: skip

NOT_CATALOG = {
    "cases_public.csv": "published calculations: they are test cases of the formulas",
    "fsdl_lecture_tables.csv": "figures of lectures: their system prices stand in onprem_systems.csv too",
}


def build(source_dir: Path, ledger: Ledger) -> dict[str, list[Row]]:
    """Catalog file name to its rows, each file in its final order."""
    names = Names()
    files = _prices(source_dir, ledger)
    cards = accelerators("gpus.csv", _read(source_dir, "gpus.csv", ledger), names, ledger)
    files["accelerators.csv"] = cards
    files["aliases.csv"] = aliases(cards, ledger)
    files |= _benchmarks(source_dir, names, ledger) | _owned(source_dir, names, ledger)
    _leave_out_prose(source_dir, ledger)
    files[history.FILE] = history.history_rows(
        _read(source_dir, history.LISTED, ledger), _read(source_dir, history.SPOT, ledger), ledger
    )
    files["sources.csv"] = sources(files, ledger)
    _check_cards(files, {card["name"] for card in cards})
    return files


def _read(source_dir: Path, table: str, ledger: Ledger) -> list[Row]:
    rows = read(source_dir / table)
    ledger.opened(table, len(rows))
    return rows


def _benchmarks(source_dir: Path, names: Names, ledger: Ledger) -> dict[str, list[Row]]:
    throughput, public = (_read(source_dir, table, ledger) for table in (THROUGHPUT, PUBLIC))
    rows = [
        *throughput_rows(throughput, names, ledger),
        *public_rows(public, throughput, ledger),
        *mlperf_rows(_read(source_dir, MLPERF, ledger), names, ledger),
        *dawn_rows(_read(source_dir, DAWN, ledger), names, ledger),
    ]
    mark_superlinear(rows)
    mark_slow_halves(rows)
    return {"benchmarks.csv": sorted(rows, key=sort_key), "models.csv": models(rows, mpt_parameters(public), ledger)}


def _owned(source_dir: Path, names: Names, ledger: Ledger) -> dict[str, list[Row]]:
    tables = {table: _read(source_dir, table, ledger) for table in (owned.SYSTEMS, owned.CARDS, owned.TCO)}
    return {
        "onprem.csv": owned.onprem(tables, names, ledger),
        "power.csv": owned.power(_read(source_dir, owned.POWER, ledger), ledger),
        "colocation.csv": owned.colocation(_read(source_dir, owned.SPACE, ledger), ledger),
        "profiles.csv": owned.copied("profiles", "profiles.csv", ledger),
        "extras.csv": owned.copied("extras", "extras.csv", ledger),
    }


def _leave_out_prose(source_dir: Path, ledger: Ledger) -> None:
    """Tables that no catalog file has a place for, accounted for as a whole."""
    for table, reason in NOT_CATALOG.items():
        for _ in _read(source_dir, table, ledger):
            ledger.dropped(table, reason)


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


def _sorted_offers(offers: Iterable[Row]) -> list[Row]:
    return sorted(offers, key=lambda row: (row["instance_type"], row["region"], row["zone"], row["market"]))


def _check_cards(files: dict[str, list[Row]], cards: set[str]) -> None:
    for file, rows in files.items():
        for row in rows:
            if row.get("accelerator", "") not in cards | {""}:
                raise SystemExit(f"{file}: no accelerator is called {row['accelerator']}")
