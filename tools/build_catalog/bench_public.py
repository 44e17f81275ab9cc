"""Gavel and llm-foundry: steps and tokens a second, with what their authors or readers flagged."""

from __future__ import annotations

import re
from collections.abc import Callable

from tools.build_catalog.bench_rows import PRECISION, bench_row
from tools.build_catalog.ledger import Ledger
from tools.build_catalog.tables import Row, plain

TABLE, REPEATED_IN = "throughput_public.csv", "benchmarks_throughput.csv"
GPUS = {
    "K80": "K80", "P100": "P100", "V100": "V100-16GB",
    "A100 40GB": "A100-SXM-40GB", "A100 80GB": "A100-SXM-80GB", "H100 80GB": "H100-SXM-80GB",
}  # fmt: skip
NOTES = {"faster GPU measured slower: input bound": "input_bound", "superlinear": "superlinear"}
_BATCH = re.compile(r"(.+?) \(batch size ([0-9]+)\)")
_MPT = re.compile(r"MPT-([0-9]+[mb]) seq ([0-9]+) \(params ([0-9]+)\)")
# The length the MPT models are trained with; rows of this length carry the plain model name.
PLAIN_SEQ = "2048"
GAVEL_MODELS = {
    "A3C": "a3c", "CycleGAN": "cyclegan", "LM": "lstm-wikitext2", "Recommendation": "autoencoder-ml20m",
    "ResNet-18": "resnet18-cifar10", "ResNet-50": "resnet50-imagenet", "Transformer": "transformer-multi30k",
}  # fmt: skip


def public_rows(rows: list[Row], repeated: list[Row], ledger: Ledger) -> list[Row]:
    """All rows of throughput_public.csv; Gavel's same-server rows stand in the other table too, checked here."""
    made = []
    for row in rows:
        built = _gavel(row) if row["source"].endswith("gavel") else [_foundry(row)]
        ledger.used(TABLE, "benchmarks.csv", len(built))
        made += built
    _check_repeats(rows, repeated, ledger)
    return made


def _gavel(row: Row) -> list[Row]:
    """Steps a second; a one-GPU ResNet-50 row is also one in images a second: steps times batch."""
    match = _BATCH.fullmatch(row["model"])
    name, batch = (match[1], match[2]) if match else (row["model"], "")
    separate = row["link"] == "separate servers"
    cells = {
        "accelerator": GPUS[row["gpu"]],
        "accelerator_count": row["n_gpus"],
        "nodes": row["n_gpus"] if separate else "1",
        "link": row["link"].replace(" ", "-"),
        "precision": PRECISION.get(row["precision"], row["precision"]),
        "framework": "pytorch-1.x",
        "batch_size": batch,
        "year": "2020",
        "source": "gavel-2020",
        "flags": NOTES.get(row["flag_or_note"], row["flag_or_note"]),
    }
    model = f"gavel-{GAVEL_MODELS[name]}" + (f"-bs{batch}" if batch else "")
    made = [bench_row(**cells, model=model, throughput=row["throughput"], unit="steps/s")]
    if name == "ResNet-50" and row["n_gpus"] == "1":
        images = plain(float(row["throughput"]) * float(batch))
        derived = {**cells, "flags": f"{cells['flags']};derived=steps_x_batch"}
        made.append(bench_row(**derived, model="resnet50", throughput=images, unit="samples/s"))
    return made


def _foundry(row: Row) -> Row:
    """Tokens a second of all GPUs; the sequence length is part of the model's name."""
    match = _MPT.fullmatch(row["model"])
    if match is None:
        raise SystemExit(f"{TABLE}: model {row['model']} is not understood")
    count = int(row["n_gpus"])
    suffix = "" if match[2] == PLAIN_SEQ else f"-seq{match[2]}"
    note = row["flag_or_note"].replace("MFU ", "mfu=")
    return bench_row(
        accelerator=GPUS[row["gpu"]],
        accelerator_count=row["n_gpus"],
        nodes=str(max(1, count // 8)),
        link="nvswitch",
        model=f"mpt-{match[1]}{suffix}",
        precision=PRECISION.get(row["precision"], row["precision"]),
        framework="llm-foundry",
        throughput=row["throughput"],
        unit="tokens/s",
        year="2023",
        source="llm-foundry",
        flags=f"{note};form_assumed;year_approximate" + (";amp" if row["precision"].startswith("amp") else ""),
    )


def mpt_parameters(rows: list[Row]) -> dict[str, str]:
    """Catalog model name to parameters, as the source's model names carry them."""
    found = {}
    for row in rows:
        match = _MPT.fullmatch(row["model"])
        if match:
            suffix = "" if match[2] == PLAIN_SEQ else f"-seq{match[2]}"
            found[f"mpt-{match[1]}{suffix}"] = match[3]
    return found


def _check_repeats(rows: list[Row], repeated: list[Row], ledger: Ledger) -> None:
    """Gavel's consolidated rows of the other table must be those of this one, within rounding."""
    here = {
        _gavel_key(row, "n_gpus", _named): float(row["throughput"]) for row in rows if row["link"] != "separate servers"
    }
    for row in repeated:
        if row["source"] != "gavel-2020":
            continue
        value = here.get(_gavel_key(row, "gpu_count", _plain_named))
        if value is None or abs(value / float(row["throughput"]) - 1) > 1e-3:
            raise SystemExit(f"{REPEATED_IN}: Gavel row {row} is not in {TABLE}")
        ledger.dropped(REPEATED_IN, "Gavel: the same measurement stands in throughput_public.csv, with its flags")


def _gavel_key(row: Row, count: str, name: Callable[[Row], str]) -> tuple[str, str, str]:
    return (row["gpu"].removesuffix("-16GB"), row[count], name(row))


def _named(row: Row) -> str:
    return row["model"]


def _plain_named(row: Row) -> str:
    return f"{row['model']} (batch size {row['batch_size']})" if row["batch_size"] else row["model"]
