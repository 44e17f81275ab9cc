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
from gpucloud.core.offers import Accelerator, Offer
from gpucloud.core.options import Option
from gpucloud.core.owning import System, Terms, at_hand, bought, crossed, ownership, several
from gpucloud.core.query import is_stale
from gpucloud.core.renting import Interruptions, rented
from gpucloud.core.speed import Speed
from gpucloud.core.subject import Subject

BUSINESS = ("startup", "company")
OLD_ARCHITECTURES = ("Kepler", "Maxwell")
DEFAULT_MAX_NODES, MAX_NODES_FOR_DEADLINE = 1, 16
FAST_FABRIC_GBIT = 200.0
PLAIN_FABRICS = ("roce",)
ARM, SERVER, BOUGHT_FABRIC = "arm64", "prebuilt_server", "infiniband"


@dataclass(frozen=True)
class Wishes:
    """What bounds and colours the choice."""

    limits: Limits = field(default_factory=Limits)
    profile: str | None = None
    stage: str = "training"
    market: str = "on-demand"
    max_nodes: int | None = None
    consumer_ok: bool = False
    arm_ok: bool = False
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
    old_priced: tuple[Offer, ...] = ()  # what could be started, but was left out for the age of its price


def recommend(subject: Subject, wishes: Wishes, market: Market) -> Recommendation:
    """The whole answer; `options` is empty when nothing meets the wishes."""
    rejected: list[Rejected] = []
    desk = _Desk(subject, wishes, market, rejected)
    rents = list(_rents(desk))
    startable = [option for option in rents if option.offer and option.offer.provisionable]
    priced = [option for option in rents if option.offer and not option.offer.provisionable]
    cheapest_rent = min(_fitting(startable, wishes, []), key=lambda one: (one.usd, one.name), default=None)
    reference = cheapest_rent or min(startable or priced, key=lambda one: (one.usd, one.name), default=None)
    owns = list(_owns(desk, reference))
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
        tuple(
            one for one in market.offers if one.provisionable and _is_too_old(one, wishes) and _is_bought(one, wishes)
        ),
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


@dataclass(frozen=True)
class _Desk:
    """The question with what has been worked out for it so far."""

    subject: Subject
    wishes: Wishes
    market: Market
    rejected: list[Rejected]
    speeds: dict[tuple[object, ...], Speed | None] = field(default_factory=dict)
    fits: dict[tuple[float, int], Fit] = field(default_factory=dict)

    def speed(self, card: str, count: float, nodes: int, link: str, fabric: str) -> Speed | None:
        key = (card, count, nodes, link, fabric)
        if key not in self.speeds:
            self.speeds[key] = self.subject.speed(*key)
        return self.speeds[key]

    def too_small(self, name: str, memory: Fit, gib: float) -> None:
        """Note that the model does not fit, and whether a smaller method would."""
        smaller = fit(memory.job, gib) if gib else memory
        hint = "" if smaller.verdict == "does_not_fit" else f"; it would with {', '.join(smaller.given_up)}"
        reason = f"does not fit: {memory.need.gib:.0f} GiB per GPU, it has {gib:g}{hint}"
        self.rejected.append(Rejected(name, reason, "memory", memory.need.gib / gib if gib else float("inf")))

    def memory(self, gib: float | None, ranks: float) -> Fit | None:
        """The verdict for that many GPUs together; None when nothing is known of the model or the card."""
        if self.subject.job is None or gib is None:
            return None
        key = (gib, max(1, ceil(ranks)))
        if key not in self.fits:
            self.fits[key] = fit(replace(self.subject.job, ranks=key[1]), gib, frozenset({"method"}))
        return self.fits[key]


def _rents(desk: _Desk) -> Iterable[Option]:
    spots = {(one.cloud, one.instance_type): one for one in desk.market.offers if one.market == "spot"}
    for offer in desk.market.offers:
        if not _is_bought(offer, desk.wishes):
            continue
        refusal = _refusal(offer, desk)
        if refusal:
            desk.rejected.append(Rejected(f"{offer.cloud} {offer.instance_type}", *refusal))
            continue
        yield from _by_nodes(offer, spots.get((offer.cloud, offer.instance_type)), desk)


def _is_bought(offer: Offer, wishes: Wishes) -> bool:
    return wishes.market in ("any", offer.market)


