"""From a price per hour and a speed to the cost of the work."""

from __future__ import annotations

from math import ceil

# What "per unit of work" means for each unit of throughput.
WORK_UNITS = {"samples": (1e6, "1e6 samples"), "tokens": (1e9, "1e9 tokens"), "steps": (1e6, "1e6 steps")}
SECONDS_PER_HOUR = 3600.0
LIST_TOLERANCE = 0.25  # a recorded price further from the seller's own list is more likely a mistake than a discount


def work_unit(throughput_unit: str) -> tuple[float, str] | None:
    """`samples/s` → (1e6, "1e6 samples"); None where a unit of work means nothing (minutes to a target)."""
    return WORK_UNITS.get(throughput_unit.removesuffix("/s")) if throughput_unit.endswith("/s") else None


def usd_per_unit_work(usd_per_hour: float | None, throughput: float, throughput_unit: str) -> float | None:
    """USD for 1e6 samples or steps, or 1e9 tokens, at `throughput` a second of the whole machine."""
    unit = work_unit(throughput_unit)
    if usd_per_hour is None or unit is None or throughput <= 0:
        return None
    return usd_per_hour * unit[0] / (throughput * SECONDS_PER_HOUR)


def billed_s(used_s: float, billing_increment_s: float = 1.0, minimum_s: float = 0.0) -> float:
    """Seconds that appear on the bill: the minimum, rounded up to whole increments."""
    if used_s <= 0:
        return 0.0
    steps = max(used_s, minimum_s) / billing_increment_s
    return max(1, ceil(steps * (1 - 1e-12))) * billing_increment_s  # what a division left over is no step


def cost_of_work(
    work: float,
    throughput: float,
    usd_per_hour: float,
    *,
    nodes: int = 1,
    setup_s: float = 0.0,
    billing_increment_s: float = 1.0,
    minimum_s: float = 0.0,
) -> tuple[float, float]:
    """(hours, USD) of `work` units at `throughput` units a second of all nodes together.

    Every node is billed for the whole time, set-up included.
    """
    used_s = work / throughput + setup_s
    usd = billed_s(used_s, billing_increment_s, minimum_s) / SECONDS_PER_HOUR * usd_per_hour * nodes
    return used_s / SECONDS_PER_HOUR, usd


def contradicts_list(recorded_usd: float, listed_usd: float) -> bool:
    """Whether a price that somebody recorded cannot be the seller's own list price of that day."""
    return abs(recorded_usd / listed_usd - 1) > LIST_TOLERANCE
