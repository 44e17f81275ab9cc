"""`estimate spot`: from its options to a failure rate, and from that to interval, stretch and price."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, isinf
from typing import Any

from gpucloud.cli.given import ranges, whole
from gpucloud.core import spot as rules
from gpucloud.core.errors import UsageError
from gpucloud.core.ranges import Range, spread

DURATIONS = {"checkpoint": "s", "mtbf": "h", "restart": "s", "interval": "s", "over": "d"}


def estimate(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answers and what was assumed."""
    given = ranges(options, durations=DURATIONS, zero_ok=("restart",))
    whole(given, "nodes", "gpus", "gpus_per_node")
    _one_rate(given)
    inner = {}
    if given.get("interval", (0, 0))[0] != given.get("interval", (0, 0))[1]:
        low, high = given["interval"]
        inner["interval"] = [low * (high / low) ** (step / 8) for step in range(1, 8)]
    assumed: dict[str, Any] = {}
    if "restart" not in given and "checkpoint" in given:
        assumed["restart_s"] = 0
    if "on_demand" in given and "checkpoint" not in given:
        assumed["stretch"] = 1
    return spread(_answer, given, inner=inner), assumed


def _one_rate(given: Mapping[str, Range]) -> None:
    ways = [key for key in ("mtbf", "failures", "failures_per_1000_node_days") if key in given]
    if len(ways) > 1:
        raise UsageError("The failure rate is given twice.", "Give --mtbf, --failures --over, or the rate of a fleet.")
    if ("failures" in given) != ("over" in given):
        raise UsageError("--failures and --over belong together.", "As in --failures 419 --over 54d.")
    fleet = "failures_per_1000_node_days" in given
    if fleet and "nodes" not in given and not ("gpus" in given and "gpus_per_node" in given):
        raise UsageError("How many nodes the job has is not given.", "Add --gpus G --gpus-per-node K, or --nodes N.")
    prices = ("on_demand" in given) + ("spot" in given)
    if not ways and prices < 2:
        raise UsageError(
            "Neither a failure rate nor two prices are given.",
            "Add --checkpoint 60s --mtbf 10h, or --on-demand P --spot P.",
        )
    if ways and prices == 0 and "checkpoint" not in given and not ("failures" in given or fleet):
        raise UsageError("The time of a checkpoint is not given.", "Add --checkpoint, as in --checkpoint 60s.")


def _mtbf_s(at: Mapping[str, float]) -> float | None:
    """MTBF of the whole job."""
    if "failures" in at:
        return at["over"] / at["failures"]
    nodes = at.get("nodes")
    if "failures_per_1000_node_days" in at:
        nodes = nodes or float(ceil(at["gpus"] / at["gpus_per_node"]))
        return rules.fleet_mtbf_s(at["failures_per_1000_node_days"], nodes)
    return rules.job_mtbf_s(at["mtbf"], nodes or 1.0) if "mtbf" in at else None


def _answer(at: dict[str, float]) -> dict[str, Any]:
    mtbf, checkpoint = _mtbf_s(at), at.get("checkpoint")
    answer: dict[str, Any] = dict.fromkeys(("interval_s", "interval_daly_s", "stretch", "overhead"))
    if mtbf is not None and checkpoint is not None:
        answer = _intervals(checkpoint, mtbf, at.get("restart", 0.0), at.get("interval"))
    answer["mtbf_h"] = None if mtbf is None else mtbf / 3600
    spot, on_demand = at.get("spot"), at.get("on_demand")
    effective = None if spot is None else spot * (answer["stretch"] or 1.0)
    answer["effective_usd_per_hour"] = effective
    answer["saving"] = None if effective is None or on_demand is None else 1 - effective / on_demand
    return answer


def _intervals(checkpoint: float, mtbf: float, restart: float, interval: float | None) -> dict[str, Any]:
    young = rules.young_interval_s(checkpoint, mtbf)
    stretch = (
        rules.best_stretch(checkpoint, mtbf, restart)
        if interval is None
        else rules.stretch(interval, checkpoint, mtbf, restart)
    )
    if isinf(stretch):
        raise UsageError(
            "The machine is lost long before a checkpoint is written: the work never ends.",
            "Shorten --checkpoint, --restart or --interval, or use fewer nodes.",
        )
    return {
        "interval_s": young,
        "interval_daly_s": rules.daly_interval_s(checkpoint, mtbf),
        "stretch": stretch,
        "overhead": rules.overhead(interval or young, checkpoint, mtbf),
    }
