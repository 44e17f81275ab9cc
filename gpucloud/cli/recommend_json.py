"""A recommendation for programs: every field of every option, exact."""

from __future__ import annotations

from typing import Any

from gpucloud.cli.recommend_request import Answer
from gpucloud.core import choose
from gpucloud.core.extras import USUAL_DISK_GIB
from gpucloud.core.options import Option, besides_json, memory_json, offer_json, speed_json


def body(answer: Answer) -> dict[str, Any]:
    """The JSON keys of the result."""
    found = answer.found
    options = [
        option_json(option, rank, answer, (rank - 1) in found.pareto, (rank - 1) in found.ties)
        for rank, option in enumerate(found.options, 1)
    ]
    ranks = {id(option): number for number, option in enumerate(found.options)}
    picks = {
        name: None
        if pick is None
        else options[ranks[id(pick)]]
        if id(pick) in ranks
        else option_json(pick, None, answer)
        for name, pick in found.picks.items()
    }
    return {
        "work": {"amount": answer.subject.amount, "unit": answer.subject.unit, "model": answer.subject.model or None},
        "options": options,
        "picks": picks,
        "advice": None if found.advice is None else dict(found.advice),
        "rejected": [{"option": miss.name, "reason": miss.reason, "wish": miss.wish} for miss in found.rejected],
        "price_only": [option_json(option, None, answer) for option in found.price_only],
        "regret": found.regret,
        "assumed": assumed(answer),
    }


def option_json(
    option: Option, rank: int | None, answer: Answer, pareto: bool = False, tie: bool = False
) -> dict[str, Any]:
    """One entry of `options`."""
    limits, model, setup_s = answer.wishes.limits, answer.subject.model, answer.wishes.besides.setup_s
    return {
        "rank": rank,
        "kind": option.kind,
        "offer": offer_json(option.offer),
        "system": option.system or None,
        "nodes": option.nodes,
        "accelerator": option.accelerator,
        "accelerator_count": option.accelerator_count,
        "memory": memory_json(option.memory),
        "throughput": speed_json(option.speed, model),
        "hours": option.hours,
        "low_hours": option.low_hours,
        "high_hours": option.high_hours,
        "usd": option.usd,
        "low_usd": option.low_usd,
        "high_usd": option.high_usd,
        "usd_per_hour": option.usd_per_hour,
        "usd_per_unit_work": option.usd_per_unit_work,
        "pareto": pareto,
        "tie": tie,
        "meets_deadline": choose.meets_deadline(option, limits),
        "meets_budget": choose.meets_budget(option, limits),
        "effective_spot": option.effective_spot,
        "besides": besides_json(option.besides, setup_s),
        "own": option.own.as_json() if option.own else None,
        "reasons": list(option.reasons),
        "warnings": list(option.warnings),
        "command": option.command or None,
    }


def assumed(answer: Answer) -> dict[str, Any]:
    """What was not said and had to be taken."""
    terms, about = answer.wishes.terms, answer.wishes.interruptions
    found: dict[str, Any] = {
        "own": {key: value for key, value in terms.__dict__.items() if key != "stated_use"},
        "spot": {"checkpoint_s": about.checkpoint_s, "restart_s": about.restart_s},
        "besides": {**answer.wishes.besides.__dict__, "disk_gib": answer.wishes.besides.disk_gib or USUAL_DISK_GIB},
    }
    job = answer.subject.job
    if job is not None and job.shape_known():
        found["memory"] = {"seq": job.seq, "batch": job.batch, "layers": job.layers, "d_model": job.d_model}
    return found
