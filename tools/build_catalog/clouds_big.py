"""AWS, Azure and their retired machines: on-demand and spot side by side in a row of the source."""

from __future__ import annotations

from tools.build_catalog.offers import OfferBook, Terms, sell
from tools.build_catalog.tables import Row, typed

LATER_AWS = "typed/aws_later_prices.csv"  # the same list of a later day
# AWS publishes no spot price here: an estimate is the advisor's saving taken off the on-demand price.
AWS_SPOT = {"price_kind": "estimate", "observed_on": "2025-06-28", "source": "spotinfo-advisor"}


def add_aws(book: OfferBook, table: str, rows: list[Row]) -> None:
    """AWS: list prices on demand, estimates for spot."""
    later = _later_prices(book)
    described = {row["instance_type"]: row for row in rows}
    for row in rows:
        spot_from = (f"ondemand_from={row['source_id']}",)
        seen_again = later.pop((row["instance_type"], row["region"]), None)
        if seen_again:
            book.ledger.used(LATER_AWS)
        _sell_aws(book, table, {**row, **(seen_again or {})}, spot_from)
    for (instance_type, region), price in later.items():
        machine = {**described[instance_type], "spot_usd_h": "", "flags": ""}
        _sell_aws(book, LATER_AWS, {**machine, "region": region, "region_kind": _kind_of(region), **price})


def _sell_aws(book: OfferBook, table: str, row: Row, spot_flags: tuple[str, ...] = ()) -> None:
    sell(book, table, row, Terms("aws", row["instance_type"], flags=_place(row), spot=AWS_SPOT, spot_flags=spot_flags))


def _later_prices(book: OfferBook) -> dict[tuple[str, str], Row]:
    """What a newer list says of a type in a region: the price, its day and its source."""
    rows = typed("aws_later_prices")
    book.ledger.opened(LATER_AWS, len(rows))
    return {
        (row["instance_type"], row["region"]): {
            "ondemand_usd_h": row["usd_per_hour"], "price_date": row["observed_on"], "source_id": row["source"],
        }
        for row in rows
    }  # fmt: skip


def _kind_of(region: str) -> str:
    if region.startswith("us-gov-"):
        return "gov"
    return "local_zone" if region.count("-") > 2 else "region"


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
