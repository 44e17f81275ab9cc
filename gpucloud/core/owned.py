"""What is owned or can be bought for a piece of work: machines that stand here, GPUs at hand, systems for sale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gpucloud.core.choose import Rejected
from gpucloud.core.desk import Desk, card_gib, card_refusal, node_counts
from gpucloud.core.offers import Offer
from gpucloud.core.options import Option
from gpucloud.core.owning import System, at_hand, bought, crossed, ownership, several

SERVER, BOUGHT_FABRIC = "prebuilt_server", "infiniband"


def owned_options(desk: Desk, reference: Option | None) -> Iterable[Option]:
    """GPUs at hand, machines of yours, and systems for sale with their crossing with renting."""
    for name, count in desk.wishes.have:
        words = f"gpucloud up --cloud ssh --gpu {name}:{count:g}"
        yield from _at_hand(name, count, f"your own {count:g} x {name}", words, desk)
    for offer in desk.market.own:
        yield from _machine(offer, desk)
    for system in desk.market.systems:
        yield from _for_sale(system, desk, reference)


def _machine(offer: Offer, desk: Desk) -> Iterable[Option]:
    """A machine of yours, or a part of its GPUs."""
    name, count = offer.accelerator, offer.accelerator_count
    words = f"gpucloud up --cloud {offer.cloud} --gpu {name}:{count:g} --region {offer.region}"
    title = f"your {offer.region}, {count:g} x {name}"
    for option in _at_hand(name, count, title, words, desk):
        yield replace(option, warnings=(*option.warnings, "whether its GPUs are free now was not asked"))


def _at_hand(name: str, count: float, title: str, command: str, desk: Desk) -> Iterable[Option]:
    gib = card_gib(name, desk.market)
    speed, memory = desk.speed(name, count, 1, "", ""), desk.memory(gib, count)
    if memory is not None and memory.verdict == "does_not_fit":
        desk.too_small(title, memory, gib or 0)
    elif speed is None:
        desk.rejected.append(Rejected(title, "its specs are not known", "specs"))
    else:
        option = at_hand(desk.market.cards[name], count, speed, desk.subject.amount, desk.wishes.terms, memory)
        yield replace(option, system=title, command=command)


def _for_sale(system: System, desk: Desk, reference: Option | None) -> Iterable[Option]:
    card = desk.market.cards.get(system.accelerator)
    refused = ("its card is not known", "known cards") if card is None else card_refusal(card, desk)
    if refused or card is None:
        desk.rejected.append(Rejected(system.name, *(refused or ("", ""))))
        return
    server = system.kind == SERVER
    link, fabric = ("nvswitch", BOUGHT_FABRIC) if server else ("pcie", "")
    memory = None
    for nodes in node_counts(desk.wishes) if server else [1]:
        memory = desk.memory(card.memory_gib, system.count * nodes)
        speed = desk.speed(card.name, system.count, nodes, link, fabric)
        if speed is None or (memory is not None and memory.verdict == "does_not_fit"):
            continue
        together = several(system, nodes)
        option = bought(together, card, speed, desk.subject.amount, desk.wishes.terms, memory)
        yield crossed(option, ownership(together, card, desk.wishes.terms), reference) if reference else option
    if memory is not None and memory.verdict == "does_not_fit":
        desk.too_small(system.name, memory, card.memory_gib or 0)
