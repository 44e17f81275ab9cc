"""MLPerf and DAWNBench: minutes to reach a quality target, with everything that lowers the trust in them flagged."""

from __future__ import annotations

import re

from tools.build_catalog.bench_rows import bench_row
from tools.build_catalog.ledger import Ledger
from tools.build_catalog.names import Names
from tools.build_catalog.tables import Row, plain

MLPERF, DAWN = "benchmarks_mlperf_training.csv", "benchmarks_dawnbench.csv"
_TPU_CORES = re.compile(r"tpuv[23]-([0-9]+)")
_RESNET50 = re.compile(r"resnet-?\s?50.*", re.IGNORECASE)
# Entries whose price is that of another machine (see docs/data.md); no price is taken from this table.
WRONG_PRICE = frozenset(
    {"dawn_resnet152_b_4M60_ec2_tensorflow", "dawn_resnet152_b_8k80_ec2_mxnet", "setu_resnet50_azure-ndv2_pytorch"}
)
# The table counts one machine where the hardware text names several, or one board where it has four chips.
COUNTED_AGAIN = {
    "huaweicloud_resnet50_modelarts_16_machine_tensorflow18": ("128", "16"),
    "zte_resnet50_2_machine_tensorflow112": ("64", "8"),
    "dawn_qanet_1tpu": ("4", "1"),
}


def mlperf_rows(rows: list[Row], names: Names, ledger: Ledger) -> list[Row]:
    """One row per submission with an accelerator and a count."""
    made = []
    for row in rows:
        if row["gpu"] == "CPU":
            ledger.dropped(MLPERF, "no accelerator: CPUs only")
        elif not row["accelerators"]:
            ledger.dropped(MLPERF, "the number of accelerators is not given")
        else:
            ledger.used(MLPERF, "benchmarks.csv", 1)
            made.append(_mlperf(row, names))
    return made


def _mlperf(row: Row, names: Names) -> Row:
    count, count_flag = _chips(row)
    division = row["division"].lower().replace("close", "closed").replace("closedd", "closed")
    flags = [
        "not_verified_by_mlcommons", f"round={row['round']}", f"division={division}",
        f"submitter={_word(row['submitter'])}", f"system={_word(row['system'])}", count_flag,
        "form_assumed" if row["gpu"] == "V100" else "", "" if int(row["runs_ok"]) > 1 else "single_run",
    ]  # fmt: skip
    return bench_row(
        accelerator=_card(row, names),
        accelerator_count=count,
        nodes=row["nodes"],
        model=f"mlperf-{row['benchmark'].replace('_', '-')}",
        framework=_word(row["framework"]),
        batch_size=_per_gpu(row["global_batch_size"], count),
        throughput=row["minutes_to_train"],
        unit="minutes",
        year=row["year"],
        source=f"mlperf-{row['round']}",
        flags=";".join(flag for flag in flags if flag),
    )


def _card(row: Row, names: Names) -> str:
    """The catalog's name; a V100 without memory size is the 32 GB one in a DGX-2."""
    if row["gpu"] == "V100" and "dgx2" in row["system"].lower().replace("-", ""):
        return "V100-32GB"
    return names.canonical(row["gpu"])


def _chips(row: Row) -> tuple[str, str]:
    """TPU counts are chips: round 0.5 names slices by cores, two a chip."""
    match = _TPU_CORES.fullmatch(row["accelerator"])
    return (str(int(match[1]) // 2), "count_from_name") if match else (row["accelerators"], "")


def _per_gpu(batch: str, count: str) -> str:
    return plain(round(float(batch) / int(count), 4)) if batch else ""


def _word(text: str) -> str:
    """Text fit for a flag: no separators of flags."""
    return re.sub(r"\s*[;,]\s*", " ", text).strip()


def dawn_rows(rows: list[Row], names: Names, ledger: Ledger) -> list[Row]:
    """DAWNBench entries on accelerators; each model is its own piece of work."""
    made = []
    for row in rows:
        if row["gpu"] == "CPU":
            ledger.dropped(DAWN, "no accelerator: CPUs only")
        elif not row["gpu_count"]:
            ledger.dropped(DAWN, "the number of GPUs is not given")
        else:
            ledger.used(DAWN, "benchmarks.csv", 1)
            made.append(_dawn(row, names))
    return made


def _dawn(row: Row, names: Names) -> Row:
    count, nodes = COUNTED_AGAIN.get(row["entry"], (row["gpu_count"], ""))
    flags = [
        f"entry={row['entry']}", "time_to_target", "form_assumed" if row["gpu"] == "V100" else "",
        "source_price_wrong" if row["entry"] in WRONG_PRICE else "",
        "count_from_hardware_text" if row["entry"] in COUNTED_AGAIN else "",
    ]  # fmt: skip
    return bench_row(
        accelerator=names.canonical(row["gpu"]),
        accelerator_count=count,
        nodes=nodes or _nodes(count),
        model=dawn_model(row),
        framework=_word(row["framework"]),
        throughput=plain(round(float(row["hours_to_target"]) * 60, 5)),
        unit="minutes",
        year=row["date"][:4],
        source="dawnbench",
        flags=";".join(flag for flag in flags if flag),
    )


def _nodes(count: str) -> str:
    """Machines of eight GPUs, the largest in that table."""
    return str(max(1, int(count) // 8))


def dawn_model(row: Row) -> str:
    """`dawnbench-imagenet-resnet50`: the task with the model, spellings of ResNet-50 on ImageNet as one."""
    name = (
        "resnet50" if _RESNET50.fullmatch(row["model"]) else re.sub(r"[^a-z0-9]+", "-", row["model"].lower()).strip("-")
    )
    return f"dawnbench-{row['task'].lower()}-{name}"
