"""Training throughput of Lambda, NVIDIA, TensorFlow and u39kun: one row a measurement, models under one name."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase

from tools.build_catalog.bench_rows import PRECISION, TF32_BY_DEFAULT, bench_row
from tools.build_catalog.ledger import Ledger
from tools.build_catalog.names import Names
from tools.build_catalog.tables import Row, joined, plain, typed

TABLE = "benchmarks_throughput.csv"
BATCH_OF_ALL_GPUS = ("lambda-2020", "lambda-2022", "lambda-2025")


def throughput_rows(rows: list[Row], names: Names, ledger: Ledger) -> list[Row]:
    """Training rows with a certain model and unit; the rest is accounted for with its reason. Gavel is not here."""
    rules = typed("benchmark_models")
    candidates: list[tuple[Row, Row]] = []
    for row in rows:
        reason = _not_training(row)
        rule = None if reason else _rule(rules, row)
        reason = reason or (rule["why"] if rule and not rule["model"] else "")
        if reason:
            ledger.dropped(TABLE, reason)
        elif rule and row["source"] != "gavel-2020":
            candidates.append((row, rule))
    return _told_apart(candidates, names, ledger)


def _not_training(row: Row) -> str:
    if row["kind"] == "inference_throughput":
        return "inference, not training"
    return "a matrix microbenchmark, not training" if row["kind"] == "microbenchmark" else ""


def _rule(rules: list[Row], row: Row) -> Row | None:
    """The first rule that fits; Gavel's rows have their own reader."""
    for rule in rules:
        fits = (
            fnmatchcase(row["source"], rule["source"])
            and fnmatchcase(row["model"], rule["source_model"])
            and fnmatchcase(row["framework"], rule["framework"])
            and fnmatchcase(row["notes"], rule["notes"])
        )
        if fits and (not rule["max_batch"] or float(row["batch_size"] or 0) <= float(rule["max_batch"])):
            return rule
    return None


def _told_apart(candidates: list[tuple[Row, Row]], names: Names, ledger: Ledger) -> list[Row]:
    """Leave out what repeats another row, and NVIDIA rows that give several rates for one description."""
    seen: set[tuple[str, ...]] = set()
    first_table: dict[tuple[str, ...], str] = {}
    per_run = Counter(_run(row, rule) for row, rule in {(_exact(r, u)): (r, u) for r, u in candidates}.values())
    made = []
    for row, rule in candidates:
        exact = _exact(row, rule)
        older = first_table.setdefault(_measurement(row, rule), row["source"])
        if exact in seen or older != row["source"]:
            ledger.dropped(TABLE, "repeats a row of the same or an older table, value for value")
        elif row["source"] == "nvidia-dle" and per_run[_run(row, rule)] > 1:
            ledger.dropped(TABLE, "several rates for one description: the variants are not told apart")
        elif row["source"] == "nvidia-dle" and float(row["throughput"]) < int(row["gpu_count"]):
            ledger.dropped(TABLE, "below one a second for each GPU: not a rate but another column")
        else:
            seen.add(exact)
            ledger.used(TABLE, "benchmarks.csv", 1)
            made.append(_row(row, rule, names))
    return made


def _run(row: Row, rule: Row) -> tuple[str, ...]:
    keys = ("source", "gpu", "gpu_count", "precision", "framework", "batch_size")
    return (*(row[key] for key in keys), rule["model"])


def _exact(row: Row, rule: Row) -> tuple[str, ...]:
    """All that describes a row and its rate; NVIDIA's headings differ where the row does not."""
    keys = ("source", "gpu", "gpu_count", "precision", "framework", "batch_size", "throughput")
    return (*(row[key] for key in keys), rule["model"], "" if row["source"] == "nvidia-dle" else row["notes"])


def _measurement(row: Row, rule: Row) -> tuple[str, ...]:
    """Lambda's later tables carry rows of its earlier ones, some without the batch size."""
    table = "lambda" if row["source"].startswith("lambda") else row["source"]
    return (table, *(row[key] for key in ("gpu", "gpu_count", "precision", "throughput")), rule["model"])


def _row(row: Row, rule: Row, names: Names) -> Row:
    accelerator = names.canonical(row["gpu"])
    model = rule["model"] if rule["model"] != "*" else row["model"].replace("_", "-")
    return bench_row(
        accelerator=accelerator,
        accelerator_count=row["gpu_count"],
        nodes=_nodes(row),
        link=_link(row, accelerator),
        model=model,
        precision=PRECISION.get(row["precision"], row["precision"]),
        framework=row["framework"],
        batch_size=_batch_per_gpu(row),
        throughput=plain(float(row["throughput"]) * float(rule["factor"])),
        unit=rule["unit"],
        year=row["year"],
        source=row["source"],
        flags=joined(_flags(row, accelerator)),
    )


def _batch_per_gpu(row: Row) -> str:
    """Lambda writes the batch of all GPUs; the catalog has the one per GPU."""
    if row["source"] not in BATCH_OF_ALL_GPUS or not row["batch_size"]:
        return row["batch_size"]
    return plain(round(float(row["batch_size"]) / int(row["gpu_count"]), 2))


def _nodes(row: Row) -> str:
    """One machine unless the count says otherwise: NVIDIA's DGX have 8 or 16 GPUs, the 2017 runs 8 K80 each."""
    count = int(row["gpu_count"])
    if "distributed" in row["notes"]:
        return str(max(1, count // 8))
    if row["source"] != "nvidia-dle" or count <= 8 or "DGX-2" in row["notes"]:
        return "1"
    return str(count // 8)


def _link(row: Row, accelerator: str) -> str:
    """How the GPUs of one machine are joined, where the row or the card settles it."""
    notes = row["notes"]
    if row["gpu_count"] == "1":
        return ""
    if "nvlink_bridge" in notes:
        return "nvlink-bridge"
    if "-SXM-" in accelerator or accelerator == "B200" or "DGX-2" in notes:
        return "nvswitch"
    if "DGX-1" in notes or "dgx-1" in notes or accelerator == "V100-16GB":
        return "nvlink"
    return "" if accelerator.startswith("V100") else "pcie"


def _flags(row: Row, accelerator: str) -> list[str]:
    flags = []
    if row["source"].startswith(("lambda", "tensorflow")):
        machine = row["notes"].split(";")[0].removesuffix(" real data").removesuffix(" synthetic data")
        flags.append(f"machine={machine}")
    if "real data" in row["notes"]:
        flags.append("real_data")
    if "synthetic data" in row["notes"]:
        flags.append("synthetic_data")
    if row["precision"] == "fp32" and row["source"].startswith("lambda") and accelerator.startswith(TF32_BY_DEFAULT):
        flags.append("fp32_may_be_tf32")
    if row["unit"] == "see_source":
        flags.append("unit_from_model")
    return flags
