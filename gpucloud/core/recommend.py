"""Rent or own, which, why: every machine that could do the work, sifted by the wishes and ranked by cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpucloud.core import advice as rules
from gpucloud.core import choose
from gpucloud.core.choose import Limits, Rejected
from gpucloud.core.desk import Desk, Market, Wishes, is_bought, is_too_old
from gpucloud.core.offers import Offer
from gpucloud.core.options import Option
from gpucloud.core.owned import owned_options
from gpucloud.core.rentals import rented_options
from gpucloud.core.subject import Subject


@dataclass(frozen=True)
class Recommendation:
    """Options in order, the picks among them, what fell to which wish, and what only has a price."""

    options: tuple[Option, ...]
    picks: Mapping[str, Option | None]
    advice: Mapping[str, Any] | None
    rejected: tuple[Rejected, ...]
    price_only: tuple[Option, ...]
    pareto: frozenset[int]
    ties: frozenset[int]
    regret: float
    old_priced: tuple[Offer, ...] = ()  # what could be started, but was left out for the age of its price


def recommend(subject: Subject, wishes: Wishes, market: Market) -> Recommendation:
    """The whole answer; `options` is empty when nothing meets the wishes."""
    rejected: list[Rejected] = []
    desk = Desk(subject, wishes, market, rejected)
    rents = list(rented_options(desk))
    startable = [option for option in rents if option.offer and option.offer.provisionable]
    priced = [option for option in rents if option.offer and not option.offer.provisionable]
    cheapest_rent = min(_fitting(startable, wishes, []), key=lambda one: (one.usd, one.name), default=None)
    reference = cheapest_rent or min(startable or priced, key=lambda one: (one.usd, one.name), default=None)
    owns = list(owned_options(desk, reference))
    allowed = _fitting([*startable, *owns], wishes, rejected)
    options = choose.ranked(choose.one_per_offer(allowed))
    price_only = choose.ranked(choose.one_per_offer(_fitting(priced, wishes, [])))
    return _answer(wishes, market, options, allowed, price_only, rejected, cheapest_rent, owns)


def _answer(
    wishes: Wishes,
    market: Market,
    options: list[Option],
    allowed: list[Option],
    price_only: list[Option],
    rejected: list[Rejected],
    cheapest_rent: Option | None,
    owns: list[Option],
) -> Recommendation:
    best = next((option for option in options if option.eligible), None)
    ties = frozenset(
        i for i, one in enumerate(options) if best and one.eligible and one is not best and choose.tied(one, best)
    )
    front = choose.pareto(options)
    explained = tuple(
        replace(one, warnings=(*_risks(one, wishes.limits), *one.warnings)).because(
            *_reasons(one, i, best, i in ties, i in front)
        )
        for i, one in enumerate(options)
    )
    by_name = {_key(one): one for one in explained}
    picks = {
        "cheapest": best,
        "fastest_within_budget": choose.fastest(allowed),
        "startable_now": choose.startable_now(options),
    }
    in_time = [one for one in owns if one.upfront_usd > 0 and choose.meets_deadline(one, wishes.limits) is not False]
    return Recommendation(
        explained,
        {name: by_name.get(_key(one), one) if one else None for name, one in picks.items()},
        rules.advice(wishes.profile, wishes.stage, market.rule, cheapest_rent, in_time, wishes.terms.utilisation),
        tuple(_once(rejected)),
        tuple(price_only),
        frozenset(front),
        ties,
        choose.regret(best, options) if best else 0.0,
        tuple(one for one in market.offers if one.provisionable and is_too_old(one, wishes) and is_bought(one, wishes)),
    )


def _risks(option: Option, limits: Limits) -> tuple[str, ...]:
    """What happens at the slow end of the interval."""
    late = limits.deadline_h is not None and option.high_hours > limits.deadline_h
    dear = limits.budget_usd is not None and option.high_usd > limits.budget_usd
    return (
        *((f"may miss the deadline: up to {option.high_hours:.3g} h",) if late else ()),
        *((f"may miss the budget: up to ${option.high_usd:,.2f}",) if dear else ()),
    )


def _key(option: Option) -> tuple[str, int]:
    return option.name, option.nodes


def _fitting(options: Iterable[Option], wishes: Wishes, rejected: list[Rejected]) -> list[Option]:
    """Those within deadline and budget; the nearest failure of each offer is noted."""
    kept: list[Option] = []
    fallen: dict[str, Rejected] = {}
    for option in options:
        misses = choose.misses(option, wishes.limits)
        if not misses:
            kept.append(option)
            continue
        distance = max(far for _, far in misses)
        if option.name not in fallen or distance < fallen[option.name].distance:
            wish = " and ".join(name for name, _ in misses)
            fallen[option.name] = Rejected(option.name, _miss_words(option, wishes.limits), wish, distance)
    rejected.extend(fallen.values())
    return kept


def _miss_words(option: Option, limits: Limits) -> str:
    words = []
    if choose.meets_deadline(option, limits) is False:
        hours = choose.counted_hours(option)
        takes = f"takes {hours:.3g} h" if hours == option.hours else f"takes up to {hours:.3g} h on spot"
        words.append(f"{takes}, the deadline is {limits.deadline_h:.3g} h")
    if choose.meets_budget(option, limits) is False:
        words.append(f"costs ${max(option.usd, option.upfront_usd):,.2f}, the budget is ${limits.budget_usd:,.2f}")
    return " and ".join(words)


def _once(rejected: Iterable[Rejected]) -> list[Rejected]:
    seen: dict[str, Rejected] = {}
    for miss in choose.nearest(rejected, 1_000_000):
        seen.setdefault(miss.name, miss)
    return list(seen.values())


def _reasons(option: Option, position: int, best: Option | None, is_tie: bool, on_front: bool) -> list[str]:
    found = [option.speed.way]
    if option.memory is not None and option.memory.given_up:
        found.append("fits with " + ", ".join(option.memory.given_up))
    if best is None:
        return found
    if position == 0 and option.eligible:
        found.append("the cheapest that meets the wishes")
    elif is_tie:
        found.append("a tie with the first: the error of the speeds leaves open which is cheaper")
    elif option.usd > best.usd and on_front:
        found.append(f"{best.hours / option.hours:.1f} x faster for {option.usd / best.usd:.1f} x the money")
    if not option.eligible:
        found.append("listed for comparison: a purchase needs your own --utilisation to be picked")
    return found
