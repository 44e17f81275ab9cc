"""How the answers of a formula are shown: words with units for people, the flat keys of the contract for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gpucloud.cli.options import current
from gpucloud.core.units import show_duration
from gpucloud.render.view import Column, View
from gpucloud.render.view import show as show_view


def _percent(share: float) -> str:
    return f"{share * 100:,.0f}%" if share >= 10 else f"{share * 100:.3g}%"


def _time(seconds: float) -> str:
    return show_duration(seconds) if seconds >= 1 else f"{seconds:.3g}s"


class Words(NamedTuple):
    """What an answer is called, in what it is counted, and how its numbers are written."""

    label: str
    unit: str = ""
    write: Callable[[float], str] | None = None


WORDS = {
    "hours": Words("Time", "h"),
    "days": Words("Time in days", "days"),
    "gpu_hours": Words("GPU time", "GPU-h"),
    "gpu_years": Words("GPU time in years", "GPU-years"),
    "mfu": Words("Used share of the peak (MFU)", write=_percent),
    "throughput_per_gpu": Words("Speed of one GPU"),
    "count": Words("GPUs"),
    "usd": Words("Cost", "USD"),
    "kwh": Words("Energy", "kWh"),
    "kg_co2": Words("Carbon", "kg CO2"),
    "flops": Words("Floating-point operations"),
    "achieved_tflops": Words("Achieved on one GPU", "TFLOPS"),
    "throughput": Words("Speed of all GPUs"),
    "usd_per_hour": Words("Price of an hour", "USD/h"),
    "state_gb": Words("Weights, gradients, optimizer", "GB"),
    "activations_gib": Words("Activations", "GiB"),
    "logits_gib": Words("Logits", "GiB"),
    "gib_per_gpu": Words("Needed on each GPU", "GiB"),
    "verdict": Words("Verdict"),
    "with": Words("It would fit with"),
    "gib_per_gpu_with": Words("Then needed on each GPU", "GiB"),
    "largest_batch": Words("Largest batch that fits", "samples"),
    "speedup": Words("Speed-up from the smallest", "x"),
    "efficiency": Words("Efficiency", write=_percent),
    "predicted": Words("Predicted throughput"),
    "predicted_total": Words("Predicted throughput of all"),
    "superlinear": Words("More than linear, check them"),
    "transfer_s": Words("Gradient sent once", "s"),
    "allreduce_s": Words("All-reduce around the ring", "s"),
    "interval_s": Words("Save every (Young)", write=_time),
    "interval_daly_s": Words("Save every (Daly)", write=_time),
    "stretch": Words("Time over undisturbed time", "x"),
    "overhead": Words("Saving and repeating, about", write=_percent),
    "mtbf_h": Words("Between interruptions, on average", "h"),
    "effective_usd_per_hour": Words("Price of an hour of progress", "USD/h"),
    "saving": Words("Saved against on demand", write=_percent),
    "total_usd": Words("Spent after year", "USD"),
    "usd_per_system_year": Words("A year of one system", "USD"),
    "usd_per_system_hour": Words("An hour of one system", "USD/h"),
    "break_even_days": Words("Repaid after", "days"),
    "break_even_months": Words("Repaid after", "months"),
    "break_even_utilisation": Words("Pays above a use of", write=_percent),
}
COLUMNS = (Column("what", "What"), Column("value", "Value", right=True), Column("unit", "Unit"))
WORK_SPEEDS = ("throughput", "throughput_per_gpu")
ASSUMED = {
    "gpu": "GPU",
    "gpus": "GPUs",
    "peak_tflops": "peak TFLOPS",
    "flops_per_param_token": "operations per parameter and token",
    "pue": "PUE",
    "zero": "ZeRO stage",
    "restart_s": "seconds of a restart",
    "stretch": "time over undisturbed time",
    "hidden": "hidden share of the exchange",
    "bytes": "bytes per parameter",
}
VERDICTS = {"fits": "fits", "fits_with": "fits only with less", "does_not_fit": "does not fit"}


def show(formula: str, answer: Mapping[str, Any], assumed: Mapping[str, Any] | None = None) -> None:
    """Print the answers: JSON, CSV with one row, or a table in words with what was assumed below it."""
    output = current().output
    flat = {**answer, **({"assumed": dict(assumed)} if assumed else {})}
    if output == "json":
        import json

        print(json.dumps({"version": 1, "kind": "estimate", "formula": formula, **flat}, allow_nan=False))
    elif output == "csv":
        from gpucloud.render.machine import csv_lines

        row = {key: value for key, value in flat.items() if not isinstance(value, (list, dict))}
        print("".join(csv_lines([row], list(row))), end="")
    else:
        notes = [f"Assumed: {text(assumed)}."] if assumed else []
        show_view(View("estimate", {}, COLUMNS, list(_rows(answer)), notes), output)


def _rows(answer: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for key, value in merged(answer).items():
        if key == "points":
            yield from (_point(point) for point in value)
        elif key == "total_usd":
            yield from _by_year(value)
        elif not (value is None or value == [] or _says_nothing_new(key, answer)):
            unit = f"{answer['unit']}/s" if key in WORK_SPEEDS else WORDS[key].unit
            yield {"what": WORDS[key].label, "value": _written(value, WORDS[key]), "unit": unit}


def _says_nothing_new(key: str, answer: Mapping[str, Any]) -> bool:
    if key == "gib_per_gpu_with":
        return answer.get("verdict") != "fits_with"
    return key == "unit" or (key == "predicted_total" and answer.get("predicted") == answer[key])


def _point(point: Mapping[str, float]) -> dict[str, str]:
    efficiency = f"{_percent(point['efficiency'])} efficient"
    return {"what": f"Measured on {text(point['n'])}", "value": text(point["total"]), "unit": efficiency}


def _by_year(totals: Any) -> Iterator[dict[str, str]]:
    years = map(Between, totals.low, totals.high) if isinstance(totals, Between) else totals
    for year, usd in enumerate(years, 1):
        yield {"what": f"{WORDS['total_usd'].label} {year}", "value": _written(usd, WORDS["total_usd"]), "unit": "USD"}


class Between(NamedTuple):
    """An answer that is a range."""

    low: Any
    high: Any


def merged(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`x_low`, `x_high` as one entry `x`, for people."""
    lines: dict[str, Any] = {}
    for key, value in flat.items():
        stem = key.removesuffix("_low").removesuffix("_high")
        if stem != key and f"{stem}_low" in flat:
            low, high = flat[f"{stem}_low"], flat[f"{stem}_high"]
            lines[stem] = low if low == high else Between(low, high)
        else:
            lines[key] = value
    return lines


def _written(value: Any, words: Words) -> str:
    if isinstance(value, Between):
        return " .. ".join(_written(end, words) for end in value)
    if isinstance(value, str):
        return VERDICTS.get(value, value)
    return words.write(value) if words.write and value is not None else text(value)


def text(value: Any) -> str:
    """One answer as people read it: four digits, no exponents where they do not help."""
    if value is None:
        return "never"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{ASSUMED.get(key, key.replace('_', ' '))} {text(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(text(each) for each in value) or "-"
    return str(value)
