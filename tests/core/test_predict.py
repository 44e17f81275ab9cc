"""Prediction from specs and other cards: exactness where the world is a roofline, honest intervals, the targets."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucloud.core.least_squares import fit_to_one
from gpucloud.core.offers import Accelerator
from gpucloud.core.predict import PRIOR_ERROR, Predictor, chip, width_of
from gpucloud.core.roofline import peak_tflops, precision_class, specs
from gpucloud.core.self_check import guesses, quality, spearman
from gpucloud.core.series import pool, series_of, usable_rates
from gpucloud.core.throughput import Benchmark


def card(name: str, tflops: float, gb_per_s: float, memory: float, **more) -> Accelerator:
    return Accelerator(
        name, name, "nvidia", memory_gib=memory, bandwidth_gb_s=gb_per_s, fp16_tensor_tflops=tflops,
        fp32_tflops=tflops / 8, **more,
    )  # fmt: skip


CARDS = {
    one.name: one
    for one in (
        card("T4", 65, 320, 16),
        card("V100", 125, 900, 32),
        card("A10", 125, 600, 24),
        card("A40", 150, 696, 48),
        card("A100", 312, 2039, 80),
        card("H100", 989, 3350, 80),
    )
}


def roofline_rate(one: Accelerator, a: float, b: float, c: float) -> float:
    figures = specs(one, "fp16")
    assert figures is not None
    return 1 / (a / figures.tflops + b / figures.gb_per_s + c / figures.memory_gb)


def row(name: str, rate: float, **more) -> Benchmark:
    return Benchmark(
        name,
        more.pop("count", 1),
        "m",
        rate,
        more.pop("unit", "samples/s"),
        precision=more.pop("precision", "fp16"),
        **more,
    )


@given(st.floats(0.001, 1), st.floats(0.001, 10), st.floats(0, 0.1))
@settings(max_examples=40)
def test_where_the_world_is_a_roofline_the_prediction_is_exact(a, b, c):
    rates = {name: roofline_rate(one, a, b, c) for name, one in CARDS.items() if name != "A40"}
    found = Predictor(rates, CARDS, "16").predict(CARDS["A40"])
    assert found is not None
    assert found.value == pytest.approx(roofline_rate(CARDS["A40"], a, b, c), rel=1e-4)
    assert found.low < found.value < found.high and found.basis == "predicted"


def test_from_one_card_it_is_the_mean_of_peak_and_bandwidth():
    """The published pair: MPT-7B does 4641 tokens/s on an A100 and 10643 on an H100."""
    found = Predictor({"A100": 4641.0}, CARDS, "bf16").predict(CARDS["H100"])
    assert found is not None and found.value == pytest.approx(10643, rel=0.15)
    assert found.low <= 10643 <= found.high
    assert found.explain == "peak and bandwidth against A100"


def test_nothing_known_nothing_said():
    assert Predictor({}, CARDS, "16").predict(CARDS["T4"]) is None
    assert Predictor({"A100": 1.0}, CARDS, "16").predict(Accelerator("X", "X")) is None
    assert Predictor({"unheard": 1.0}, CARDS, "16").predict(CARDS["T4"]) is None


def test_a_vendor_nobody_measured_gets_a_wider_interval():
    rates = {name: roofline_rate(one, 0.1, 1, 0) for name, one in CARDS.items()}
    stranger = Accelerator("MI", "MI", "amd", memory_gib=80, bandwidth_gb_s=2039, fp16_tensor_tflops=312)
    predictor = Predictor(rates, CARDS, "16")
    ours, theirs = predictor.predict(CARDS["A100"]), predictor.predict(stranger)
    assert ours is not None and theirs is not None
    assert theirs.high / theirs.value > ours.high / ours.value


@given(st.lists(st.floats(0, 2), max_size=40))
def test_the_interval_holds_eighty_percent_or_the_prior(errors):
    width = width_of(errors)
    assert width > 0
    if len(errors) > 20:
        assert sum(error <= width for error in errors) >= 0.7 * len(errors)
    if not errors:
        assert width == pytest.approx(PRIOR_ERROR, rel=0.2)


@given(st.lists(st.lists(st.floats(0.01, 10), min_size=3, max_size=3), min_size=3, max_size=12))
def test_the_solver_never_goes_negative_and_never_loses_to_a_single_term(rows):
    found = fit_to_one(rows)

    def cost(c):
        return sum((sum(x * y for x, y in zip(r, c, strict=True)) - 1) ** 2 for r in rows)

    assert min(found) >= 0
    for column in range(3):
        best = sum(r[column] for r in rows) / sum(r[column] ** 2 for r in rows)
        alone = [best if k == column else 0.0 for k in range(3)]
        assert cost(found) <= cost(alone) + 1e-6


def test_precisions_that_use_the_same_units():
    assert precision_class("bf16") == precision_class("mixed") == "16"
    assert precision_class("tf32") == precision_class("fp32") == "32"
    pascal = Accelerator("P", "P", fp32_tflops=11.3)
    assert peak_tflops(pascal, "fp16") == 11.3
    ampere = Accelerator("A", "A", fp32_tflops=19.5, tf32_tflops=156, fp16_tensor_tflops=312, fp8_tflops=None)
    assert (peak_tflops(ampere, "fp32"), peak_tflops(ampere, "fp16"), peak_tflops(ampere, "fp8")) == (156, 312, 312)


def test_chips_are_told_apart_by_architecture_and_capability():
    assert chip(card("x", 1, 1, 1, architecture="Ampere", compute_capability="8.0")) == "Ampere 8.0"
    assert chip(Accelerator("name", "family")) == "family"


def test_series_are_brought_to_one_scale():
    rows = [
        *(row(name, 100.0 * k, framework="new", year=2024) for k, name in enumerate(sorted(CARDS)[:5], 1)),
        *(row(name, 50.0 * k, framework="old", year=2020) for k, name in enumerate(sorted(CARDS)[:2], 1)),
        row("V100", 400.0, framework="old", year=2020),
        row("B200", 7.0, framework="elsewhere", year=2025),
    ]  # fmt: skip
    shared = pool(series_of(rows))
    assert shared.reference is not None and shared.reference.key == ("fp16", "new")
    assert shared.factors[("fp16", "old")] == pytest.approx(0.5)
    assert shared.per_gpu["V100"] == pytest.approx(800)
    assert "B200" not in shared.per_gpu
    found = shared.row("V100")
    assert found is not None and found[0].throughput == 400 and found[1] == pytest.approx(0.5)
    assert shared.row("B200") is None


def test_a_series_takes_the_best_batch_the_middle_host_and_the_smallest_count():
    rows = [
        row("T4", 90.0, batch_size=32), row("T4", 100.0, batch_size=64), row("T4", 110.0, batch_size=64),
        row("T4", 120.0, batch_size=64), row("T4", 800.0, batch_size=64, count=8),
    ]  # fmt: skip
    (one,) = series_of(rows)
    assert one.per_gpu == {"T4": 110.0}


def test_doubtful_rows_and_minutes_are_not_used():
    rows = [row("T4", 5.0, flags=("superlinear",)), row("T4", 5.0, unit="minutes"), row("T4", 5.0)]
    assert usable_rates(rows) == [rows[2]]


def test_the_check_leaves_the_card_out_and_finds_a_roofline_perfect():
    rows = [row(name, roofline_rate(one, 0.1, 1.0, 0.0)) for name, one in CARDS.items()]
    for leave in ("card", "chip"):
        sweep = guesses(rows, CARDS, leave)
        found = quality(sweep, leave)
        assert len(sweep) == len(CARDS) and found is not None
        assert found.median_error < 0.01 and found.coverage > 0.9 and found.order == pytest.approx(1)
    assert quality([], "card") is None


def test_a_lie_about_one_card_does_not_help_to_predict_it():
    rows = [row(name, roofline_rate(one, 0.1, 1.0, 0.0) * (5 if name == "A10" else 1)) for name, one in CARDS.items()]
    lie = next(guess for guess in guesses(rows, CARDS, "card") if guess.card == "A10")
    assert lie.error == pytest.approx(0.8, abs=0.01)


def test_rank_correlation():
    assert spearman([1, 2, 3], [10, 20, 30]) == 1
    assert spearman([1, 2, 3], [3, 2, 1]) == -1
    assert not math.isnan(spearman([1, 2, 3, 4], [1, 3, 2, 4]))
