"""How people ask for a GPU (`A100`, `a100-80gb`, `A100-SXM-80GB:8`) and which accelerators that means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gpucloud.core.errors import UsageError, nearest
from gpucloud.core.offers import Accelerator

_REQUEST = re.compile(r"([^:]+)(?::([0-9.]+))?")
_MEMORY_SUFFIX = re.compile(r"(.+)-([0-9.]+)gb")


@dataclass(frozen=True)
class GpuRequest:
    """What was asked: the accelerators it matches and how many of them (None = any count)."""

    text: str
    accelerators: tuple[str, ...]
    count: float | None = None


def parse_request(text: str, cards: Iterable[Accelerator], aliases: Mapping[str, str]) -> GpuRequest:
    """`NAME[:COUNT]`, any case, family or full name or alias. Raises UsageError with the nearest names."""
    match = _REQUEST.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"GPU '{text}' is not NAME or NAME:COUNT.", "Write it like A100 or A100:8.")
    count = _count(match[2], text)
    known = tuple(cards)
    found = _matches(match[1].strip(), known, aliases)
    if not found:
        names = sorted({card.name for card in known} | {card.family for card in known} | set(aliases))
        close = ", ".join(nearest(match[1], names))
        raise UsageError(
            f"No GPU is called '{match[1]}'.", f"Did you mean {close}?" if close else "See `gpucloud gpus`."
        )
    return GpuRequest(text, found, count)


def _count(text: str | None, whole: str) -> float | None:
    if text is None:
        return None
    try:
        count = float(text)
    except ValueError:
        count = 0.0
    if count <= 0:
        raise UsageError(f"The count in '{whole}' is not a positive number.", "Write it like A100:8.")
    return count


def _matches(name: str, cards: tuple[Accelerator, ...], aliases: Mapping[str, str]) -> tuple[str, ...]:
    wanted = name.casefold()
    exact = tuple(card.name for card in cards if card.name.casefold() == wanted)
    if exact:
        return exact
    family = tuple(card.name for card in cards if card.family.casefold() == wanted)
    if family:
        return family
    by_alias = {alias.casefold(): target for alias, target in aliases.items()}
    if wanted in by_alias:
        return (by_alias[wanted],)
    return _of_family_and_memory(wanted, cards)


def _of_family_and_memory(wanted: str, cards: tuple[Accelerator, ...]) -> tuple[str, ...]:
    match = _MEMORY_SUFFIX.fullmatch(wanted)
    if match is None:
        return tuple(card.name for card in cards if card.name.casefold().startswith(wanted + "-"))
    stem, memory = match[1], float(match[2])
    of_memory = (card for card in cards if card.memory_gib == memory)
    return tuple(card.name for card in of_memory if _is_of(card, stem))


def _is_of(card: Accelerator, stem: str) -> bool:
    return card.family.casefold() == stem or card.name.casefold().startswith(stem + "-")
