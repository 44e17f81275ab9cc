"""What prices were: the shipped history, what refreshes have kept, and the price that holds now."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from gpucloud.catalog.load import parse_cell
from gpucloud.catalog.schema import Column, day, one_of, positive, text
from gpucloud.core.errors import UsageError
from gpucloud.core.offers import Offer

FOLDER = "history"
COLUMNS = (
    Column("instance_type", text, required=True),
    Column("region", text, empty=""),
    Column("zone", text, empty=""),
    Column("market", one_of("on-demand", "spot", "reserved"), empty="on-demand"),
    Column("usd_per_hour", positive),
    Column("observed_on", day, required=True),
    Column("last_seen", day, empty=""),
    Column("status", one_of("current", "retired", "suspect"), empty="current"),
    Column("source", text, empty=""),
)


class PastPrice(NamedTuple):
    """A price of a machine in a place, and the days of its first and last sight (empty: until the next line)."""

    cloud: str
    instance_type: str
    region: str
    zone: str
    market: str
    usd_per_hour: float | None
    observed_on: str
    last_seen: str
    status: str
    source: str

    @property
    def series(self) -> tuple[str, str, str, str, str]:
        """What stays the same along a series of prices."""
        return (self.cloud, self.instance_type, self.region, self.zone, self.market)


def past_prices(folder: Path, wanted: Collection[tuple[str, str]]) -> Iterator[PastPrice]:
    """The lines of one layer about these (cloud, instance type) pairs. Raises UsageError at a bad line."""
    for cloud in sorted({cloud for cloud, _ in wanted}):
        path = folder / FOLDER / f"{cloud}.csv"
        if path.is_file():
            names = {name for owner, name in wanted if owner == cloud}
            yield from _of_file(path, cloud, names)


def _of_file(path: Path, cloud: str, names: Collection[str]) -> Iterator[PastPrice]:
    with path.open(encoding="ascii", newline="") as stream:
        reader = csv.DictReader(stream)
        for cells in reader:
            if cells.get("instance_type") in names:
                try:
                    values = [parse_cell(cells.get(column.name) or "", column) for column in COLUMNS]
                except ValueError as error:
                    raise UsageError(f"{path}, line {reader.line_num}: a cell {error}.", "Correct the line.") from None
                yield PastPrice(cloud, *values)


def price_now(offer: Offer) -> PastPrice:
    """An offer as the newest line of its series."""
    place = (offer.cloud, offer.instance_type, offer.region, offer.zone, offer.market)
    return PastPrice(*place, offer.usd_per_hour, offer.observed_on, "", offer.status, offer.source)


def in_order(lines: Collection[PastPrice]) -> list[PastPrice]:
    """By series, then by day; a line that only repeats the one before it is left out."""
    kept: list[PastPrice] = []
    for line in sorted(set(lines), key=lambda line: (line.series, line.observed_on, line.last_seen)):
        before = kept[-1] if kept and kept[-1].series == line.series else None
        same = before is not None and (before.usd_per_hour, before.status) == (line.usd_per_hour, line.status)
        if before is not None and same:
            kept[-1] = before._replace(last_seen=max(before.last_seen, line.last_seen, line.observed_on))
        else:
            kept.append(line)
    return kept
