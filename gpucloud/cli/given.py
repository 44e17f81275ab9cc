"""What was typed for a formula: words become ranges of numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from gpucloud.core.errors import UsageError
from gpucloud.core.ranges import Range, number, parse_range
from gpucloud.core.units import duration_s, memory_gib

if TYPE_CHECKING:
    from gpucloud.core.offers import Accelerator


def opt(help_text: str, metavar: str = "N", *names: str) -> Any:
    """A formula's option: text, because a value may be a range `a..b` and carry a unit."""
    return typer.Option(None, *names, metavar=metavar, help=help_text)


def option_name(key: str) -> str:
    """`gpu_memory` → `--gpu-memory`."""
    return "--" + key.replace("_", "-")


def ranges(
    words: Mapping[str, Any],
    *,
    durations: Mapping[str, str] | None = None,
    sizes: Collection[str] = (),
    zero_ok: Collection[str] = (),
    other: Collection[str] = (),
) -> dict[str, Range]:
    """The options that were given, as ranges. `durations` maps an option to the unit of a bare number.

    Durations come in seconds, sizes in GiB; names in `other` are not numbers and are left out.
    """
    found = {}
    for key, text in words.items():
        if text is None or key in other:
            continue
        parse: Callable[[str, str], float] = number
        if durations and key in durations:
            parse = partial(_duration, durations[key])
        elif key in sizes:
            parse = memory_gib
        found[key] = parse_range(str(text), option_name(key), parse, zero_ok=key in zero_ok)
    return found


def single(given: dict[str, Range], key: str) -> float | None:
    """A value that cannot be a range; it is taken out of `given`."""
    if key not in given:
        return None
    low, high = given.pop(key)
    if low != high:
        raise UsageError(f"{option_name(key)} cannot be a range.", "Give one number.")
    return low


def whole(given: Mapping[str, Range], *keys: str) -> None:
    """Raises UsageError when one of these counts is not a whole number."""
    for key in keys:
        if any(end != int(end) for end in given.get(key, ())):
            raise UsageError(f"{option_name(key)} must be a whole number.", "Count machines or GPUs, as in 8.")


def card_figure(name: str, figure: Callable[[Accelerator], float | None], what: str) -> tuple[str, float]:
    """(card, figure) of the GPU called `name`; of a family with several forms the SXM one, if that settles it.

    Raises UsageError when its forms differ in the figure, or when the catalog lacks it.
    """
    from gpucloud.cli.outside import opened_catalog
    from gpucloud.core.accelerators import parse_request

    with opened_catalog() as catalog:
        cards = {card.name: card for card in catalog.accelerators()}
        names = parse_request(name, cards.values(), catalog.aliases()).accelerators
    for forms in (names, [one for one in names if "-SXM-" in one]):
        figures = {figure(cards[one]) for one in forms}
        if len(figures) == 1:
            (value,) = figures
            if value is None:
                raise UsageError(f"The catalog knows no {what} of {forms[0]}.", "Give the figure itself.")
            return forms[0], value
    raise UsageError(f"'{name}' is more than one GPU, and their {what} differs.", "Name one: " + ", ".join(names) + ".")


def _duration(bare: str, text: str, what: str) -> float:
    return duration_s(text, what, bare)
