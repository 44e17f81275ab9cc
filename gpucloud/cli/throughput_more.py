"""The other views of `throughput`: predicted rows, the check of all predictions, ratios between cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpucloud.catalog.catalog import Catalog
from gpucloud.cli.speeds import speeds_of
from gpucloud.core.accelerators import GpuRequest
from gpucloud.core.errors import NothingFits, UsageError
from gpucloud.core.relative import ratios, summaries
from gpucloud.core.throughput import from_speed
from gpucloud.render.text import significant
from gpucloud.render.view import Column, Section, View


def _share(value: Any) -> str:
    return "" if value is None else f"{value:.1%}"


CHECK_COLUMNS = (
    Column("left_out", "Left out"),
    Column("cells", "Predictions", right=True),
    Column("median_error", "Median error", right=True, write=_share),
    Column("p90_error", "90 % below", right=True, write=_share),
    Column("coverage", "Inside the 80 % interval", right=True, write=_share),
    Column("order", "Rank correlation", right=True, write=significant),
)
RATIO_COLUMNS = (
    Column("accelerator", "GPU"),
    Column("base", "Over"),
    Column("model", "Model"),
    Column("precision", "Precision"),
    Column("ratio", "Times", right=True, write=significant),
    Column("framework", "Framework", wide=True),
)
SUMMARY_COLUMNS = (
    Column("accelerator", "GPU"),
    Column("base", "Over"),
    Column("median", "Median", right=True, write=significant),
    Column("low", "Lowest", right=True, write=significant),
    Column("high", "Highest", right=True, write=significant),
    Column("models", "Models", right=True),
)
PEOPLE_ROWS = 40


def predicted(
    catalog: Catalog,
    requests: Sequence[GpuRequest],
    seen: set[tuple[str, float]],
    model: str | None,
    precision: str | None,
    params: float | None = None,
    flops_per_unit: float | None = None,
) -> list[dict[str, Any]]:
    """A row for each card that was asked for and not `seen` (card, count) in the measured ones."""
    subject = speeds_of(catalog, model, precision, params, flops_per_unit)
    wanted = [(card, request.count or 1.0) for request in requests for card in request.accelerators]
    found = []
    for card, count in dict.fromkeys(wanted):
        speed = subject.speed(card, count) if subject and (card, count) not in seen else None
        if speed is not None:
            answer = from_speed(speed, model or "")
            record = {name: getattr(answer, name) for name in ("value", "unit", "basis", "low", "high", "source")}
            whole = int(count) if count == int(count) else count
            found.append(
                {
                    "accelerator": card,
                    "accelerator_count": whole,
                    "model": model,
                    "precision": answer.precision or None,
                    **record,
                    "flags": list(answer.flags),
                    "nodes": 1,
                    "year": None,
                    "framework": None,
                    "batch_size": None,
                    "link": None,
                    "explain": speed.way,
                }
            )
    return found


def self_check_view(catalog: Catalog, model: str | None) -> View:
    """Each card, then each chip generation, left out in turn and predicted from the rest."""
    from gpucloud.core.self_check import LEAVES, guesses, quality

    cards = {card.name: card for card in catalog.accelerators()}
    rows = catalog.benchmarks(model)
    records, worst = [], []
    for leave in LEAVES:
        sweep = guesses(rows, cards, leave)
        found = quality(sweep, leave)
        if found is None:
            raise NothingFits(
                "Too few cards were measured to leave one out.", "A model needs rows of two cards at least."
            )
        records.append({"left_out": leave, **{key: value for key, value in found.__dict__.items() if key != "leave"}})
        worst += sorted(sweep, key=lambda guess: -guess.error)[:5]
    errors = [
        {
            "left_out": guess.card,
            "model": guess.group[0],
            "series": guess.series,
            "measured": guess.measured,
            "predicted": guess.predicted,
            "error": guess.error,
        }
        for guess in worst
    ]
    notes = ["Rates per GPU. A chip is all cards of one architecture and compute capability."]
    return View("throughput", {"self_check": records, "worst": errors}, CHECK_COLUMNS, records, notes)


def relative_view(catalog: Catalog, requests: Sequence[GpuRequest], model: str | None) -> View:
    """Every named card over the first one."""
    names = [card for request in requests for card in request.accelerators]
    if len(names) < 2:
        raise UsageError("A ratio needs two GPUs.", "Name them, as in `gpucloud throughput K80 V100-16GB --relative`.")
    found = ratios(catalog.benchmarks(model), names[0], names[1:])
    if not found:
        raise NothingFits(
            f"No model was measured on {names[0]} and on {' or '.join(names[1:])} with the same software.",
            "`gpucloud throughput` with one of them shows what was measured.",
        )
    rows = [
        {"accelerator": one.card, **{key: value for key, value in one.__dict__.items() if key != "card"}}
        for one in found
    ]
    totals = [
        {"accelerator": one.card, **{key: value for key, value in one.__dict__.items() if key != "card"}}
        for one in summaries(found)
    ]
    section = Section("Model by model", RATIO_COLUMNS, rows[:PEOPLE_ROWS])
    body = {"summary": totals, "ratios": rows}
    return View("throughput", body, SUMMARY_COLUMNS, totals, sections=[section], records="ratios")
