"""What can be rented for a piece of work: each offer with each number of machines that the model fits on."""

from __future__ import annotations

from collections.abc import Iterable

from gpucloud.core.choose import Rejected
from gpucloud.core.desk import Desk, card_gib, is_bought, node_counts, refusal
from gpucloud.core.offers import Offer
from gpucloud.core.options import Option
from gpucloud.core.renting import rented

FAST_FABRIC_GBIT = 200.0
PLAIN_FABRICS = ("roce",)


def rented_options(desk: Desk) -> Iterable[Option]:
    """Every offer of the market that is asked for; what is out of the question is noted with its reason."""
    spots = {(one.cloud, one.instance_type): one for one in desk.market.offers if one.market == "spot"}
    for offer in desk.market.offers:
        if not is_bought(offer, desk.wishes):
            continue
        refused = refusal(offer, desk)
        if refused:
            desk.rejected.append(Rejected(f"{offer.cloud} {offer.instance_type}", *refused))
            continue
        yield from _by_nodes(offer, spots.get((offer.cloud, offer.instance_type)), desk)


def _by_nodes(offer: Offer, spot: Offer | None, desk: Desk) -> Iterable[Option]:
    """The offer with each number of nodes that the model fits on."""
    link = desk.market.links.get((offer.cloud, offer.instance_type), "")
    gib = offer.gpu_memory_gib or card_gib(offer.accelerator, desk.market)
    memory = None
    for nodes in node_counts(desk.wishes):
        memory = desk.memory(gib, offer.accelerator_count * nodes)
        if memory is not None and memory.verdict == "does_not_fit":
            continue
        speed = desk.speed(offer.accelerator, offer.accelerator_count, nodes, link, fast(offer.fabric))
        if speed is None:
            desk.rejected.append(Rejected(f"{offer.cloud} {offer.instance_type}", "its specs are not known", "specs"))
            return
        about, amount = desk.wishes.interruptions, desk.subject.amount
        option = rented(offer, nodes, speed, amount, about, desk.wishes.besides, memory=memory, spot=spot)
        if option is not None:
            yield option
    if memory is not None and memory.verdict == "does_not_fit":
        desk.too_small(f"{offer.cloud} {offer.instance_type}", memory, gib or 0)


def fast(fabric: str) -> str:
    """The fabric where it is one: a slow or unknown one is an ordinary network."""
    if not fabric or fabric in PLAIN_FABRICS:
        return ""
    speed = fabric.rpartition("-")[2].removesuffix("g")
    return fabric if not speed.isdigit() or float(speed) >= FAST_FABRIC_GBIT else ""
