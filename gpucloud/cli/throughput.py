"""`gpucloud throughput`: what a card does on a model, as it was measured, else as it is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from gpucloud.catalog.catalog import Catalog
from gpucloud.cli import names_asked as asked
from gpucloud.cli.offer_view import whole
from gpucloud.cli.options import current
from gpucloud.cli.outside import opened_catalog
from gpucloud.core.accelerators import GpuRequest
from gpucloud.core.errors import NothingFits, UsageError
from gpucloud.core.throughput import PRECISIONS, Benchmark, evidence, one_per_source
from gpucloud.render.text import count, plural, significant
from gpucloud.render.view import Column, View, show

ROWS_FOR_PEOPLE = 40
COLUMNS = (
    Column("accelerator", "GPU"),
    Column("accelerator_count", "Count", right=True, write=count),
    Column("nodes", "Nodes", right=True, keep=3),
    Column("model", "Model"),
    Column("precision", "Precision", keep=8),
    Column("value", "Throughput", right=True, write=significant),
    Column("unit", "Unit"),
    Column("between", "80 % between", keep=7),
    Column("year", "Year", right=True, keep=6),
    Column("source", "Source", keep=7),
    Column("basis", "Basis", keep=8),
    Column("remark", "Remark", keep=4),
    Column("framework", "Framework", wide=True),
    Column("batch_size", "Batch", right=True, wide=True),
    Column("link", "Link", wide=True),
    Column("flags", "Flags", wide=True),
    Column("explain", "How", wide=True),
)


def throughput(
    gpus: Annotated[
        list[str] | None, typer.Argument(metavar="[GPU[:N]]...", help="Only these; a count means exactly that many.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="The model that was trained.")] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", metavar="NAME", help="fp32, tf32, fp16, bf16, fp8 or mixed.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="Rows (default 40; json and csv: all).")
    ] = None,
    params: Annotated[
        str | None, typer.Option("--params", metavar="N", help="A model of that size instead of a known one: 7e9.")
    ] = None,
    flops_per_unit: Annotated[
        str | None, typer.Option("--flops-per-unit", metavar="N", help="Operations per token, instead of --params.")
    ] = None,
    relative: Annotated[
        bool, typer.Option("--relative", help="How many times faster each named GPU is than the first.")
    ] = False,
    self_check: Annotated[
        bool, typer.Option("--self-check", help="Leave each card out in turn and print how wrong its prediction is.")
    ] = False,
) -> None:
    """What a card does on a model: the best measured row of each source, today's precision and newest first.

    Named GPUs that nobody measured are predicted from their specs and the cards that were, with an 80 % interval.
    The figure is that of all GPUs of the row together. Doubtful rows come last and say why. Without --model,
    everything that was measured on the GPUs. Ends with 3 when nobody measured it and nothing can be predicted.
    """
    if not (gpus or model or self_check):
        raise UsageError("Neither a GPU nor a model is named.", "Try `gpucloud throughput A100 --model resnet50`.")
    if (params or flops_per_unit) and (model or not gpus):
        raise UsageError("--params describes a model that is not in the catalog.", "Name GPUs, and no --model.")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} shows nothing.", "Give a number of one or more.")
    with opened_catalog() as catalog:
        requests = asked.gpu_requests(catalog, gpus)
        name = asked.known_model(catalog, model)
        wanted = asked.one_of("--precision", precision, [one for one in PRECISIONS if one]) if precision else None
        if self_check or relative:
            from gpucloud.cli.throughput_more import relative_view, self_check_view

            view = self_check_view(catalog, name) if self_check else relative_view(catalog, requests, name)
            show(view, current().output)
            return
        rows = () if params or flops_per_unit else catalog.benchmarks(name)
        found = ordered(row for row in rows if _fits(row, requests, wanted))
        guesses = _guesses(catalog, requests, found, name, wanted, params, flops_per_unit)
        if not found and not guesses:
            raise _not_measured(catalog, rows, requests, name, wanted)
        people = current().output not in ("json", "csv")
        shown = found[: limit if limit is not None else ROWS_FOR_PEOPLE if people else None]
        show(_view(shown, len(found), guesses), current().output)


def _guesses(
    catalog: Catalog,
    requests: Sequence[GpuRequest],
    found: Sequence[Benchmark],
    model: str | None,
    precision: str | None,
    params: str | None,
    flops_per_unit: str | None,
) -> list[dict[str, Any]]:
    """Predictions for the named cards without a row; none without a model."""
    if not requests or not (model or params or flops_per_unit):
        return []
    from gpucloud.cli.throughput_more import predicted
    from gpucloud.core.ranges import parse_range

    def number(text: str | None, what: str) -> float | None:
        return parse_range(text, what)[0] if text else None

    seen = {(row.accelerator, row.accelerator_count) for row in found if row.is_rate and not row.is_doubtful}
    measured_any = {(card, 1.0) for card, _ in seen}
    size = (number(params, "--params"), number(flops_per_unit, "--flops-per-unit"))
    return predicted(catalog, requests, seen | measured_any, model, precision, *size)


def _fits(row: Benchmark, requests: Sequence[GpuRequest], precision: str | None) -> bool:
    card = not requests or any(
        row.accelerator in request.accelerators and request.count in (None, row.accelerator_count)
        for request in requests
    )
    return card and precision in (None, row.precision)


def ordered(rows: Any) -> list[Benchmark]:
    """One row of each source: by model and unit, what can be trusted first, by precision, the fastest first."""
    return sorted(one_per_source(list(rows)), key=_order)


def _order(row: Benchmark) -> tuple[object, ...]:
    value = -row.throughput if row.is_rate else row.throughput
    return (
        row.model,
        row.unit,
        row.is_doubtful,
        PRECISIONS.index(row.precision),
        value,
        row.accelerator,
        evidence(row),
    )


def _record(row: Benchmark) -> dict[str, Any]:
    return {
        "accelerator": row.accelerator,
        "accelerator_count": whole(row.accelerator_count),
        "model": row.model,
        "precision": row.precision or None,
        "value": row.throughput,
        "unit": row.unit,
        "basis": "measured",
        "low": row.throughput,
        "high": row.throughput,
        "source": row.source,
        "flags": list(row.flags),
        "nodes": row.nodes,
        "year": row.year,
        "framework": row.framework or None,
        "batch_size": whole(row.batch_size),
        "link": row.link or None,
    }


def _view(shown: Sequence[Benchmark], found: int, guesses: Sequence[dict[str, Any]]) -> View:
    records = [*(_record(row) for row in shown), *guesses]
    rows = [{**record, "remark": _remark(row)} for record, row in zip(records, shown, strict=False)]
    rows += [{**guess, "between": f"{significant(guess['low'])} .. {significant(guess['high'])}"} for guess in guesses]
    more = f"; --limit {found} shows all" if len(shown) < found else ""
    notes = [f"{len(shown):,} of {plural(found, 'row')}, the best of each source{more}."]
    if guesses:
        notes.append("Predicted rows come from specs and other cards; -o wide says how.")
    if any(row.unit == "minutes" for row in shown):
        notes.append("Minutes are the time to a target of quality: less is better.")
    return View("throughput", {"rows": records}, COLUMNS, rows, notes, records="rows")


def _remark(row: Benchmark) -> str:
    told = ("superlinear", "slower_than_fp32", "input_bound", "not_verified_by_mlcommons", "source_price_wrong")
    names = [flag.split("=")[0] for flag in row.flags]
    return ", ".join(name.replace("_", " ") for name in names if name in told)


def _not_measured(
    catalog: Catalog,
    rows: Sequence[Benchmark],
    requests: Sequence[GpuRequest],
    model: str | None,
    precision: str | None,
) -> NothingFits:
    what = " or ".join(request.text for request in requests) or "any GPU"
    on = f" on {model}" if model else ""
    at = f" in {precision}" if precision else ""
    return NothingFits(f"Nobody measured {what}{on}{at}.", _nearest(rows, requests, precision, model))


def _nearest(
    rows: Sequence[Benchmark], requests: Sequence[GpuRequest], precision: str | None, model: str | None
) -> str:
    cards = {name for request in requests for name in request.accelerators}
    of_card = [row for row in rows if not cards or row.accelerator in cards]
    if not of_card:
        others = sorted({row.accelerator for row in rows})
        return f"Measured on it: {', '.join(others)}." if model else "`gpucloud gpus` shows the cards."
    counts = ", ".join(count(number) for number in sorted({row.accelerator_count for row in of_card}))
    precisions = ", ".join(sorted({row.precision or "not said" for row in of_card}))
    return f"Measured counts: {counts}; precisions: {precisions}."
