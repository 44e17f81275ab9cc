"""What was typed for a formula: words become ranges of numbers, and the answers become lines or JSON."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from gpucloud.cli.options import current
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


def show(formula: str, answer: Mapping[str, Any], assumed: Mapping[str, Any] | None = None) -> None:
    """Print the answers flat: JSON, CSV with one row, or a line for each."""
    flat = {**answer, **({"assumed": dict(assumed)} if assumed else {})}
    output = current().output
    if output == "json":
        import json

        body = {"version": 1, "kind": "estimate", "formula": formula, **flat}
        print(json.dumps(body, allow_nan=False))
    elif output == "csv":
        _print_csv(flat)
    else:
        _print_lines(flat, output == "markdown")


def _print_csv(flat: Mapping[str, Any]) -> None:
    import csv
    import sys

    row = {key: value for key, value in flat.items() if not isinstance(value, (list, dict))}
    writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
    writer.writeheader()
    writer.writerow(row)


def _print_lines(flat: Mapping[str, Any], markdown: bool) -> None:
    lines = [(key, text(value)) for key, value in merged(flat).items() if value is not None and value != []]
    if markdown:
        print("| | |\n|---|---|")
    width = max(len(key) for key, _ in lines)
    for key, words in lines:
        print(f"| {key} | {words} |" if markdown else f"{key:<{width}}  {words}")


def merged(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`x_low`, `x_high` as one line `x`, for people."""
    lines: dict[str, Any] = {}
    for key, value in flat.items():
        stem = key.removesuffix("_low").removesuffix("_high")
        if stem != key and f"{stem}_low" in flat:
            low, high = flat[f"{stem}_low"], flat[f"{stem}_high"]
            lines[stem] = low if low == high else f"{text(low)} .. {text(high)}"
        else:
            lines[key] = value
    return lines


def text(value: Any) -> str:
    """One answer as people read it: four digits, no exponents where they do not help."""
    if value is None:
        return "never"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(text(each) for each in value) or "-"
    return str(value)


def _duration(bare: str, text: str, what: str) -> float:
    return duration_s(text, what, bare)
