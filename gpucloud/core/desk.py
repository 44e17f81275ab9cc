"""The question of `recommend` on one desk: wishes, what can be had, what was worked out, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from gpucloud.core.choose import Limits, Rejected
from gpucloud.core.extras import Besides
from gpucloud.core.memory import Fit, fit
from gpucloud.core.offers import Accelerator, Offer
from gpucloud.core.owning import System, Terms
from gpucloud.core.query import is_stale
from gpucloud.core.renting import Interruptions
from gpucloud.core.speed import Speed
from gpucloud.core.subject import Subject

BUSINESS = ("startup", "company")
OLD_ARCHITECTURES = ("Kepler", "Maxwell")
DEFAULT_MAX_NODES, MAX_NODES_FOR_DEADLINE = 1, 16
ARM = "arm64"


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
    besides: Besides = field(default_factory=Besides)


@dataclass(frozen=True)
class Market:
    """What can be had. `links` tells how the GPUs of a (cloud, instance type) hang together; `own` stands here."""

    offers: Sequence[Offer]
    systems: Sequence[System]
    cards: Mapping[str, Accelerator]
    links: Mapping[tuple[str, str], str] = field(default_factory=dict)
    rule: str = ""
    own: Sequence[Offer] = ()


@dataclass(frozen=True)
class Desk:
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


def node_counts(wishes: Wishes) -> list[int]:
    """Powers of two up to what is allowed, and that number itself."""
    limits = wishes.limits
    most = wishes.max_nodes or (MAX_NODES_FOR_DEADLINE if limits.deadline_h else DEFAULT_MAX_NODES)
    counts = [1]
    while counts[-1] * 2 <= most:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == most else [*counts, most]


def card_gib(name: str, market: Market) -> float | None:
    """Memory of one GPU; None for an unknown card."""
    card = market.cards.get(name)
    return card.memory_gib if card else None


def is_bought(offer: Offer, wishes: Wishes) -> bool:
    """Whether that market is asked for."""
    return wishes.market in ("any", offer.market)


def is_too_old(offer: Offer, wishes: Wishes) -> bool:
    """Whether the age of its price keeps an offer out."""
    return is_stale(offer) and not wishes.rank_stale


def refusal(offer: Offer, desk: Desk) -> tuple[str, str] | None:
    """(reason, wish) for a machine that is not considered at all."""
    card = desk.market.cards.get(offer.accelerator)
    if offer.usd_per_hour is None:
        return "no price is published", "a price"
    if offer.status != "current":
        return f"its price is {offer.status}", "current prices"
    if is_too_old(offer, desk.wishes):
        return f"its price is of {offer.observed_on or 'an unknown day'}, older than a year", "fresh prices"
    if card is None:
        return f"{offer.accelerator} is not in accelerators.csv", "known cards"
    if card.form == "tpu" and offer.cloud != "gcp":
        return "TPUs are Google's only", "TPU only under GCP"
    if offer.arch == ARM and not desk.wishes.arm_ok:
        return "its host is arm64: images and wheels for x86 do not run there", "--arch x86_64"
    return card_refusal(card, desk)


def card_refusal(card: Accelerator, desk: Desk) -> tuple[str, str] | None:
    """(reason, wish) for a card that this work or profile has no use for."""
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
