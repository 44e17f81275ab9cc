"""What interruptions cost: checkpoint interval (Young, Daly), expected stretch, effective spot price.

Young 1974: T = sqrt(2·C·M). Daly 2006: a higher-order T, and the expected stretch of a job with exponential
failures, M·e^(R/M)·(e^((T+C)/M) - 1)/T. C checkpoint, M mean time between failures of the whole job, R restart;
all in seconds.
"""

from __future__ import annotations

from math import exp, inf, sqrt

_LONGEST_EXPONENT = 700.0


def young_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """First-order optimum between two checkpoints."""
    return sqrt(2 * checkpoint_s * mtbf_s)


def daly_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """Daly's higher-order optimum; M once a checkpoint takes longer than 2M."""
    if checkpoint_s >= 2 * mtbf_s:
        return mtbf_s
    ratio = checkpoint_s / (2 * mtbf_s)
    return young_interval_s(checkpoint_s, mtbf_s) * (1 + sqrt(ratio) / 3 + ratio / 9) - checkpoint_s


def best_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """The exact optimum of Daly's stretch: the root of (1 - x)·e^(x + C/M) = 1, times M."""
    low, high = 0.0, 1.0
    start = checkpoint_s / mtbf_s
    for _ in range(60):
        middle = (low + high) / 2
        if start + middle < _LONGEST_EXPONENT and (1 - middle) * exp(start + middle) < 1:
            high = middle
        else:
            low = middle
    return (low + high) / 2 * mtbf_s


def stretch(interval_s: float, checkpoint_s: float, mtbf_s: float, restart_s: float = 0.0) -> float:
    """Expected wall time over useful time (≥ 1); infinite when no interval ever survives."""
    if (restart_s + interval_s + checkpoint_s) / mtbf_s > _LONGEST_EXPONENT:
        return inf
    ahead = exp(restart_s / mtbf_s)
    return mtbf_s * ahead * (exp((interval_s + checkpoint_s) / mtbf_s) - 1) / interval_s


def best_stretch(checkpoint_s: float, mtbf_s: float, restart_s: float = 0.0) -> float:
    """Stretch at the exact optimum. Never rises with a longer MTBF, which a first-order interval cannot promise."""
    return stretch(best_interval_s(checkpoint_s, mtbf_s), checkpoint_s, mtbf_s, restart_s)


def overhead(interval_s: float, checkpoint_s: float, mtbf_s: float) -> float:
    """First-order share of time lost: writing checkpoints, C/T, and half an interval per failure, T/2M."""
    return checkpoint_s / interval_s + interval_s / (2 * mtbf_s)


def job_mtbf_s(node_mtbf_s: float, nodes: float) -> float:
    """MTBF of a job that needs all its nodes alive."""
    return node_mtbf_s / nodes


def fleet_mtbf_s(failures_per_1000_node_days: float, nodes: float) -> float:
    """MTBF of `nodes` machines from a fleet's failure rate."""
    return 1000 * 86400 / (failures_per_1000_node_days * nodes)
