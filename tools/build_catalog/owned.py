"""What it costs to own: systems and cards, electricity, space in a data centre, and the lecture's advice."""

from __future__ import annotations

from tools.build_catalog.ledger import Ledger
from tools.build_catalog.names import Names
from tools.build_catalog.tables import Row, plain, typed

SYSTEMS, CARDS, TCO = "onprem_systems.csv", "onprem_card_prices_lambda.csv", "onprem_lambda_hyperplane16_tco.csv"
POWER, SPACE = "electricity_prices.csv", "onprem_colocation.csv"
LISTED = ("list", "reseller_list", "vendor_tco", "receipt")
# Dollars for a euro, European Central Bank reference rate of 28 October 2026 (source ecb-rate).
USD_PER_EUR = 1.1133


def onprem(tables: dict[str, list[Row]], names: Names, ledger: Ledger) -> list[Row]:
    """onprem.csv: whole systems, clusters of one vendor, single cards; `usd` is for all of the row."""
    ids = {row["text"]: row["source"] for row in typed("source_ids")}
    rows = [
        *_systems(tables[SYSTEMS], ids, names, ledger),
        *_clusters(tables[TCO], ledger),
        *_cards(tables[CARDS], ledger),
    ]
    return sorted(rows, key=lambda row: (row["kind"], row["system"], row["year"], row["source"]))


def _systems(rows: list[Row], ids: dict[str, str], names: Names, ledger: Ledger) -> list[Row]:
    made = []
    for row in rows:
        if not row["price_usd"]:
            ledger.dropped(SYSTEMS, "the source gives no price")
            continue
        if not row["gpu"]:
            ledger.dropped(SYSTEMS, "the source does not name the GPU")
            continue
        ledger.used(SYSTEMS, "onprem.csv", 1)
        silent = "form and memory of the card not stated" if row["gpu"] == "A100" else ""
        watts = f"watts: {row['watts_basis']}" if row["watts"] else ""
        notes = (row["note"], f"price basis: {row['price_basis'].replace('_', ' ')}", watts, silent)
        made.append({
            "system": row["system"], "vendor": row["vendor"], "kind": row["kind"],
            "accelerator": names.canonical(row["gpu"]), "accelerator_count": row["gpu_count"],
            "usd": row["price_usd"], "watts": row["watts"], "year": row["year"],
            "price_kind": "list" if row["price_basis"] in LISTED else "estimate",
            "source": ids[row["source"]], "note": "; ".join(part for part in notes if part),
        })  # fmt: skip
    return made


def _clusters(rows: list[Row], ledger: Ledger) -> list[Row]:
    """Lambda's own total for clusters of Hyperplane-16; one system alone is in the systems table."""
    made = []
    for row in rows:
        if row["systems"] == "1":
            ledger.dropped(TCO, "repeats the Hyperplane-16 of onprem_systems.csv")
            continue
        ledger.used(TCO, "onprem.csv", 1)
        count = int(row["systems"])
        yearly = f"a year: staff {row['annual_sysadmin_usd']} USD, colocation {row['annual_colocation_usd']} USD"
        made.append({
            "system": f"Lambda Hyperplane-16 cluster of {count}", "vendor": "lambda", "kind": "prebuilt_server",
            "accelerator": "V100-32GB", "accelerator_count": str(16 * count), "usd": row["upfront_usd"],
            "watts": str(10000 * count), "year": "2019", "price_kind": "list", "source": "lambda-hyperplane-16",
            "note": f"upfront price with InfiniBand; {yearly}; watts: 10 kW a system as the vendor plans",
        })  # fmt: skip
    return made


def _cards(rows: list[Row], ledger: Ledger) -> list[Row]:
    """Card prices in Lambda's benchmark table: one row a card, year and price."""
    names = {row["card_label"]: row["accelerator"] for row in typed("card_labels")}
    seen: set[tuple[str, str, str]] = set()
    made = []
    for row in rows:
        accelerator = names[row["card_label"]]
        key = (accelerator, row["year"], row["price_usd"])
        if key in seen:
            ledger.dropped(CARDS, "repeats a card, year and price of another row")
            continue
        seen.add(key)
        ledger.used(CARDS, "onprem.csv", 1)
        made.append({
            "system": f"{accelerator} card", "vendor": "lambda", "kind": "card", "accelerator": accelerator,
            "accelerator_count": row["gpu_count"], "usd": row["price_usd"], "watts": row["watts"],
            "year": row["year"], "price_kind": "list", "source": f"lambda-{_release(row)}",
            "note": "price column of a benchmark table; what it means is not documented there",
        })  # fmt: skip
    return made


def _release(row: Row) -> str:
    """The benchmark release whose table carries the price."""
    return {"2022": "2020", "2024": "2022", "2025": "2025"}[row["year"]]


def power(rows: list[Row], ledger: Ledger) -> list[Row]:
    """power.csv in USD: rows in EUR are converted at one stated rate, and their source says so."""
    ids = {row["text"]: row["source"] for row in typed("source_ids")}
    made = []
    for row in rows:
        ledger.used(POWER, "power.csv", 1)
        euro = row["unit"] == "EUR/kWh"
        usd = plain(round(float(row["value"]) * USD_PER_EUR, 4)) if euro else row["value"]
        source = f"{ids[row['source']]}-eur" if euro else ids[row["source"]]
        made.append({**{key: row[key] for key in ("place", "sector", "period")}, "usd_per_kwh": usd, "source": source})
    return sorted(made, key=lambda row: (row["place"], row["sector"], row["period"], row["source"]))


def colocation(rows: list[Row], ledger: Ledger) -> list[Row]:
    """colocation.csv: several rates of one place and year are told apart by their basis."""
    ids = {row["text"]: row["source"] for row in typed("source_ids")}
    made = []
    for row in rows:
        ledger.used(SPACE, "colocation.csv", 1)
        made.append({
            "place": f"{row['region']}: {row['basis'].replace('derived: ', 'derived from ')}",
            "usd_per_kw_month": row["usd_per_kw_month"], "year": row["year"], "source": ids[row["source"]],
        })  # fmt: skip
    return sorted(made, key=lambda row: (row["place"], row["year"]))


def copied(table: str, file: str, ledger: Ledger) -> list[Row]:
    """A table the maintainers typed that is the catalog file as it stands."""
    rows = typed(table)
    ledger.opened(f"typed/{table}.csv", len(rows))
    for _ in rows:
        ledger.used(f"typed/{table}.csv", file, 1)
    return rows
