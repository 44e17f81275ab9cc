"""Which card a cloud means: from its own words and the memory it tells to a name of the catalog."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from gpucloud.core.fresh import Shape
from gpucloud.core.offers import Accelerator, InstanceType

_MEMORY = re.compile(r"(\d+) ?GI?B", re.IGNORECASE)
_FORM = re.compile(r"\b(SXM|PCIE|NVL)", re.IGNORECASE)
_NOISE = re.compile(r"\b(nvidia|tesla|amd|gpu|tensor|core)\b|\(.*?\)", re.IGNORECASE)
MEMORY_TOLERANCE = 0.12  # clouds tell usable memory, data sheets the sum of the chips


def card_of(
    shape: Shape, cards: Sequence[Accelerator], aliases: Mapping[str, str], kinds: Iterable[InstanceType]
) -> str | None:
    """The catalog's name of a shape's card; None when it is not known, or more than one fits.

    `kinds` are the cloud's machines that are known: where several forms fit, the one it uses elsewhere is meant.
    """
    known = {card.name.casefold(): card.name for card in cards}
    known |= {alias.casefold(): name for alias, name in aliases.items()}
    words = " ".join(_NOISE.sub(" ", shape.accelerator).split())
    for spelling in (shape.accelerator, words, words.replace(" ", "")):
        if spelling.casefold() in known and not _ambiguous(known[spelling.casefold()], cards):
            return known[spelling.casefold()]
    fitting = [card for card in cards if _fits(card, words, shape)]
    if len(fitting) == 1:
        return fitting[0].name
    used = Counter(kind.accelerator for kind in kinds if kind.accelerator in {card.name for card in fitting})
    return used.most_common(1)[0][0] if used else None


def _ambiguous(name: str, cards: Sequence[Accelerator]) -> bool:
    """Whether a name is only a family of several cards."""
    return sum(card.family == name for card in cards) > 1


def _fits(card: Accelerator, words: str, shape: Shape) -> bool:
    if _plain(card.family) != _plain(words):
        return False
    told = _MEMORY.search(shape.accelerator)
    memory = shape.gpu_memory_gib or (float(told[1]) if told else None)
    form = _FORM.search(shape.accelerator)
    close = memory is None or card.memory_gib is None or abs(memory / card.memory_gib - 1) <= MEMORY_TOLERANCE
    return close and (form is None or form[1].upper() in card.name.upper())


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())
