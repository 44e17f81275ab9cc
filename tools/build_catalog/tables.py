"""Reading the source tables and writing the catalog's CSV files in one stable form."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

Row = dict[str, str]

COLUMNS: dict[str, tuple[str, ...]] = {
    "accelerators.csv": (
        "name", "family", "vendor", "architecture", "year", "memory_gib", "bandwidth_gb_s", "fp32_tflops",
        "tf32_tflops", "fp16_tensor_tflops", "fp8_tflops", "tdp_w", "form", "compute_capability",
        "nvlink_gb_s", "msrp_usd", "note",
    ),
    "aliases.csv": ("alias", "accelerator"),
    "instance_types.csv": (
        "cloud", "instance_type", "accelerator", "accelerator_count", "vcpus", "memory_gib",
        "gpu_memory_gib", "arch", "intra_link", "fabric", "local_ssd_gib", "stop_supported", "status",
    ),
    "offers": (
        "instance_type", "region", "zone", "market", "term_months", "usd_per_hour", "price_kind",
        "availability", "billing_increment_s", "minimum_s", "observed_on", "status", "source", "flags",
    ),
    "extras.csv": ("cloud", "region", "kind", "unit", "usd", "observed_on", "source"),
    "benchmarks.csv": (
        "accelerator", "accelerator_count", "nodes", "link", "model", "precision", "framework",
        "batch_size", "throughput", "unit", "year", "source", "flags",
    ),
    "models.csv": (
        "model", "family", "task", "unit", "parameters", "flops_per_unit", "epoch_units", "note", "source",
    ),
    "onprem.csv": (
        "system", "vendor", "kind", "accelerator", "accelerator_count", "usd", "watts", "year",
        "price_kind", "source", "note",
    ),
    "power.csv": ("place", "sector", "usd_per_kwh", "period", "source"),
    "colocation.csv": ("place", "usd_per_kw_month", "year", "source"),
    "profiles.csv": ("profile", "stage", "advice", "source"),
    "history": (
        "instance_type", "region", "zone", "market", "usd_per_hour", "observed_on", "last_seen", "status", "source",
    ),
    "sources.csv": ("source", "title", "publisher", "path", "version", "licence", "note"),
}  # fmt: skip

TYPED = Path(__file__).parent / "typed"


def columns_of(file: str) -> tuple[str, ...]:
    """The columns of a catalog file; every file below offers/ has the same ones, and so below history/."""
    folder, slash, _ = file.partition("/")
    return COLUMNS[folder if slash else file]


def read(path: Path) -> list[Row]:
    """All rows of a CSV file with a header, as text."""
    with path.open(encoding="ascii", newline="") as stream:
        return list(csv.DictReader(stream))


def typed(name: str) -> list[Row]:
    """A table kept beside this program: what the maintainers typed, with its source in the row."""
    return read(TYPED / f"{name}.csv")


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write rows in the order given; missing cells are empty; text outside ASCII is an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii", newline="") as stream:
        out = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def plain(value: Decimal | float | str) -> str:
    """A number without exponent and trailing zeros: 0.10 is 0.1, 1E+2 is 100."""
    number = Decimal(str(value)).normalize()
    return f"{number:f}"


def number_key(text: str) -> tuple[int, float]:
    """Sort key for a numeric cell, empty cells first."""
    return (0, 0.0) if text == "" else (1, float(text))


def joined(flags: Iterable[str]) -> str:
    """Flags as one cell: sorted, each once, separated by semicolons."""
    return ";".join(sorted({flag for flag in flags if flag}))
