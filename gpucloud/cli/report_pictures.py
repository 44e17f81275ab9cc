"""The single pictures of a report: their names, and from which part of the command's object each is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpucloud.cli.report_pages import as_offer, as_option, spent_by_deployment
from gpucloud.core.errors import NothingFits, UsageError
from gpucloud.render import picture

if TYPE_CHECKING:
    from gpucloud.catalog.history import PastPrice

Json = Mapping[str, Any]
History = Callable[[], Sequence["PastPrice"]]


def pictures(command: str) -> tuple[str, ...]:
    """The names of the pictures of this command; the first is drawn when none is named."""
    return tuple(PICTURES[command])


def check(command: str, name: str | None, path: Path) -> None:
    """Raises UsageError for a picture that this command does not have, and for an unknown format."""
    if name is not None and name not in PICTURES[command]:
        known = ", ".join(pictures(command))
        raise UsageError(f"`report {command}` has no picture '{name}'.", f"Its pictures: {known}.")
    picture.check_format(path)


def draw(command: str, name: str | None, path: Path, body: Json, history: History) -> None:
    """Draw one picture. Raises NothingFits where there is nothing to draw."""
    PICTURES[command][name or pictures(command)[0]](path, body, history)


def _by_gpu(path: Path, body: Json, _: History) -> None:
    values = _least(_ranked(body), "accelerator", "usd_per_gpu_hour")
    _some(values, "a price", "`--stale` includes prices older than a year.")
    picture.cheapest(path, values, "USD per GPU and hour, the cheapest offer")


def _by_work(path: Path, body: Json, _: History) -> None:
    offers = _ranked(body)
    values = _least(offers, "label", "usd_per_unit_work")
    _some(values, "a speed", "`--model resnet50` adds the speed of a model.")
    unit = next(offer["work_unit"] for offer in offers if offer["usd_per_unit_work"])
    picture.cheapest(path, values, f"USD per {unit}")


def _over_time(path: Path, body: Json, history: History) -> None:
    markets = {offer["market"] for offer in body["offers"]}
    lines = [line for line in history() if line.market in markets and line.usd_per_hour is not None]
    counts: dict[Any, int] = {}
    for line in lines:
        counts[line.series] = counts.get(line.series, 0) + 1
    moved = [line for line in lines if counts[line.series] > 1 and line.status != "suspect"]
    _some(moved, "a second price", "`--market any` includes spot prices, whose history is longer.")
    picture.price_history(path, moved)


def _cost_time(path: Path, body: Json, _: History) -> None:
    picture.cost_against_time(path, body["options"])


def _ways(path: Path, body: Json, _: History) -> None:
    options = [as_option(option) for option in body["options"]]
    owned = {option["name"] for option in options if option["kind"] == "own"}
    values = _least(options, "name", "usd")
    picture.cheapest(path, values, "USD for the whole work", owned & set(values), 2)


def _rent_or_own(path: Path, body: Json, _: History) -> None:
    picture.rent_or_own(path, body["options"])


def _spent(path: Path, body: Json, _: History) -> None:
    picture.spent(path, spent_by_deployment(body["items"]))


def _ranked(body: Json) -> list[Json]:
    return [as_offer(offer) for offer in body["offers"] if offer["status"] == "current"]


def _least(rows: Sequence[Json], name: str, value: str) -> dict[str, float]:
    best: dict[str, float] = {}
    for row in rows:
        if row[value]:
            best[row[name]] = min(row[value], best.get(row[name], row[value]))
    return best


def _some(found: object, what: str, hint: str) -> None:
    if not found:
        raise NothingFits(f"None of these offers has {what}, so there is nothing to draw.", hint)


PICTURES: dict[str, dict[str, Callable[[Path, Json, History], None]]] = {
    "compare": {"gpus": _by_gpu, "work": _by_work, "history": _over_time},
    "recommend": {"time": _cost_time, "ways": _ways, "own": _rent_or_own},
    "cost": {"spent": _spent},
}
