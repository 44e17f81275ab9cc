"""Choosing among options: constraints first, then cost against time, one pick with reasons, ties called ties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot, log
from typing import NamedTuple

from gpucloud.core.options import Option

_SLACK = 1 + 1e-9


@dataclass(frozen=True)
class Limits:
    """The wishes that bound the choice; None wishes nothing."""

    deadline_h: float | None = None
    budget_usd: float | None = None


class Rejected(NamedTuple):
    """An option that fell to one wish, and how far off it was (1 = just on the limit)."""

    name: str
    reason: str
    wish: str
    distance: float = float("inf")


def meets_deadline(option: Option, limits: Limits) -> bool | None:
    """None without a deadline. Spot has to hold it at the slow end of its interval."""
    if limits.deadline_h is None:
        return None
    return counted_hours(option) <= limits.deadline_h * _SLACK


def counted_hours(option: Option) -> float:
    """The hours that a deadline is held against: on spot those of the slow end."""
    on_spot = option.offer is not None and option.offer.market == "spot"
    return option.high_hours if on_spot else option.hours


def meets_budget(option: Option, limits: Limits) -> bool | None:
    """None without a budget. A purchase has to be paid whole."""
    if limits.budget_usd is None:
        return None
    return max(option.usd, option.upfront_usd) <= limits.budget_usd * _SLACK


def misses(option: Option, limits: Limits) -> list[tuple[str, float]]:
    """The wishes it does not meet, each with how many times over the limit it is."""
    found = []
    if meets_deadline(option, limits) is False and limits.deadline_h:
        found.append(("deadline", counted_hours(option) / limits.deadline_h))
    if meets_budget(option, limits) is False and limits.budget_usd:
        found.append(("budget", max(option.usd, option.upfront_usd) / limits.budget_usd))
    return found


def feasible(options: Iterable[Option], limits: Limits) -> list[Option]:
    """Those that meet every wish."""
    return [option for option in options if not misses(option, limits)]


def ranked(options: Iterable[Option]) -> list[Option]:
    """Cheapest first, the faster one of equals; what may not be picked comes last."""
    return sorted(options, key=_order)


def _order(option: Option) -> tuple[object, ...]:
    return (not option.eligible, option.usd, option.hours, option.name)


def one_per_offer(options: Iterable[Option]) -> list[Option]:
    """Of the node counts of one offer, the cheapest."""
    best: dict[tuple[object, ...], Option] = {}
    for option in ranked(options):
        offer = option.offer
        key = (offer.cloud, offer.instance_type, offer.market, offer.term_months) if offer else (option.system,)
        best.setdefault(key, option)
    return list(best.values())


def pareto(options: Sequence[Option]) -> set[int]:
    """Positions of options that no other one beats in both cost and time."""
    front: set[int] = set()
    fastest = float("inf")
    for position in sorted(range(len(options)), key=lambda i: (options[i].usd, options[i].hours)):
        if options[position].hours < fastest:
            front.add(position)
            fastest = options[position].hours
    return front


def tied(option: Option, best: Option) -> bool:
    """Whether the errors of the two speeds leave open which is cheaper.

    The same card errs the same way on both sides, so only its price decides; so does what all predictions share.
    """
    if option.accelerator == best.accelerator:
        return option.usd <= best.usd * _SLACK
    spread = hypot(log(option.speed.own_spread), log(best.speed.own_spread))
    return log(option.usd / best.usd) <= spread if best.usd > 0 else option.usd <= 0


def regret(best: Option, others: Iterable[Option]) -> float:
    """Largest share by which the pick could be dearer than another option, each at its unlucky end."""
    worst = 0.0
    for other in others:
        if other.eligible and other.accelerator != best.accelerator and other.usd > 0:
            unlucky = best.usd * best.speed.own_spread * other.speed.own_spread / other.usd
            worst = max(worst, unlucky - 1)
    return worst


def fastest(options: Iterable[Option]) -> Option | None:
    """The fastest that may be picked, the cheaper one of equals."""
    allowed = [option for option in options if option.eligible]
    return min(allowed, key=lambda option: (option.hours, option.usd, option.name), default=None)


def startable_now(options: Iterable[Option]) -> Option | None:
    """The cheapest that an ordinary request can start: on demand before spot, places known to be open first."""
    allowed = [option for option in ranked(options) if option.eligible and _startable(option)]
    certain = [option for option in allowed if option.offer is None or option.offer.market != "spot"] or allowed
    known = [option for option in certain if option.offer is None or option.offer.availability == "open"]
    return next(iter(known or certain), None)


def _startable(option: Option) -> bool:
    if option.offer is None:
        return option.upfront_usd == 0  # it stands here already
    return option.offer.provisionable


def nearest(rejected: Iterable[Rejected], count: int) -> list[Rejected]:
    """The rejected options that came closest."""
    return sorted(rejected, key=lambda miss: (miss.distance, miss.name))[:count]
