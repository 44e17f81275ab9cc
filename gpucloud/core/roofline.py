"""What a card can do at best: time per unit of work as a sum of computing, memory traffic and small batches.

1/y = a/F + b/B + c/M with a, b, c ≥ 0: F peak TFLOPS of the precision, B bandwidth in GB/s, M memory in GB,
which stands in for the batch size. A roofline (Williams et al. 2009) with a soft corner.
"""

from __future__ import annotations

from math import log, sqrt
from typing import NamedTuple

from gpucloud.core.least_squares import fit_to_one
from gpucloud.core.offers import Accelerator

SIXTEEN_BIT = ("mixed", "fp16", "bf16")
THIRTY_TWO_BIT = ("fp32", "tf32")
_SCALE = (100.0, 1000.0, 40.0)  # brings the three terms to one size, for the solver's sake


class Specs(NamedTuple):
    """The three figures that matter, all positive."""

    tflops: float
    gb_per_s: float
    memory_gb: float


def precision_class(precision: str) -> str:
    """Precisions that run on the same units of the card: 16, 32, or the name itself."""
    if precision in SIXTEEN_BIT:
        return "16"
    return "32" if precision in THIRTY_TWO_BIT else precision


def peak_tflops(card: Accelerator, precision: str) -> float | None:
    """Dense peak of the units that `precision` uses; libraries take TF32 for FP32 where the card has it."""
    of_class = {
        "16": (card.fp16_tensor_tflops, card.fp32_tflops),
        "32": (card.tf32_tflops, card.fp32_tflops),
        "fp8": (card.fp8_tflops, card.fp16_tensor_tflops, card.fp32_tflops),
    }
    figures = of_class.get(precision_class(precision), (card.fp16_tensor_tflops, card.fp32_tflops))
    known = [figure for figure in figures if figure]
    return max(known) if known else card.fp16_tensor_tflops


def specs(card: Accelerator, precision: str) -> Specs | None:
    """The card's figures for a precision, None when one is missing."""
    tflops = peak_tflops(card, precision)
    if not tflops or not card.bandwidth_gb_s or not card.memory_gib:
        return None
    return Specs(tflops, card.bandwidth_gb_s, card.memory_gib)


def fit(measured: list[tuple[Specs, float]]) -> tuple[float, ...]:
    """(a, b, c) that fit the measured throughputs with the least relative error."""
    rows = [[scale * y / figure for scale, figure in zip(_SCALE, card, strict=True)] for card, y in measured]
    return tuple(scale * value for scale, value in zip(_SCALE, fit_to_one(rows), strict=True))


def throughput(coefficients: tuple[float, ...], card: Specs) -> float:
    """Units of work per second by the fitted curve."""
    return 1 / sum(value / figure for value, figure in zip(coefficients, card, strict=True))


def distance(one: Specs, other: Specs) -> float:
    """How unlike two cards are: length of the difference of their logarithms."""
    return sqrt(sum(log(a / b) ** 2 for a, b in zip(one, other, strict=True)))


def shape_ratio(target: Specs, measured: Specs) -> float:
    """Throughput ratio by the geometric mean of peak and bandwidth: the best guess from a single card."""
    return sqrt(target.tflops / measured.tflops * target.gb_per_s / measured.gb_per_s)
