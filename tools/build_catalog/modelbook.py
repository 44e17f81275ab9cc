"""models.csv: every model a benchmark names and a few that people ask for; operations only by rule and source."""

from __future__ import annotations

import re

from tools.build_catalog.bench_public import PLAIN_SEQ
from tools.build_catalog.ledger import Ledger
from tools.build_catalog.tables import Row, plain, typed

UNIT = {"samples/s": "samples", "tokens/s": "tokens", "steps/s": "steps", "minutes": ""}
_SEQUENCE = re.compile(r"sequences of ([0-9]+) tokens")


def models(benchmarks: list[Row], mpt_parameters: dict[str, str], ledger: Ledger) -> list[Row]:
    """Typed models first; the rest follow from the benchmark rows themselves."""
    rows = typed("models")
    ledger.opened("typed/models.csv", len(rows))
    found = {}
    for row in rows:
        ledger.used("typed/models.csv", "models.csv", 1)
        found[row["model"]] = {**row, "flops_per_unit": _operations(row)}
    for bench in benchmarks:
        if bench["model"] not in found:
            found[bench["model"]] = _from_benchmark(bench, mpt_parameters)
            ledger.rows_made["models named by benchmark rows", "models.csv"] += 1
    _check_units(benchmarks, found)
    return [_shown(found[name]) for name in sorted(found)]


def _operations(row: Row) -> str:
    """Training operations a unit: three forward passes of two operations a MAC, or 6 a parameter and token."""
    if row["flops_rule"] == "3x2xmacs":
        return plain(f"{3 * 2 * float(row['macs_per_unit']):.6g}")
    if row["flops_rule"] == "6N":
        return plain(6 * int(row["parameters"]))
    if row["flops_rule"] == "6NxT":
        match = _SEQUENCE.search(row["note"])
        return plain(6 * int(row["parameters"]) * int(match[1])) if match else ""
    return ""


def _from_benchmark(bench: Row, mpt_parameters: dict[str, str]) -> Row:
    name, source = bench["model"], bench["source"]
    if name in mpt_parameters:
        count = mpt_parameters[name]
        length = name.split("-seq")[1] if "-seq" in name else PLAIN_SEQ
        note = f"sequences of {length} tokens; operations are 6 x parameters a token, without attention"
        return {
            "model": name, "family": "-".join(name.split("-")[:2]), "task": "language model", "unit": "tokens",
            "parameters": count, "flops_per_unit": plain(6 * int(count)), "note": note, "source": source,
        }  # fmt: skip
    suite = name.split("-")[0]
    notes = {
        "mlperf": "minutes to the quality target of the round; not verified by MLCommons",
        "dawnbench": "minutes to the accuracy target of the competition",
        "gavel": "steps of the batch size in the name",
    }
    family = re.sub(r"-bs[0-9]+$", "", name.split("-", 1)[1])
    tasks = {"mlperf": "time to train", "dawnbench": "time to train", "gavel": "training steps"}
    return {
        "model": name, "family": family, "task": tasks[suite], "unit": UNIT[bench["unit"]],
        "note": notes[suite], "source": "mlperf" if suite == "mlperf" else source,
    }  # fmt: skip


def _check_units(benchmarks: list[Row], found: dict[str, Row]) -> None:
    """A model has one unit in all of its rows."""
    for bench in benchmarks:
        if UNIT[bench["unit"]] != found[bench["model"]]["unit"]:
            raise SystemExit(
                f"{bench['model']} is measured in {bench['unit']} by {bench['source']}, not in its own unit"
            )


def _shown(row: Row) -> Row:
    return {key: value for key, value in row.items() if key not in ("macs_per_unit", "flops_rule")}
