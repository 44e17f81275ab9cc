"""Time to move a model's gradients: once over a wire, or as a ring all-reduce among N GPUs."""

from __future__ import annotations

GBIT_PER_GB = 8.0


def transfer_s(params: float, bytes_per_param: float, gb_per_s: float) -> float:
    """Seconds to send all gradients once; GB are 1e9 bytes."""
    return params * bytes_per_param / (gb_per_s * 1e9)


def allreduce_s(params: float, bytes_per_param: float, gb_per_s: float, gpus: float) -> float:
    """Ring all-reduce: each GPU sends and receives 2(N-1)/N of the gradients (Patarasuk and Yuan 2009)."""
    return 2 * (gpus - 1) / gpus * transfer_s(params, bytes_per_param, gb_per_s)


def comm_efficiency(step_s: float, exchange_s: float, hidden_share: float = 0.0) -> float:
    """Share of a step left for computing when `hidden_share` of the exchange overlaps with the backward pass.

    At most what is hidden can disappear behind the step itself.
    """
    hidden = min(hidden_share * exchange_s, step_s)
    return step_s / (step_s + exchange_s - hidden)