def _by_nodes(offer: Offer, spot: Offer | None, desk: _Desk) -> Iterable[Option]:
    """The offer with each number of nodes that the model fits on."""
    link = desk.market.links.get((offer.cloud, offer.instance_type), "")
    gib = offer.gpu_memory_gib or _card_gib(offer.accelerator, desk.market)
    memory = None
    for nodes in _node_counts(desk.wishes):
        memory = desk.memory(gib, offer.accelerator_count * nodes)
        if memory is not None and memory.verdict == "does_not_fit":
            continue
        speed = desk.speed(offer.accelerator, offer.accelerator_count, nodes, link, _fast(offer.fabric))
        if speed is None:
            desk.rejected.append(Rejected(f"{offer.cloud} {offer.instance_type}", "its specs are not known", "specs"))
            return
        about, amount = desk.wishes.interruptions, desk.subject.amount
        option = rented(offer, nodes, speed, amount, about, memory=memory, spot=spot)
        if option is not None:
            yield option
    if memory is not None and memory.verdict == "does_not_fit":
        desk.too_small(f"{offer.cloud} {offer.instance_type}", memory, gib or 0)


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


def _is_too_old(offer: Offer, wishes: Wishes) -> bool:
    return is_stale(offer) and not wishes.rank_stale


def _refusal(offer: Offer, desk: _Desk) -> tuple[str, str] | None:
    """(reason, wish) for a machine that is not considered at all."""
    card = desk.market.cards.get(offer.accelerator)
    if offer.usd_per_hour is None:
        return "no price is published", "a price"
    if offer.status != "current":
        return f"its price is {offer.status}", "current prices"
    if _is_too_old(offer, desk.wishes):
        return f"its price is of {offer.observed_on or 'an unknown day'}, older than a year", "fresh prices"
    if card is None:
        return f"{offer.accelerator} is not in accelerators.csv", "known cards"
    if card.form == "tpu" and offer.cloud != "gcp":
        return "TPUs are Google's only", "TPU only under GCP"
    if offer.arch == ARM and not desk.wishes.arm_ok:
        return "its host is arm64: images and wheels for x86 do not run there", "--arch x86_64"
    return _card_refusal(card, desk)


def _card_refusal(card: Accelerator, desk: _Desk) -> tuple[str, str] | None:
    profile = desk.wishes.profile
    if card.architecture in OLD_ARCHITECTURES:
        return f"{card.architecture} is 2-4 x slower than its successors at about the same price", "no outdated cards"
    if card.form == "consumer" and profile in BUSINESS and not desk.wishes.consumer_ok:
        reason = f"a consumer card, and the profile is {profile}: its licence forbids data centres"
        return reason, "profile"
    vendors = {known.card.vendor for known in desk.subject.speeds.predictor.known}
    if vendors and card.vendor not in vendors:
        return (
            f"nobody measured this work on {card.vendor or 'its vendor'}: specs alone say too little",
            "measured vendor",
        )
    return None


def _owns(desk: _Desk, reference: Option | None) -> Iterable[Option]:
    for name, count in desk.wishes.have:
        yield from _owned_already(name, count, desk)
    for system in desk.market.systems:
        yield from _for_sale(system, desk, reference)


def _owned_already(name: str, count: float, desk: _Desk) -> Iterable[Option]:
    gib = _card_gib(name, desk.market)
    speed, memory = desk.speed(name, count, 1, "", ""), desk.memory(gib, count)
    title = f"your own {count:g} x {name}"
    if memory is not None and memory.verdict == "does_not_fit":
        desk.too_small(title, memory, gib or 0)
    elif speed is None:
        desk.rejected.append(Rejected(title, "its specs are not known", "specs"))
    else:
        yield at_hand(desk.market.cards[name], count, speed, desk.subject.amount, desk.wishes.terms, memory)


def _for_sale(system: System, desk: _Desk, reference: Option | None) -> Iterable[Option]:
    card = desk.market.cards.get(system.accelerator)
    refusal = ("its card is not known", "known cards") if card is None else _card_refusal(card, desk)
    if refusal or card is None:
        desk.rejected.append(Rejected(system.name, *(refusal or ("", ""))))
        return
    server = system.kind == SERVER
    link, fabric = ("nvswitch", BOUGHT_FABRIC) if server else ("pcie", "")
    memory = None
    for nodes in _node_counts(desk.wishes) if server else [1]:
        memory = desk.memory(card.memory_gib, system.count * nodes)
        speed = desk.speed(card.name, system.count, nodes, link, fabric)
        if speed is None or (memory is not None and memory.verdict == "does_not_fit"):
            continue
        together = several(system, nodes)
        option = bought(together, card, speed, desk.subject.amount, desk.wishes.terms, memory)
        yield crossed(option, ownership(together, card, desk.wishes.terms), reference) if reference else option
    if memory is not None and memory.verdict == "does_not_fit":
        desk.too_small(system.name, memory, card.memory_gib or 0)


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
