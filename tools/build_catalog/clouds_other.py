"""The other clouds, and the community table that also lists machines of the big three."""

from __future__ import annotations

from collections import Counter, defaultdict

from tools.build_catalog.offers import OfferBook, Terms, sell
from tools.build_catalog.tables import Row, number_key, plain, typed

PRICE_KIND = {"fsdl": "community", "kaelresearch": "community"}


def add_other(book: OfferBook, table: str, rows: list[Row]) -> None:
    """Clouds' own lists first, then the community table, so that the own list describes the machine."""
    names = distinct_names(rows)
    dates = {row["source"]: row for row in typed("undated")}
    retired = {machine for machine, found in book.statuses().items() if found == {"retired"}}
    for row, name in sorted(zip(rows, names, strict=True), key=lambda pair: pair[0]["source_id"] == "fsdl"):
        observed_on, flags = _date(row, dates)
        columns = {"price_kind": PRICE_KIND.get(row["source_id"], "list"), "observed_on": observed_on}
        if (row["cloud"], name) in retired:
            columns["status"] = "retired"
        sell(book, table, row, Terms(row["cloud"], name, flags=flags, columns=columns))


def _date(row: Row, dates: dict[str, Row]) -> tuple[str, tuple[str, ...]]:
    """The day of the price; where the source has none, the earliest day it can be, flagged."""
    if not row["price_date"]:
        return dates[row["source_id"]]["observed_on"], ("date_is_earliest_possible",)
    if len(row["price_date"]) == len("2026-02"):
        return f"{row['price_date']}-01", ("day_unknown",)
    return row["price_date"], ()


def cloud_name(row: Row) -> str:
    """The instance type as its cloud writes it; on GCP an N1 host carries its GPUs in the name."""
    name = row["instance_type"]
    if row["source_id"] == "fsdl" and row["cloud"] == "azure":
        return "Standard_" + name.replace(" ", "_")
    if row["cloud"] == "gcp" and name.startswith("n1-"):
        return f"{name}+{row['accelerator']}:{plain(row['accelerator_count'])}"
    return name


def distinct_names(rows: list[Row]) -> list[str]:
    """One name per machine: GPU memory, then CPUs and memory, then a number by price told apart what shares one."""
    names = [cloud_name(row) for row in rows]
    memories = defaultdict(set)
    for row, name in zip(rows, names, strict=True):
        memories[row["cloud"], name, row["source_id"]].add(row["gpu_memory_gib"])
    names = [
        f"{name}-{row['gpu_memory_gib']}gb" if len(memories[row["cloud"], name, row["source_id"]]) > 1 else name
        for row, name in zip(rows, names, strict=True)
    ]
    twice = _used_twice(rows, names)
    names = [
        f"{name}-{row['vcpus']}vcpu-{row['memory_gib']}gib" if _place(row, name) in twice else name
        for row, name in zip(rows, names, strict=True)
    ]
    return _numbered(rows, names)


def _place(row: Row, name: str) -> tuple[str, ...]:
    return (row["cloud"], name, row["region"], row["source_id"])


def _used_twice(rows: list[Row], names: list[str]) -> set[tuple[str, ...]]:
    counts = Counter(_place(row, name) for row, name in zip(rows, names, strict=True))
    return {place for place, count in counts.items() if count > 1}


def _numbered(rows: list[Row], names: list[str]) -> list[str]:
    """Names still used twice in one place get a number, the cheapest first."""
    twice, seen, numbered = _used_twice(rows, names), Counter[tuple[str, ...]](), list(names)
    for index in sorted(range(len(rows)), key=lambda i: number_key(rows[i]["ondemand_usd_h"])):
        place = _place(rows[index], names[index])
        if place in twice:
            seen[place] += 1
            numbered[index] = f"{names[index]}-{seen[place]}"
    return numbered
