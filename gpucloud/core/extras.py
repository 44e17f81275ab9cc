"""What a machine costs beside its hours: its disk, also while it is stopped, its public address, what is taken home."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gpucloud.core.offers import Offer

GB_PER_GIB = 2**30 / 10**9
HOURS_PER_MONTH = 730.0  # what clouds divide a month's price by
USUAL_DISK_GIB, USUAL_DISK_GIB_WITHOUT_GPU = 100, 30


@dataclass(frozen=True)
class Besides:
    """What comes to the work itself on every rented machine. `disk_gib` None: what `up` takes."""

    setup_s: float = 0.0
    disk_gib: float | None = None
    download_gb: float = 0.0


class ExtraUsd(NamedTuple):
    """USD beside the price of the hours, None where no price is known; and the older day of disk and address."""

    disk: float | None
    address: float | None
    egress: float | None
    observed_on: str = ""

    @property
    def total(self) -> float:
        """What is known of it."""
        return sum(usd or 0.0 for usd in (self.disk, self.address, self.egress))


def extra_usd(offer: Offer, nodes: int, hours: float, besides: Besides) -> ExtraUsd:
    """What `nodes` of an offer cost in `hours` beside their price: disks, addresses, and one download at the end."""
    disk = None if offer.disk_usd_per_gib_month is None else disk_usd_per_hour(offer, nodes, besides.disk_gib) * hours
    address = None if offer.address_usd_per_hour is None else address_usd_per_hour(offer, nodes) * hours
    egress = None if offer.egress_usd_per_gb is None else offer.egress_usd_per_gb * besides.download_gb
    return ExtraUsd(disk, address, egress, offer.extras_observed_on)


def with_extras(offer: Offer, rows: Sequence[Mapping[str, Any]], on_demand_usd_per_hour: float | None = None) -> Offer:
    """The offer with the prices of disk and address where it is, and the price that spot can rise to.

    `rows` are those of extras.csv. Without one for the region, the cloud's dearest known one is taken.
    """
    disk, address, egress = (_row(offer, rows, kind) for kind in ("disk", "address", "egress"))
    dates = [str(row["observed_on"]) for row in (disk, address) if row]
    return replace(
        offer,
        on_demand_usd_per_hour=on_demand_usd_per_hour,
        disk_usd_per_gib_month=disk["usd"] if disk else None,
        address_usd_per_hour=address["usd"] if address else None,
        egress_usd_per_gb=_usd_per_gb(egress) if egress else None,
        extras_observed_on=min(dates, default=""),
    )


def _usd_per_gb(row: Mapping[str, Any]) -> float:
    """A row of extras.csv in USD per 10⁹ bytes; Google and Azure count in 2³⁰."""
    usd = float(row["usd"])
    return usd / GB_PER_GIB if row["unit"] == "GiB" else usd


def _row(offer: Offer, rows: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    known = [row for row in rows if (row["cloud"], row["kind"]) == (offer.cloud, kind)]
    here = [row for row in known if row["region"] == offer.region]
    return max(here or known, key=lambda row: row["usd"], default=None)


def disk_usd_per_hour(offer: Offer, nodes: int, disk_gib: float | None) -> float:
    """The disks of all nodes, whether they run or not; 0 where no price is known."""
    usual = USUAL_DISK_GIB if offer.accelerator_count else USUAL_DISK_GIB_WITHOUT_GPU
    return nodes * (disk_gib or usual) * (offer.disk_usd_per_gib_month or 0.0) / HOURS_PER_MONTH


def address_usd_per_hour(offer: Offer, nodes: int, private: bool = False) -> float:
    """The public addresses of all nodes; 0 without one, or where no price is known."""
    return 0.0 if private else nodes * (offer.address_usd_per_hour or 0.0)


def most_usd_per_hour(offer: Offer, nodes: int, disk_gib: float | None = None, private: bool = False) -> float | None:
    """What an hour can cost at most: the on-demand price also of spot, disk and address; None without a price."""
    if offer.usd_per_hour is None:
        return None
    machines = nodes * max(offer.usd_per_hour, offer.on_demand_usd_per_hour or 0.0)
    return machines + disk_usd_per_hour(offer, nodes, disk_gib) + address_usd_per_hour(offer, nodes, private)
