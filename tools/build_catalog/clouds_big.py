"""AWS, Azure and their retired machines: on-demand and spot side by side in a row of the source."""

from __future__ import annotations

from tools.build_catalog.offers import OfferBook, Terms, sell
from tools.build_catalog.tables import Row, typed

# AWS publishes no spot price here: an estimate is the advisor's saving taken off the on-demand price.
AWS_SPOT = {"price_kind": "estimate", "observed_on": "2025-06-28", "source": "spotinfo-advisor"}


def add_aws(book: OfferBook, table: str, rows: list[Row]) -> None:
    """AWS: list prices on demand, estimates for spot."""
    for row in rows:
        source = (f"ondemand_from={row['source_id']}",)
        sell(book, table, row, Terms("aws", row["instance_type"], flags=_place(row), spot=AWS_SPOT, spot_flags=source))


def add_azure(book: OfferBook, table: str, rows: list[Row]) -> None:
    """Azure: list prices in both markets."""
    for row in rows:
        sell(book, table, row, Terms("azure", row["instance_type"], flags=_place(row)))


def add_retired(book: OfferBook, table: str, rows: list[Row]) -> None:
    """Retired machines: AWS rows repeat the AWS table, Azure rows are new; GCP ones become pairs elsewhere."""
    for row in rows:
        if row["cloud"] == "aws":
            _check_repeat(book, table, row)
        elif row["cloud"] == "azure":
            sell(book, table, row, Terms("azure", row["instance_type"], spot_flags=("low_priority_rate",)))


def add_unpriced(book: OfferBook, table: str) -> None:
    """Machines a cloud sells without a published price, so that a search for the card finds them."""
    rows = typed("unpriced_machines")
    book.ledger.opened(table, len(rows))
    for row in rows:
        offer = {
            **row, "region": "", "status": "current", "price_date": row["observed_on"],
            "source_id": row["source"], "ondemand_usd_h": "", "spot_usd_h": "",
        }  # fmt: skip
        sell(book, table, offer, Terms(row["cloud"], row["instance_type"]))


def _place(row: Row) -> tuple[str, ...]:
    return () if row["region_kind"] in ("", "region") else (row["region_kind"],)


def _check_repeat(book: OfferBook, table: str, row: Row) -> None:
    offer = book.by_cloud["aws"][row["instance_type"], row["region"], "", "on-demand"]
    if offer["usd_per_hour"] != row["ondemand_usd_h"]:
        raise SystemExit(f"{table}: {row['instance_type']} in {row['region']} has another price in the AWS table")
    book.ledger.dropped(table, "repeats a row of prices_aws.csv, price for price")
