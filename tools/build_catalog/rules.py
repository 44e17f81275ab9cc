"""The data rules that mark rows after all offers are known: outliers over regions are suspect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

from tools.build_catalog.offers import OfferBook
from tools.build_catalog.tables import Row, joined

OUTLIER_FACTOR = 3.0


def mark_outliers(book: OfferBook) -> int:
    """Mark current offers beyond 3 x the median of their type and market over regions; returns how many."""
    return sum(_mark(offers.values()) for offers in book.by_cloud.values())


def _mark(offers: Iterable[Row]) -> int:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for offer in offers:
        if offer["usd_per_hour"] and offer["price_kind"] != "community":
            groups[offer["instance_type"], offer["market"]].append(offer)
    marked = 0
    for group in groups.values():
        middle = median(float(offer["usd_per_hour"]) for offer in group)
        for offer in group:
            if float(offer["usd_per_hour"]) > OUTLIER_FACTOR * middle:
                marked += offer["status"] == "current"
                offer["status"] = "suspect" if offer["status"] == "current" else offer["status"]
                offer["flags"] = joined([*offer["flags"].split(";"), "beyond_3x_median"])
    return marked
