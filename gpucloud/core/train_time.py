"""How long a training takes, and what it costs in money and energy: one set of products, solved for the rest.

FLOPs of a transformer: 6 per parameter and token (8 when activations are recomputed), plus 12·layers·d_model·seq
per token for attention (Narayanan et al. 2021, appendix; Chowdhery et al. 2022, appendix B). MFU is the share of
the peak that this leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from gpucloud.core.errors import UsageError
from gpucloud.core.relations import Product, solve

DEFAULT_FLOPS_PER_PARAM_TOKEN = 6.0
HOURS_PER_YEAR = 8766.0
WORK_UNITS = ("tokens", "samples", "steps")
RELATIONS = (
    Product("flops", ("flops_per_unit", "units")),
    Product("achieved_tflops", ("peak_tflops", "mfu")),
    Product("flops", ("achieved_tflops", "gpu_hours"), 3600e12),
    Product("achieved_tflops", ("throughput_per_gpu", "flops_per_unit"), 1e-12),
    Product("gpu_hours", ("hours", "count")),
    Product("throughput", ("throughput_per_gpu", "count")),
    Product("units", ("throughput", "hours"), 3600.0),
    Product("units", ("throughput_per_gpu", "gpu_hours"), 3600.0),
    Product("hours", ("steps", "seconds_per_step"), 1 / 3600),
    Product("usd", ("hours", "usd_per_hour")),
    Product("usd", ("gpu_hours", "usd_per_gpu_hour")),
    Product("usd_per_hour", ("usd_per_gpu_hour", "count")),
    Product("kwh", ("gpu_hours", "watts_per_gpu", "pue"), 1e-3),
)
ANSWERS = ("hours", "days", "gpu_hours", "gpu_years", "mfu", "throughput_per_gpu", "count", "usd", "kwh")


def work_unit(given: Mapping[str, float]) -> str:
    """What the work is counted in. Raises UsageError when tokens and samples are mixed."""
    if "tokens" in given and "samples" in given:
        raise UsageError("The work is given in tokens and in samples.", "Give --tokens or --samples, not both.")
    if "params" in given and "samples" in given:
        raise UsageError(
            "--params counts FLOPs per token, but the work is given in samples.",
            "Give --tokens instead of --samples, or --flops for the whole work.",
        )
    for unit in WORK_UNITS:
        if unit in given:
            return unit
    return "tokens" if "params" in given else "units"


def flops_per_token(
    params: float, per_param_token: float = DEFAULT_FLOPS_PER_PARAM_TOKEN, attention_width: float = 0.0
) -> float:
    """FLOPs to train on one token; `attention_width` is layers × d_model × seq, 0 leaves attention out."""
    return per_param_token * (params + 2 * attention_width)


def train(given: Mapping[str, float]) -> dict[str, Any]:
    """Solve for the rest. Keys of `given` are the options of `estimate train` in snake case, all positive.

    Times in hours, TFLOPS and watts per GPU. Returns ANSWERS (None where it does not follow) and more.
    """
    values = solve(_starting_point(given), RELATIONS)
    if "deadline_hours" in given and "count" not in values and "gpu_hours" in values:
        values["count"] = float(max(1, ceil(values["gpu_hours"] / given["deadline_hours"] - 1e-9)))
        values = solve(values, RELATIONS)
    _plausible(given, values)
    return _answers(given, values)


def _starting_point(given: Mapping[str, float]) -> dict[str, float]:
    unit = work_unit(given)
    skip = ("params", "tokens", "samples", "layers", "d_model", "seq", "flops_per_param_token", "deadline_hours")
    known = {name: value for name, value in given.items() if name not in skip}
    if unit in given:
        known["units"] = given[unit]
    if unit == "steps" and "seconds_per_step" in given:
        known["throughput"] = 1 / given["seconds_per_step"]
    if "params" in given:
        known["flops_per_unit"] = flops_per_token(
            given["params"],
            given.get("flops_per_param_token", DEFAULT_FLOPS_PER_PARAM_TOKEN),
            _attention_width(given),
        )
    if "watts_per_gpu" in given:
        known.setdefault("pue", 1.0)
    return known


def _attention_width(given: Mapping[str, float]) -> float:
    parts = [given[name] for name in ("layers", "d_model", "seq") if name in given]
    if len(parts) in (1, 2):
        raise UsageError(
            "--layers, --d-model and --seq belong together.", "Give all three, or none for plain 6 × params × tokens."
        )
    return parts[0] * parts[1] * parts[2] if parts else 0.0


def _plausible(given: Mapping[str, float], values: Mapping[str, float]) -> None:
    if values.get("mfu", 0.0) > 1.0:
        raise UsageError(
            f"This needs {values['mfu']:.2f} times the peak of the GPU.",
            "Check units: throughput in tokens (not samples) per second, of all GPUs or --throughput-per-gpu.",
        )
    if "hours" not in values and "gpu_hours" not in values and "mfu" not in values:
        raise UsageError(
            "Neither a time nor an MFU follows from these figures.",
            "Give the work (--params --tokens, --flops, --samples) and a speed (--gpu --mfu, --throughput), "
            "or --hours.",
        )


def _answers(given: Mapping[str, float], values: Mapping[str, float]) -> dict[str, Any]:
    hours, gpu_hours = values.get("hours"), values.get("gpu_hours")
    answer: dict[str, Any] = {name: values.get(name) for name in ANSWERS}
    if "count" in values and values["count"] == round(values["count"]):
        answer["count"] = round(values["count"])
    answer["days"] = None if hours is None else hours / 24
    answer["gpu_years"] = None if gpu_hours is None else gpu_hours / HOURS_PER_YEAR
    for extra in ("flops", "achieved_tflops", "throughput", "usd_per_hour"):
        answer[extra] = values.get(extra)
    answer["unit"] = work_unit(given)
    if "deadline_hours" in given:
        answer["meets_deadline"] = None if hours is None else hours <= given["deadline_hours"] * (1 + 1e-9)
    return answer
