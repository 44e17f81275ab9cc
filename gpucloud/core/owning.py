"""From a machine that can be bought, or stands here already, to an owned option and its crossing with renting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from gpucloud.core.memory import Fit
from gpucloud.core.offers import Accelerator
from gpucloud.core.options import Crossing, Option
from gpucloud.core.ownership import DAYS_PER_YEAR, Ownership
from gpucloud.core.pricing import usd_per_unit_work
from gpucloud.core.speed import Speed

HOST_WATTS_SHARE = 1.35  # host, fans and losses over the cards' own power, where no figure is published
SYSTEM_KINDS = ("prebuilt_server", "prebuilt_workstation", "diy")
MOST_GPUS = 16
# Dettmers' priors: personal machines 5-15 %, a group's cluster above 35 %, a company's above 60 %.
UTILISATION = {"hobbyist": 0.10, "startup": 0.35, "company": 0.60}
DEFAULT_UTILISATION = 0.35
CURVE = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # shares at which the cost is told


@dataclass(frozen=True)
class Terms:
    """What owning costs beside the price; every figure is shown with the answer."""

    utilisation: float = DEFAULT_UTILISATION
    years: float = 3.0
    rate: float = 0.10
    resale_share: float = 0.20
    usd_per_kwh: float = 0.148
    pue: float = 1.5
    idle_share: float = 0.30
    colo_usd_per_kw_month: float = 184.06
    ops_usd_per_server_year: float = 10000.0
    support_share: float = 0.03
    stated_use: bool = False


@dataclass(frozen=True)
class System:
    """A machine for sale. `watts` None: from the cards."""

    name: str
    kind: str
    accelerator: str
    count: float
    usd: float
    watts: float | None = None
    year: int | None = None
    price_kind: str = "list"
    nodes: int = 1


def systems(rows: tuple[Mapping[str, Any], ...]) -> list[System]:
    """The whole machines of the on-premises table that have a price (cards alone are left out)."""
    whole = [row for row in rows if row["kind"] in SYSTEM_KINDS and row["usd"] and row["accelerator_count"]]
    return [_system(row) for row in whole if row["accelerator"] and row["accelerator_count"] <= MOST_GPUS]


def _system(row: Mapping[str, Any]) -> System:
    return System(
        row["system"],
        row["kind"],
        row["accelerator"],
        row["accelerator_count"],
        row["usd"],
        row["watts"],
        row["year"],
        row["price_kind"] or "list",
    )


def watts_of(system: System, card: Accelerator) -> float:
    """Power at work: published, else the cards' limit with a share for the host."""
    return system.watts or (card.tdp_w or 300.0) * system.count * HOST_WATTS_SHARE


def ownership(system: System, card: Accelerator, terms: Terms) -> Ownership:
    """The purchase under these terms: servers stand in a data centre, workstations under a desk."""
    server = system.kind == "prebuilt_server"
    watts = watts_of(system, card)
    space = (
        watts / 1000 * terms.colo_usd_per_kw_month * 12 + terms.ops_usd_per_server_year * system.nodes
        if server
        else 0.0
    )
    return Ownership(
        price_usd=system.usd,
        years=terms.years,
        utilisation=terms.utilisation,
        watts=watts,
        usd_per_kwh=terms.usd_per_kwh,
        pue=terms.pue if server else 1.0,
        idle_share=terms.idle_share,
        yearly_usd=space + (terms.support_share * system.usd if server else 0.0),
        resale_usd=terms.resale_share * system.usd,
        rate=terms.rate,
    )


def several(system: System, nodes: int) -> System:
    """`nodes` of them as one purchase."""
    if nodes == 1:
        return system
    watts = None if system.watts is None else system.watts * nodes
    return replace(
        system,
        name=f"{nodes} x {system.name}",
        count=system.count * nodes,
        usd=system.usd * nodes,
        watts=watts,
        nodes=nodes,
    )


def bought(
    system: System, card: Accelerator, speed: Speed, work: float, terms: Terms, memory: Fit | None = None
) -> Option:
    """The option of buying `system`: this work pays for its share of the used hours."""
    owned = ownership(system, card, terms)
    per_hour = owned.usd_per_hour()
    warnings = [f"needs ${system.usd:,.0f} at once"]
    if system.nodes > 1:
        warnings.append("the network between the machines is not in the price")
    if system.price_kind != "list":
        warnings.append(f"its price is an {system.price_kind} of {system.year or 'an unknown year'}")
    if system.watts is None:
        warnings.append(f"power of {watts_of(system, card):.0f} W estimated from the cards")
    option = _owned(system.name, card.name, system.count, speed, work, per_hour, memory)
    option = replace(option, nodes=system.nodes, accelerator_count=system.count / system.nodes)
    crossing = Crossing(None, None, per_hour)
    return replace(option, upfront_usd=system.usd, own=crossing, warnings=tuple(warnings), eligible=terms.stated_use)


def at_hand(
    card: Accelerator, count: float, speed: Speed, work: float, terms: Terms, memory: Fit | None = None
) -> Option:
    """The option of machines that stand here already: only their electricity counts."""
    watts = (card.tdp_w or 300.0) * count * HOST_WATTS_SHARE
    per_hour = watts / 1000 * terms.usd_per_kwh
    option = _owned(f"your own {count:g} x {card.name}", card.name, count, speed, work, per_hour, memory)
    return replace(
        option,
        own=Crossing(0.0, 0, per_hour),
        reasons=("it is paid for: only electricity is counted",),
    )


def _owned(
    name: str, card: str, count: float, speed: Speed, work: float, per_hour: float, memory: Fit | None
) -> Option:
    hours, low, high = (work / rate / 3600 for rate in (speed.value, speed.high, speed.low))
    return Option(
        "own", card, count, 1, speed, hours, low, high, hours * per_hour, low * per_hour, high * per_hour,
        system=name, memory=memory, usd_per_unit_work=usd_per_unit_work(per_hour, speed.value, speed.unit),
    )  # fmt: skip


def crossed(option: Option, owned: Ownership, rent: Option) -> Option:
    """With its crossing against `rent`: what the same work costs there, per hour of the owned machine."""
    rent_per_hour = rent.usd / option.hours
    days = owned.break_even_days(rent_per_hour)
    use = owned.break_even_utilisation(rent_per_hour)
    month = None if days is None or days > owned.years * DAYS_PER_YEAR else ceil(days / (DAYS_PER_YEAR / 12))
    curve = tuple((share, replace(owned, utilisation=share).usd_per_hour()) for share in CURVE)
    crossing = Crossing(use, month, owned.usd_per_hour(), rent.name, rent_per_hour, curve)
    return replace(option, own=crossing).because(_words(use, month, owned, rent.name))


def _words(use: float | None, month: int | None, owned: Ownership, rent: str) -> str:
    if use is None or use > 1:
        return f"never pays against {rent}"
    paid = f"repaid in month {month}" if month else f"not repaid within {owned.years:g} years"
    return f"pays above {use:.0%} use against {rent}; at {owned.utilisation:.0%}: {paid}"
