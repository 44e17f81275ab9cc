"""What the benchmark tables share: a row of benchmarks.csv, precisions, and the marks set once all rows are known."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from tools.build_catalog.tables import Row, joined, number_key, plain

PRECISION = {"amp": "mixed", "amp_bf16": "bf16", "amp_fp8": "fp8", "fp32 (2020 PyTorch)": "fp32"}
SUPERLINEAR = 1.15
HALVES, SLOW_HALF = ("fp16", "bf16", "mixed"), 0.5
TF32_BY_DEFAULT = (
    "A10",
    "A30",
    "A40",
    "A100",
    "RTXA",
    "RTX30",
    "RTX40",
    "H100",
    "H200",
    "B200",
    "GH200",
    "RTX6000-ADA",
)


def bench_row(**cells: str) -> Row:
    """A row with its numbers in plain form; flags come as text separated by semicolons."""
    row = {key: value for key, value in cells.items() if value}
    row["throughput"] = plain(cells["throughput"])
    row["flags"] = joined(cells.get("flags", "").split(";"))
    return row


def add_flag(row: Row, flag: str) -> None:
    """Add one flag to a row."""
    row["flags"] = joined([*row["flags"].split(";"), flag])


def mark_superlinear(rows: list[Row]) -> int:
    """Flag rows above 1.15 per GPU against the source's own one-GPU rows of the model and precision."""
    single: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in rows:
        if float(row["accelerator_count"]) == 1 and row["unit"] != "minutes":
            single[_run(row)].append(float(row["throughput"]))
    marked = 0
    for row in rows:
        base = single.get(_run(row))
        count = float(row["accelerator_count"])
        if base and count > 1 and float(row["throughput"]) / count > SUPERLINEAR * _reference(base):
            add_flag(row, "superlinear")
            marked += 1
    return marked


def mark_slow_halves(rows: list[Row]) -> int:
    """Flag half-precision rows below half of the FP32 rate of the same machine, software and year.

    No card computes slower with half the bits; at such a distance one of the two figures is wrong.
    """
    full: dict[tuple[str, ...], float] = {}
    for row in rows:
        if row.get("precision") == "fp32" and row["unit"] != "minutes":
            full[_host(row)] = max(float(row["throughput"]), full.get(_host(row), 0.0))
    marked = 0
    for row in rows:
        base = full.get(_host(row), 0.0) if row.get("precision") in HALVES else 0.0
        if float(row["throughput"]) < SLOW_HALF * base:
            add_flag(row, "slower_than_fp32")
            marked += 1
    return marked


def _host(row: Row) -> tuple[str, ...]:
    """What a row and its counterpart in another precision share."""
    named = next((flag for flag in row["flags"].split(";") if flag.startswith("machine=")), "")
    names = ("source", "accelerator", "accelerator_count", "nodes", "model", "framework", "unit", "year")
    return (*(row.get(name, "") for name in names), named)


def _run(row: Row) -> tuple[str, ...]:
    return (row["source"], row["accelerator"], row["model"], row.get("precision", ""), row.get("framework", ""))


def _reference(base: list[float]) -> float:
    return median(base)


def sort_key(row: Row) -> tuple[object, ...]:
    """Stable order of benchmarks.csv."""
    words = (row["model"], row["accelerator"], row.get("precision", ""))
    numbers = tuple(
        number_key(row.get(c, "")) for c in ("accelerator_count", "nodes", "batch_size", "year", "throughput")
    )
    return (*words, *numbers, row["source"], row.get("framework", ""), row.get("link", ""), row["flags"])
