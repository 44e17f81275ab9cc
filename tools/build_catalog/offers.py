"""What all price tables share: turning a priced machine into offer rows, and the book that collects them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tools.build_catalog.ledger import Ledger
from tools.build_catalog.machines import Machines
from tools.build_catalog.names import Names
from tools.build_catalog.tables import Row, joined, typed

OfferKey = tuple[str, str, str, str]
# Flags of the source tables that speak of the spot price alone, or that the catalog says otherwise.
ABOUT_SPOT = ("spot_saving", "interruption", "spot_placeholder", "spot_zero_in_source", "low_priority")
SAID_OTHERWISE = ("spot_not_discounted", "no_ondemand")


@dataclass
class OfferBook:
    """All offers by cloud, keyed so that no offer can be in it twice, with the machines they sell."""

    ledger: Ledger
    names: Names = field(default_factory=Names)
    machines: Machines = field(default_factory=Machines)
    by_cloud: dict[str, dict[OfferKey, Row]] = field(default_factory=lambda: defaultdict(dict))
    _billing: dict[str, Row] = field(default_factory=lambda: {row["cloud"]: row for row in typed("billing")})
    _availability: list[Row] = field(default_factory=lambda: typed("availability"))

    def add(self, cloud: str, offer: Row) -> None:
        """Put one offer in; a second one under the same key is a fault of the build."""
        key = (offer["instance_type"], offer["region"], offer["zone"], offer["market"])
        if key in self.by_cloud[cloud]:
            raise SystemExit(f"two {cloud} offers are called {key}")
        billing = self._billing.get(cloud, {})
        self.by_cloud[cloud][key] = {
            "billing_increment_s": billing.get("billing_increment_s", ""),
            "minimum_s": billing.get("minimum_s", ""),
            "availability": self._available(cloud, offer),
            **offer,
        }

    def _available(self, cloud: str, offer: Row) -> str:
        for rule in self._availability:
            if rule["cloud"] == cloud and fnmatchcase(offer["instance_type"], rule["pattern"]):
                spot = offer["market"] == "spot" and rule["availability"] == "spot_only"
                return "open" if spot else rule["availability"]
        listed = cloud in ("aws", "azure", "gcp") and offer["price_kind"] != "community"
        return "open" if listed and offer["status"] != "retired" else "unknown"

    def statuses(self) -> dict[tuple[str, str], set[str]]:
        """The statuses of all offers of each machine."""
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for cloud, offers in self.by_cloud.items():
            for offer in offers.values():
                found[cloud, offer["instance_type"]].add(offer["status"])
        return found


@dataclass(frozen=True)
class Terms:
    """How a table's prices are to be read. `spot` overrides columns of spot rows only."""

    cloud: str
    instance_type: str
    zones: tuple[str, ...] = ("",)
    flags: tuple[str, ...] = ()
    columns: Row = field(default_factory=dict)
    spot: Row = field(default_factory=dict)
    spot_flags: tuple[str, ...] = ()


def sell(book: OfferBook, table: str, row: Row, terms: Terms) -> None:
    """One source row becomes its offers: a row per zone and market; the machine is registered with them."""
    accelerator, form_flags = book.names.sold_by(terms.cloud, terms.instance_type, row)
    described = book.machines.add(terms.cloud, terms.instance_type, {**row, "accelerator": accelerator})
    flags = [*row["flags"].split(";"), *terms.flags, *form_flags, *described]
    base = {
        "instance_type": terms.instance_type,
        "region": row["region"],
        "price_kind": "list",
        "observed_on": row["price_date"],
        "status": row["status"],
        "source": row["source_id"],
        **terms.columns,
    }
    made = 0
    for zone in terms.zones:
        for offer in _markets({**base, "zone": zone}, row, flags, terms):
            book.add(terms.cloud, offer)
            made += 1
    book.ledger.used(table, f"offers/{terms.cloud}.csv", made)


def _markets(base: Row, row: Row, flags: Sequence[str], terms: Terms) -> list[Row]:
    """The market rows of one place; a machine without any price gets an on-demand row that says so."""
    on_demand, spot = row["ondemand_usd_h"], row["spot_usd_h"]
    kept = [flag for flag in flags if not flag.startswith(SAID_OTHERWISE)]
    plain_flags = [flag for flag in kept if not flag.startswith(ABOUT_SPOT)]
    rows = []
    if on_demand or not spot:
        missing = [] if on_demand else ["no_price_published"]
        rows.append(
            {**base, "market": "on-demand", "usd_per_hour": on_demand, "flags": joined([*plain_flags, *missing])}
        )
    if spot or any(flag.startswith("spot_placeholder") for flag in flags):
        status, verdict = _spot_verdict(base["status"], on_demand, spot)
        all_flags = joined([*kept, *verdict, *terms.spot_flags, *([] if spot else ["no_price_published"])])
        rows.append(
            {**base, "market": "spot", "usd_per_hour": spot, **terms.spot, "status": status, "flags": all_flags}
        )
    return rows


def _spot_verdict(status: str, on_demand: str, spot: str) -> tuple[str, list[str]]:
    """A spot price above on-demand is suspect; an equal one is flagged as no discount."""
    if not on_demand or not spot or float(spot) < float(on_demand):
        return status, []
    if float(spot) == float(on_demand):
        return status, ["no_discount"]
    return ("suspect" if status == "current" else status), ["spot_above_on_demand"]
