"""The rules that catalog data must obey, as pure functions from rows to problems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import Any, NamedTuple

OUTLIER_FACTOR = 3.0  # a price beyond this multiple of its median over regions is suspect
SUPERLINEAR = 1.15  # throughput per GPU may exceed that of one GPU by this factor before the row needs a flag
EXPLAINED = ("superlinear", "input_bound")
PLACEHOLDERS = frozenset({700.0, 999.0, 999.99, 9999.0, 9999.99, 99999.0, 999999.0, 1234.0, 12345.0})
UNKNOWN_DAY = "date_unknown"
Pairs = Iterable[tuple[int, Mapping[str, Any]]]  # line number and values of each row


class Problem(NamedTuple):
    """One fault: where it stands (column may be empty), which rule, and a sentence."""

    file: str
    line: int
    column: str
    rule: str
    message: str


def flags_of(row: Mapping[str, Any]) -> set[str]:
    """The names of a row's flags, without their values."""
    return {flag.split("=")[0] for flag in row["flags"].split(";") if flag}


def offer_problems(file: str, rows: Pairs, today: str) -> Iterator[Problem]:
    """Every rule of one cloud's offers. `today` is an ISO date."""
    kept = list(rows)
    yield from _single_offers(file, kept, today)
    yield from _spot_against_on_demand(file, kept)
    yield from _outliers(file, kept)


def _single_offers(file: str, rows: Pairs, today: str) -> Iterator[Problem]:
    for line, row in rows:
        price, flags = row["usd_per_hour"], flags_of(row)
        if price is not None and not row["observed_on"] and UNKNOWN_DAY not in flags:
            yield Problem(file, line, "observed_on", "dated", f"The price has no date and no flag {UNKNOWN_DAY}.")
        if row["observed_on"] > today:
            yield Problem(file, line, "observed_on", "dated", f"{row['observed_on']} has not come yet.")
        if price is not None and not row["source"]:
            yield Problem(file, line, "source", "sourced", "The price has no source.")
        if price in PLACEHOLDERS:
            yield Problem(file, line, "usd_per_hour", "placeholder", f"{price:g} is a placeholder, not a price.")


def _spot_against_on_demand(file: str, rows: Pairs) -> Iterator[Problem]:
    by_place: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    kept = list(rows)
    for _, row in kept:
        if row["usd_per_hour"] is not None and row["market"] == "on-demand":
            by_place[row["instance_type"], row["region"], row["zone"]]["on-demand"] = row["usd_per_hour"]
    for line, row in kept:
        if row["market"] != "spot" or row["usd_per_hour"] is None:
            continue
        on_demand = by_place[row["instance_type"], row["region"], row["zone"]].get("on-demand")
        yield from _compared(file, line, row, on_demand)


def _compared(file: str, line: int, row: Mapping[str, Any], on_demand: float | None) -> Iterator[Problem]:
    spot = row["usd_per_hour"]
    if on_demand is None or spot < on_demand:
        return
    if spot > on_demand and row["status"] == "current":
        message = f"Spot {spot:g} is above on-demand {on_demand:g} and not marked suspect."
        yield Problem(file, line, "status", "spot_above_on_demand", message)
    if spot == on_demand and "no_discount" not in flags_of(row):
        yield Problem(file, line, "flags", "no_discount", "Spot equals on-demand without the flag no_discount.")


def _outliers(file: str, rows: Pairs) -> Iterator[Problem]:
    groups: dict[tuple[str, str, Any], list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    for line, row in rows:
        if row["usd_per_hour"] is not None and row["price_kind"] != "community":
            groups[row["instance_type"], row["market"], row["term_months"]].append((line, row))
    for group in groups.values():
        middle = median(row["usd_per_hour"] for _, row in group)
        for line, row in group:
            if row["usd_per_hour"] > OUTLIER_FACTOR * middle and row["status"] == "current":
                message = f"{row['usd_per_hour']:g} is beyond 3 x the median {middle:g} and not marked suspect."
                yield Problem(file, line, "status", "outlier", message)


def repeated(file: str, rows: Pairs, key: tuple[str, ...]) -> Iterator[Problem]:
    """Rows whose key stood there before."""
    first: dict[tuple[Any, ...], int] = {}
    for line, row in rows:
        # A doubted price may stand beside the one it doubts.
        own = (*(row[name] for name in key), row.get("status") == "suspect")
        if own in first:
            yield Problem(file, line, key[0], "repeated", f"The row repeats the key of line {first[own]}.")
        first.setdefault(own, line)


def unknown(file: str, rows: Pairs, column: str, known: set[str], where: str) -> Iterator[Problem]:
    """Values of `column` that are filled but not in `known`."""
    for line, row in rows:
        if row[column] and row[column] not in known:
            yield Problem(file, line, column, "known", f"'{row[column]}' is not in {where}.")


def type_problems(file: str, rows: Pairs, tpus: set[str]) -> Iterator[Problem]:
    """TPUs are sold by Google alone."""
    for line, row in rows:
        if row["accelerator"] in tpus and row["cloud"] != "gcp":
            yield Problem(file, line, "cloud", "tpu", "A TPU is sold under gcp only.")


def benchmark_problems(file: str, rows: Pairs) -> Iterator[Problem]:
    """Rows that scale above 1.15 per GPU against the best single GPU of the same measurement, without a flag."""
    kept = [(line, row) for line, row in rows if row["unit"] != "minutes"]
    single: dict[tuple[Any, ...], float] = {}
    for _, row in kept:
        if row["accelerator_count"] == 1:
            single[_series(row)] = max(row["throughput"], single.get(_series(row), 0.0))
    for line, row in kept:
        count, one = row["accelerator_count"], single.get(_series(row))
        if one is None or count <= 1 or flags_of(row) & set(EXPLAINED):
            continue
        gain = row["throughput"] / count / one
        if gain > SUPERLINEAR:
            message = f"{count:g} GPUs scale by {gain:.2f} per GPU; the flag superlinear is missing."
            yield Problem(file, line, "flags", "superlinear", message)


def _series(row: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("accelerator", "model", "precision", "framework", "batch_size", "unit", "year", "source")
    return tuple(row[name] for name in names)
