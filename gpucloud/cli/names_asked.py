"""From the words of `compare` to a query: every name is checked against the catalog that is open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gpucloud.catalog.catalog import Catalog
from gpucloud.core.accelerators import GpuRequest, parse_request
from gpucloud.core.errors import UsageError, nearest

FEW = 12  # known names that still fit in a hint


def commas(words: Iterable[str] | None) -> tuple[str, ...]:
    """An option that repeats or takes commas, without doubles."""
    parts = (part.strip() for word in words or () for part in word.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def gpu_requests(catalog: Catalog, words: Iterable[str] | None) -> tuple[GpuRequest, ...]:
    """Each `GPU[:N]`. Raises UsageError with the nearest names."""
    asked = commas(words)
    if not asked:
        return ()
    cards, aliases = catalog.accelerators(), catalog.aliases()
    return tuple(parse_request(word, cards, aliases) for word in asked)


def known_clouds(catalog: Catalog, words: Iterable[str] | None) -> tuple[str, ...]:
    """Clouds in any case. Raises UsageError with the known ones."""
    return _known("cloud", commas(words), catalog.clouds)


def known_regions(catalog: Catalog, words: Iterable[str] | None, clouds: tuple[str, ...]) -> tuple[str, ...]:
    """Regions of these clouds in any case. Raises UsageError with the nearest or the known ones."""
    return _known("region", commas(words), lambda: catalog.regions(clouds))


def known_model(catalog: Catalog, word: str | None) -> str | None:
    """A model in any case. Raises UsageError with the nearest names."""
    return _known("model", (word,), catalog.model_names)[0] if word else None


def one_of(option: str, word: str, known: Sequence[str]) -> str:
    """A word of a closed list. Raises UsageError with the list."""
    if word.casefold() not in known:
        raise UsageError(f"{option} cannot be '{word}'.", "Use one of " + ", ".join(known) + ".")
    return word.casefold()


def at_least_zero(option: str, value: float | None) -> float | None:
    """A number that means something. Raises UsageError for negative ones, NaN and infinity."""
    if value is not None and not 0 <= value < float("inf"):
        raise UsageError(f"{option} {value:g} means nothing.", "Give a number of zero or more.")
    return value


def _known(what: str, words: tuple[str, ...], list_known: Callable[[], list[str]]) -> tuple[str, ...]:
    if not words:
        return ()
    known = list_known()
    by_folded = {name.casefold(): name for name in known}
    for word in words:
        if word.casefold() not in by_folded:
            raise UsageError(f"No {what} is called '{word}'.", _hint(what, word, known))
    return tuple(by_folded[word.casefold()] for word in words)


def _hint(what: str, word: str, known: list[str]) -> str:
    close = nearest(word, known)
    if len(known) <= FEW or what == "cloud":
        meant = f"Did you mean {close[0]}? " if close else ""
        return f"{meant}Known: {', '.join(known) or 'none'}."
    shown = ", ".join(known[:FEW])
    return f"Did you mean {', '.join(close)}?" if close else f"Some of the {len(known)} known: {shown}."
