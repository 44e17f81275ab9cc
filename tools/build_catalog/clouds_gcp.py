"""Google Cloud: fixed shapes by zone, N1 hosts paired with GPUs, TPU slices."""

from __future__ import annotations

from decimal import Decimal

from tools.build_catalog.ledger import Ledger
from tools.build_catalog.offers import OfferBook, Terms, sell
from tools.build_catalog.tables import Row, plain

# Two hosts per number of GPUs: n1-standard with 4 and with 8 vCPUs for each GPU.
VCPUS_PER_GPU = (4, 8)
PAIR_SOURCE = "anycloud"


def add_shapes(book: OfferBook, table: str, rows: list[Row]) -> None:
    """Shapes with their GPUs built in, priced as a whole: one row per zone; no zone list, no zone."""
    for row in rows:
        zones = tuple(row["zone"].split()) or ("",)
        flags = () if row["zone"] else ("zone_unknown",)
        sell(book, table, row, Terms("gcp", row["instance_type"], zones, flags))


def add_tpus(book: OfferBook, table: str, rows: list[Row]) -> None:
    """TPU slices; the count is chips. Host CPUs and memory are not in the source."""
    for row in rows:
        shaped = {
            **row, "accelerator": f"TPU-{row['generation']}", "accelerator_count": row["chips"],
            "gpu_memory_gib": TPU_MEMORY_GIB[row["generation"]], "status": "current",
            "price_date": "2026-05-20", "source_id": PAIR_SOURCE,
        }  # fmt: skip
        sell(book, table, shaped, Terms("gcp", row["accelerator"], (row["zone"],)))


TPU_MEMORY_GIB = {"v2": "16", "v3": "32", "v4": "32", "v5e": "16", "v5p": "95", "v6e": "32"}


def add_pairs(book: OfferBook, tables: dict[str, list[Row]], limits: list[Row]) -> None:
    """N1 host plus GPUs of the same zone: prices added, both markets; the host by the rule of two."""
    hosts = {(row["instance_type"], row["zone"]): row for row in tables["prices_gcp_hosts.csv"]}
    allowed = {(row["accelerator"], row["accelerator_count"]): row for row in limits}
    for _ in limits:
        book.ledger.used("gcp_gpu_attach.csv")
    used: set[tuple[str, str]] = set()
    for row in tables["prices_gcp_accelerators.csv"]:
        if row["attach"] != "n1":
            book.ledger.dropped("prices_gcp_accelerators.csv", "built into a shape, whose whole-machine price is used")
            continue
        extra = {"status": "current", "price_date": row["price_date"], "source_id": PAIR_SOURCE}
        used |= _add_pair(book, "prices_gcp_accelerators.csv", {**row, **extra}, hosts, allowed)
    for row in tables["prices_retired.csv"]:
        if row["cloud"] == "gcp":
            used |= _add_pair(book, "prices_retired.csv", row, hosts, allowed)
    _account_hosts(book.ledger, tables["prices_gcp_hosts.csv"], used)


def _add_pair(
    book: OfferBook, table: str, row: Row, hosts: dict[tuple[str, str], Row], allowed: dict[tuple[str, str], Row]
) -> set[tuple[str, str]]:
    """All pairs of one accelerator row; returns the hosts used."""
    names = host_names(int(row["accelerator_count"]), allowed[row["accelerator"], row["accelerator_count"]])
    found = [hosts[name, row["zone"]] for name in names if (name, row["zone"]) in hosts]
    if not found:
        book.ledger.dropped(table, "no N1 host is listed in that zone")
        return set()
    made_before = book.ledger.rows_used[table]
    for host in found:
        sell(book, table, _sum(row, host), _pair_terms(row, host))
    book.ledger.rows_used[table] = made_before + 1  # one source row, however many hosts
    return {(host["instance_type"], host["zone"]) for host in found}


def host_names(gpus: int, limit: Row) -> list[str]:
    """n1-standard hosts with 4 and 8 vCPUs a GPU, as far as the attach limits allow them."""
    sizes = [vcpus * gpus for vcpus in VCPUS_PER_GPU]
    return [
        f"n1-standard-{size}"
        for size in sizes
        if size <= int(limit["max_vcpus"]) and size * 3.75 <= float(limit["max_memory_gib"])
    ]


def _sum(row: Row, host: Row) -> Row:
    """The pair as one machine: prices added market by market, CPUs and memory from the host."""
    return {
        **row,
        "vcpus": host["vcpus"],
        "memory_gib": host["memory_gib"],
        "ondemand_usd_h": _added(row["ondemand_usd_h"], host["ondemand_usd_h"]),
        "spot_usd_h": _added(row["spot_usd_h"], host["spot_usd_h"]),
    }


def _added(gpu: str, host: str) -> str:
    return plain(Decimal(gpu) + Decimal(host)) if gpu and host else ""


def _pair_terms(row: Row, host: Row) -> Terms:
    name = f"{host['instance_type']}+{row['accelerator']}:{row['accelerator_count']}"
    same = row["source_id"] == PAIR_SOURCE and row["price_date"] == host["price_date"]
    flags = ("host_plus_gpu",) if same else ("host_plus_gpu", f"host_from={PAIR_SOURCE}@{host['price_date']}")
    return Terms("gcp", name, (row["zone"],), flags)


def _account_hosts(ledger: Ledger, hosts: list[Row], used: set[tuple[str, str]]) -> None:
    for row in hosts:
        if (row["instance_type"], row["zone"]) in used:
            ledger.used("prices_gcp_hosts.csv")
        elif not row["instance_type"].startswith("n1-"):
            ledger.dropped("prices_gcp_hosts.csv", "host part of a shape, whose whole-machine price is used")
        elif row["instance_type"] in _rule_hosts():
            ledger.dropped("prices_gcp_hosts.csv", "no GPU to attach is listed in that zone")
        else:
            ledger.dropped("prices_gcp_hosts.csv", "not one of the two hosts per GPU count")


def _rule_hosts() -> set[str]:
    return {f"n1-standard-{per_gpu * gpus}" for per_gpu in VCPUS_PER_GPU for gpus in (1, 2, 4, 8)}
