"""The data rules that mark rows after all offers are known: outliers over regions are suspect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

from tools.build_catalog.offers import OfferBook
from tools.build_catalog.tables import Row, joined

OUTLIER_FACTOR = 3.0


def mark_outliers(book: OfferBook) -> int:
    """Mark offers far from the median of their type and market over regions; returns how many became suspect.

    Above three times the median is suspect. Below a third of it is flagged, for spot prices do fall that low; where
    one list alone says so, it is suspect too.
    """
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
            marked += _compare(offer, float(offer["usd_per_hour"]) / middle)
    return marked


def _compare(offer: Row, ratio: float) -> bool:
    """Flag one offer by its price over the median; true when that made it suspect."""
    flags = offer["flags"].split(";")
    if ratio > OUTLIER_FACTOR:
        flags.append("beyond_3x_median")
    elif ratio < 1 / OUTLIER_FACTOR:
        flags.append("below_third_of_median")
    doubted = "beyond_3x_median" in flags or {"below_third_of_median", "single_source"} <= set(flags)
    offer["flags"] = joined(flags)
    if doubted and offer["status"] == "current":
        offer["status"] = "suspect"
        return True
    return False
