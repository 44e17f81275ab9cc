"""Rent or own, which, why: every machine that could do the work, sifted by the wishes and ranked by cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

from gpucloud.core import advice as rules
from gpucloud.core import choose
from gpucloud.core.choose import Limits, Rejected
from gpucloud.core.memory import Fit, fit
from gpucloud.core.offers import STALE_DAYS, Accelerator, Offer
from gpucloud.core.options import Option
from gpucloud.core.owning import System, Terms, at_hand, bought, crossed, ownership
from gpucloud.core.renting import Interruptions, rented
from gpucloud.core.speed import Speed
from gpucloud.core.subject import Subject

BUSINESS = ("startup", "company")
OLD_ARCHITECTURES = ("Kepler", "Maxwell")
DEFAULT_MAX_NODES, MAX_NODES_FOR_DEADLINE = 1, 16
FAST_FABRIC_GBIT = 200.0
PLAIN_FABRICS = ("roce",)


@dataclass(frozen=True)
class Wishes:
    """What bounds and colours the choice."""

    limits: Limits = field(default_factory=Limits)
    profile: str | None = None
    stage: str = "training"
    market: str = "on-demand"
    max_nodes: int | None = None
    consumer_ok: bool = False
    rank_stale: bool = False
    interruptions: Interruptions = field(default_factory=Interruptions)
    terms: Terms = field(default_factory=Terms)
    have: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Market:
    """What can be had. `links` and `hosts` tell how the GPUs of a (cloud, instance type) hang together."""

    offers: Sequence[Offer]
    systems: Sequence[System]
    cards: Mapping[str, Accelerator]
    links: Mapping[tuple[str, str], str] = field(default_factory=dict)
    rule: str = ""


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


def recommend(subject: Subject, wishes: Wishes, market: Market) -> Recommendation:
    """The whole answer; `options` is empty when nothing meets the wishes."""
    rejected: list[Rejected] = []
    rents = list(_rents(subject, wishes, market, rejected))
    startable = [option for option in rents if option.offer and option.offer.provisionable]
    priced = [option for option in rents if option.offer and not option.offer.provisionable]
    cheapest_rent = min(_fitting(startable, wishes, []), key=lambda one: (one.usd, one.name), default=None)
    reference = cheapest_rent or min(startable or priced, key=lambda one: (one.usd, one.name), default=None)
    owns = list(_owns(subject, wishes, market, reference, rejected))
    allowed = _fitting([*startable, *owns], wishes, rejected)
    options = choose.ranked(choose.one_per_offer(allowed))
    price_only = choose.ranked(choose.one_per_offer(_fitting(priced, wishes, [])))
    return _answer(subject, wishes, market, options, allowed, price_only, rejected, cheapest_rent, owns)


def _answer(
    subject: Subject,
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
        one.because(*_reasons(one, i, best, i in ties, i in front, wishes.limits)) for i, one in enumerate(options)
    )
    by_name = {_key(one): one for one in explained}
    picks = {
        "cheapest": best,
        "fastest_within_budget": choose.fastest(allowed),
        "startable_now": choose.startable_now(options),
    }
    for_sale = [one for one in owns if one.upfront_usd > 0]
    return Recommendation(
        explained,
        {name: by_name.get(_key(one), one) if one else None for name, one in picks.items()},
        rules.advice(wishes.profile, wishes.stage, market.rule, cheapest_rent, for_sale, wishes.terms.utilisation),
        tuple(_once(rejected)),
        tuple(price_only),
        frozenset(front),
        ties,
        choose.regret(best, options) if best else 0.0,
    )


def _key(option: Option) -> tuple[str, int]:
    return option.name, option.nodes


def _fitting(options: Iterable[Option], wishes: Wishes, rejected: list[Rejected]) -> list[Option]:
    """Those within deadline and budget; the nearest failure of each offer is noted."""
    kept, fallen = [], {}
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
        words.append(f"takes {option.hours:.3g} h, the deadline is {limits.deadline_h:.3g} h")
    if choose.meets_budget(option, limits) is False:
        words.append(f"costs ${max(option.usd, option.upfront_usd):,.2f}, the budget is ${limits.budget_usd:,.2f}")
    return " and ".join(words)


def _once(rejected: Iterable[Rejected]) -> list[Rejected]:
    seen: dict[str, Rejected] = {}
    for miss in choose.nearest(rejected, 1_000_000):
        seen.setdefault(miss.name, miss)
    return list(seen.values())


def _rents(subject: Subject, wishes: Wishes, market: Market, rejected: list[Rejected]) -> Iterable[Option]:
    spots = {(one.cloud, one.instance_type): one for one in market.offers if one.market == "spot"}
    speeds: dict[tuple[object, ...], Speed | None] = {}
    for offer in market.offers:
        if wishes.market not in ("any", offer.market):
            continue
        refusal = _refusal(offer, subject, wishes, market)
        if refusal:
            rejected.append(Rejected(f"{offer.cloud} {offer.instance_type}", *refusal))
            continue
        spot = spots.get((offer.cloud, offer.instance_type))
        link = market.links.get((offer.cloud, offer.instance_type), "")
        for nodes in _node_counts(wishes):
            memory = _memory(
                subject, offer.gpu_memory_gib or _card_gib(offer.accelerator, market), offer.accelerator_count * nodes
            )
            if memory is not None and memory.verdict == "does_not_fit":
                if nodes == _node_counts(wishes)[-1]:
                    rejected.append(
                        _too_small(f"{offer.cloud} {offer.instance_type}", memory, offer.gpu_memory_gib or 0)
                    )
                continue
            key = (offer.accelerator, offer.accelerator_count, nodes, link, _fast(offer.fabric))
            if key not in speeds:
                speeds[key] = subject.speed(
                    offer.accelerator, offer.accelerator_count, nodes, link, _fast(offer.fabric)
                )
            speed = speeds[key]
            option = (
                rented(offer, nodes, speed, subject.amount, wishes.interruptions, memory=memory, spot=spot)
                if speed
                else None
            )
            if option is not None:
                yield option
    return


def _node_counts(wishes: Wishes) -> list[int]:
    limits = wishes.limits
    most = wishes.max_nodes or (MAX_NODES_FOR_DEADLINE if limits.deadline_h else DEFAULT_MAX_NODES)
    counts = [1]
    while counts[-1] * 2 <= most:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == most else [*counts, most]


def _fast(fabric: str) -> str:
    """The fabric where it is one: a slow or unknown one is an ordinary network."""
    if not fabric or fabric in PLAIN_FABRICS:
        return ""
    speed = fabric.rpartition("-")[2].removesuffix("g")
    return fabric if not speed.isdigit() or float(speed) >= FAST_FABRIC_GBIT else ""


def _card_gib(name: str, market: Market) -> float | None:
    card = market.cards.get(name)
    return card.memory_gib if card else None


def _memory(subject: Subject, gib: float | None, ranks: float) -> Fit | None:
    if subject.job is None or gib is None:
        return None
    return fit(replace(subject.job, ranks=max(1, ceil(ranks))), gib, frozenset({"method"}))


def _too_small(name: str, memory: Fit, gib: float) -> Rejected:
    return Rejected(
        name,
        f"does not fit: {memory.need.gib:.0f} GiB per GPU, it has {gib:g}",
        "memory",
        memory.need.gib / gib if gib else float("inf"),
    )


def _refusal(offer: Offer, subject: Subject, wishes: Wishes, market: Market) -> tuple[str, str] | None:
    """(reason, wish) for a machine that is not considered at all."""
    card = market.cards.get(offer.accelerator)
    if offer.usd_per_hour is None:
        return "no price is published", "a price"
    if offer.status != "current":
        return f"its price is {offer.status}", "current prices"
    if not wishes.rank_stale and (offer.age_days is None or offer.age_days >= STALE_DAYS):
        return f"its price is of {offer.observed_on or 'an unknown day'}, older than a year", "fresh prices"
    if card is None:
        return f"{offer.accelerator} is not in accelerators.csv", "known cards"
    if card.form == "tpu" and offer.cloud != "gcp":
        return "TPUs are Google's only", "TPU only under GCP"
    return _card_refusal(card, subject, wishes)


def _card_refusal(card: Accelerator, subject: Subject, wishes: Wishes) -> tuple[str, str] | None:
    if card.architecture in OLD_ARCHITECTURES:
        return f"{card.architecture} is 2-4 x slower than its successors at about the same price", "no outdated cards"
    if card.form == "consumer" and wishes.profile in BUSINESS and not wishes.consumer_ok:
        return f"a consumer card, and the profile is {wishes.profile}: its licence forbids data centres", "profile"
    vendors = {known.card.vendor for known in subject.speeds.predictor.known}
    if vendors and card.vendor not in vendors:
        return (
            f"nobody measured this work on {card.vendor or 'its vendor'}: specs alone say too little",
            "measured vendor",
        )
    return None


def _owns(
    subject: Subject, wishes: Wishes, market: Market, reference: Option | None, rejected: list[Rejected]
) -> Iterable[Option]:
    for name, count in wishes.have:
        speed = subject.speed(name, count)
        memory = _memory(subject, _card_gib(name, market), count)
        if speed is None or (memory is not None and memory.verdict == "does_not_fit"):
            miss = _too_small(f"your own {name}", memory, _card_gib(name, market) or 0) if memory else None
            rejected.append(miss or Rejected(f"your own {name}", "its specs are not known", "specs"))
            continue
        yield at_hand(market.cards[name], count, speed, subject.amount, wishes.terms, memory)
    for system in market.systems:
        option = _for_sale(system, subject, wishes, market, rejected)
        if option is not None:
            owned = ownership(system, market.cards[system.accelerator], wishes.terms)
            yield crossed(option, owned, reference) if reference else option


def _for_sale(
    system: System, subject: Subject, wishes: Wishes, market: Market, rejected: list[Rejected]
) -> Option | None:
    card = market.cards.get(system.accelerator)
    refusal = ("its card is not known", "known cards") if card is None else _card_refusal(card, subject, wishes)
    if refusal or card is None:
        rejected.append(Rejected(system.name, *(refusal or ("", ""))))
        return None
    speed = subject.speed(card.name, system.count, 1, "nvswitch" if system.kind == "prebuilt_server" else "pcie")
    memory = _memory(subject, card.memory_gib, system.count)
    if memory is not None and memory.verdict == "does_not_fit":
        rejected.append(_too_small(system.name, memory, card.memory_gib or 0))
        return None
    return bought(system, card, speed, subject.amount, wishes.terms, memory) if speed else None


def _reasons(
    option: Option, position: int, best: Option | None, is_tie: bool, on_front: bool, limits: Limits
) -> list[str]:
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
    if limits.deadline_h and option.high_hours > limits.deadline_h:
        found.append(f"may miss the deadline: up to {option.high_hours:.3g} h")
    if limits.budget_usd and option.high_usd > limits.budget_usd:
        found.append(f"may miss the budget: up to ${option.high_usd:,.2f}")
    if not option.eligible:
        found.append("listed for comparison: a purchase needs your own --utilisation to be picked")
    return found
