"""history/aws.csv: prices that stood in earlier lists, with the days between which they were seen."""

from __future__ import annotations

from tools.build_catalog.ledger import Ledger
from tools.build_catalog.tables import Row

FILE = "history/aws.csv"
LISTED, SPOT = "prices_aws_us_east_1_history.csv", "prices_aws_spot_2021.csv"
LIST_SOURCE, LIST_REGION = "karpenter-aws", "us-east-1"
SPOT_SOURCE, SPOT_DAY = "spotinfo-2021", "2021-04-06"


def history_rows(listed: list[Row], spot: list[Row], ledger: Ledger) -> list[Row]:
    """One row per price and the days of its first and last sight, by type, region and day."""
    rows = [_listed(row) for row in listed] + [_spot(row) for row in spot]
    for table, count in ((LISTED, len(listed)), (SPOT, len(spot))):
        for _ in range(count):
            ledger.used(table, FILE, 1)
    return sorted(rows, key=lambda row: (row["instance_type"], row["region"], row["market"], row["observed_on"]))


def _listed(row: Row) -> Row:
    return {
        "instance_type": row["instance_type"],
        "region": LIST_REGION,
        "market": "on-demand",
        "usd_per_hour": row["ondemand_usd_h"],
        "observed_on": row["first_seen"],
        "last_seen": row["last_seen"],
        "status": "current",
        "source": LIST_SOURCE,
    }


def _spot(row: Row) -> Row:
    return {
        "instance_type": row["instance_type"],
        "region": row["region"],
        "market": "spot",
        "usd_per_hour": row["spot_usd_h"],
        "observed_on": SPOT_DAY,
        "last_seen": SPOT_DAY,
        "status": "current",
        "source": SPOT_SOURCE,
    }
