"""Properties that the formulas keep for any input, and the worked figures of their sources."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucloud.core.comm import allreduce_s, comm_efficiency, transfer_s
from gpucloud.core.errors import UsageError
from gpucloud.core.memory import TrainingJob, fit, largest_batch, need
from gpucloud.core.ownership import Ownership
from gpucloud.core.ranges import number, parse_range, spread
from gpucloud.core.scaling import amdahl_serial_share, scaling
from gpucloud.core.spot import (
    best_interval_s,
    best_stretch,
    daly_interval_s,
    fleet_mtbf_s,
    overhead,
    stretch,
    young_interval_s,
)
from gpucloud.core.train_time import train

positive = st.floats(0.01, 1e4)


@given(hours=positive, price=positive, factor=st.floats(0.1, 10))
def test_cost_is_linear_in_price(hours, price, factor):
    once = train({"hours": hours, "usd_per_hour": price})["usd"]
    assert train({"hours": hours, "usd_per_hour": price * factor})["usd"] == pytest.approx(once * factor)


@given(st.floats(1, 3600), st.floats(60, 1e7), st.floats(1, 100), st.floats(0, 3600))
def test_a_longer_mtbf_never_raises_the_stretch(checkpoint, mtbf, longer, restart):
    before, after = best_stretch(checkpoint, mtbf, restart), best_stretch(checkpoint, mtbf * longer, restart)
    assert after <= before * (1 + 1e-9) or math.isinf(before)
    assert after >= 1 - 1e-9


@given(st.floats(1, 600), st.floats(600, 1e6))
def test_no_interval_beats_the_exact_optimum(checkpoint, mtbf):
    best = best_stretch(checkpoint, mtbf)
    for interval in (young_interval_s(checkpoint, mtbf), daly_interval_s(checkpoint, mtbf), mtbf / 3):
        assert interval > 0
        assert stretch(interval, checkpoint, mtbf) >= best * (1 - 1e-9)


def test_the_published_stretches():
    for hours, lost in ((2, 0.37), (6, 0.17), (24, 0.075), (168, 0.026)):
        assert best_stretch(180, hours * 3600, 600) - 1 == pytest.approx(lost, abs=0.006)


def test_failure_rates_of_two_published_clusters():
    assert fleet_mtbf_s(6.5, 2048) / 3600 == pytest.approx(1.8, rel=0.01)
    assert pytest.approx(3.1, rel=0.01) == 54 * 24 / 419


def test_first_order_overhead_is_smallest_at_youngs_interval():
    young = young_interval_s(60, 36000)
    assert overhead(young, 60, 36000) < min(overhead(young * 2, 60, 36000), overhead(young / 2, 60, 36000))
    assert best_interval_s(60, 36000) == pytest.approx(young, rel=0.05)


def test_a_machine_lost_at_once_never_finishes():
    assert math.isinf(stretch(3600, 60, 1))


@given(st.floats(1, 1e6), st.floats(1e-3, 1e3), st.floats(1, 10), st.floats(0, 0.3), st.floats(1.0, 20.0))
def test_a_higher_rent_never_raises_the_break_even_utilisation(price, rent, years, rate, dearer):
    owned = Ownership(price, years, watts=1000, usd_per_kwh=0.1, yearly_usd=100, resale_usd=price / 5, rate=rate)
    low, high = owned.break_even_utilisation(rent), owned.break_even_utilisation(rent * dearer)
    assert low is None or (high is not None and high <= low * (1 + 1e-9))


@given(st.floats(1e3, 1e6), st.floats(0.5, 50), st.floats(0.05, 1), st.floats(0, 0.3))
def test_at_the_break_even_utilisation_owning_costs_the_rent(price, rent, idle, rate):
    owned = Ownership(price, 3, watts=2000, usd_per_kwh=0.2, idle_share=idle, yearly_usd=price / 20, rate=rate)
    share = owned.break_even_utilisation(rent)
    if share and share <= 1:
        at_crossing = Ownership(price, 3, share, 2000, 0.2, 1.0, idle, price / 20, 0.0, rate)
        assert at_crossing.usd_per_hour() == pytest.approx(rent, rel=1e-6)


def worked_example(utilisation: float) -> Ownership:
    """8 x A100 40GB at Lambda's list price, 4.7 kW, PUE 1.5, $0.12, 3 years, 10 %, resale 20 %, support 3 %."""
    return Ownership(116568, 3, utilisation, 4700, 0.12, 1.5, 0.36, 15000 + 0.03 * 116568, 0.2 * 116568, 0.10)


@pytest.mark.parametrize(("share", "usd"), [(1.0, 7.50), (0.35, 20.42)])
def test_the_hour_of_an_owned_server(share, usd):
    assert worked_example(share).usd_per_hour() == pytest.approx(usd, rel=0.005)


@pytest.mark.parametrize(("rent", "share"), [(32.77, 0.22), (20.18, 0.35), (13.66, 0.53), (12.50, 0.58), (8.80, 0.84)])
def test_the_use_above_which_the_server_pays(rent, share):
    assert worked_example(1.0).break_even_utilisation(rent) == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize(("rent", "month"), [(32.77, 10), (20.18, 19)])
def test_the_month_in_which_the_server_is_repaid(rent, month):
    days = worked_example(0.6).break_even_days(rent)
    assert days is not None and math.ceil(days / 30.4375) == month


def test_cheap_rent_never_repays_within_five_years():
    days = worked_example(0.6).break_even_days(8.80)
    assert days is None or days > 5 * 365


def test_rent_below_the_price_of_power_never_pays():
    owned = Ownership(1000, 3, watts=1000, usd_per_kwh=0.5)
    assert owned.break_even_utilisation(0.4) is None
    assert owned.break_even_days(0.4) is None


def test_a_started_year_costs_its_share():
    assert Ownership(100, 2.5, yearly_usd=10).totals_usd() == pytest.approx([110, 120, 125])


jobs = st.builds(
    TrainingJob,
    params=st.floats(1e6, 1e11),
    optimizer=st.sampled_from(("adam", "adam8bit", "sgd")),
    precision=st.sampled_from(("mixed", "fp32", "bf16")),
    method=st.sampled_from(("full", "lora", "qlora")),
    zero=st.integers(0, 3),
    ranks=st.integers(1, 64),
    layers=st.integers(1, 80),
    d_model=st.integers(64, 8192),
    seq=st.integers(16, 8192),
    batch=st.integers(1, 16),
)


@settings(max_examples=60)
@given(jobs, st.floats(4, 200), st.floats(1, 10))
def test_more_memory_never_turns_fits_into_does_not_fit(job, memory, more):
    order = ("fits", "fits_with", "does_not_fit")
    small, large = fit(job, memory), fit(job, memory * more)
    assert order.index(large.verdict) <= order.index(small.verdict)
    assert (large.largest_batch or 0) >= (small.largest_batch or 0) or large.given_up != small.given_up


@settings(max_examples=60)
@given(jobs)
def test_sharing_never_needs_more(job):
    needs = [
        need(TrainingJob(job.params, job.optimizer, job.precision, job.method, zero, job.ranks)).gib
        for zero in range(4)
    ]
    assert needs == sorted(needs, reverse=True)


def test_the_largest_batch_fits_and_one_more_does_not():
    job = TrainingJob(params=1.3e9, layers=24, d_model=2048, seq=2048, vocab=50257)
    most = largest_batch(job, 80)
    assert most is not None and most > 1
    assert fit(TrainingJob(**{**job.__dict__, "batch": most}), 80).verdict == "fits"
    assert fit(TrainingJob(**{**job.__dict__, "batch": most + 1}), 80).given_up


def test_what_is_fixed_is_not_given_up():
    job = TrainingJob(params=8e9)
    assert fit(job, 24).given_up == ("LoRA",) or fit(job, 24).given_up == ("QLoRA",)
    assert fit(job, 24, frozenset({"method", "optimizer"})).verdict == "does_not_fit"


def test_llama_8b_at_32k_tokens():
    shape = {"params": 8e9, "layers": 32, "d_model": 4096, "seq": 32768}
    assert need(TrainingJob(**shape)).activations_gib == pytest.approx(224)
    assert need(TrainingJob(**shape, checkpointing=True)).activations_gib == pytest.approx(15)


@given(st.floats(1e6, 1e11), st.floats(0.1, 900), st.integers(2, 512))
def test_a_ring_moves_less_than_twice_the_gradients(params, bandwidth, gpus):
    once = transfer_s(params, 4, bandwidth)
    assert once <= allreduce_s(params, 4, bandwidth, gpus) < 2 * once
    assert allreduce_s(params, 4, bandwidth, 1) == 0


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0, 1))
def test_hiding_the_exchange_never_hurts(step, exchange, hidden):
    assert 0 < comm_efficiency(step, exchange) <= comm_efficiency(step, exchange, hidden) <= 1


def test_a_fit_over_one_to_eight_nodes_predicts_thirty_two():
    measured = {1.0: 4553.0, 8.0: 4553.0 * 7.86}
    assert scaling(measured, 32.0)["predicted"] == pytest.approx(138294, rel=0.025)


def test_superlinear_points_are_named():
    assert scaling({1.0: 100.0, 2.0: 240.0})["superlinear"] == [2.0]


def test_amdahl():
    assert amdahl_serial_share(8, 1.0) == 0
    assert amdahl_serial_share(2, 0.5) == pytest.approx(1)


@pytest.mark.parametrize(("text", "value"), [("7B", 7e9), ("1.4T", 1.4e12), ("7e9", 7e9), ("35%", 0.35), ("2k", 2000)])
def test_numbers_as_people_write_them(text, value):
    assert number(text, "--x") == pytest.approx(value)


@pytest.mark.parametrize("text", ["0", "-1", "5..3", "x", "1e999", "..", "3.."])
def test_ranges_that_make_no_sense(text):
    with pytest.raises(UsageError) as caught:
        parse_range(text, "--x")
    assert caught.value.hint


@given(st.tuples(positive, positive).map(sorted), positive)
def test_a_range_encloses_every_value_inside(ends, other):
    low, high = ends
    answer = spread(lambda at: {"y": at["a"] / at["b"]}, {"a": (low, high), "b": (other, other * 2)})
    middle = (low + high) / 2 / (1.5 * other)
    assert answer["y_low"] <= middle * (1 + 1e-9) and middle <= answer["y_high"] * (1 + 1e-9)


def test_lists_spread_item_by_item_and_never_is_the_high_end():
    answer = spread(lambda at: {"l": [at["a"], -at["a"]], "n": None if at["a"] > 1 else 5}, {"a": (1.0, 2.0)})
    assert answer == {"l_low": [1.0, -2.0], "l_high": [2.0, -1.0], "n_low": 5, "n_high": None}


def test_figures_that_contradict_each_other():
    with pytest.raises(UsageError, match="contradict"):
        train({"hours": 10, "count": 8, "gpu_hours": 100})


@pytest.mark.parametrize(
    "given_values",
    [
        {"tokens": 1e9, "samples": 1e6},
        {"params": 1e9, "samples": 1e6},
        {"params": 7e9, "tokens": 1e12},
        {"params": 7e9, "layers": 32, "hours": 1},
        {"params": 7e9, "throughput_per_gpu": 1e5, "peak_tflops": 312},
        {},
    ],
)
def test_training_figures_that_make_no_sense(given_values):
    with pytest.raises(UsageError) as caught:
        train(given_values)
    assert caught.value.hint


@given(st.floats(1e6, 1e12), st.floats(1e6, 1e13), st.floats(0.05, 0.9), st.integers(1, 4096))
def test_solving_forwards_and_back_agrees(params, tokens, mfu, count):
    start = {"params": params, "tokens": tokens, "count": float(count), "peak_tflops": 312.0}
    there = train({**start, "mfu": mfu})
    assert train({**start, "hours": there["hours"]})["mfu"] == pytest.approx(mfu)
    assert train({**start, "throughput": there["throughput"]})["gpu_hours"] == pytest.approx(there["gpu_hours"])


@given(st.floats(1, 1e6), st.floats(1, 1e4))
def test_the_count_for_a_deadline_meets_it(gpu_hours, deadline):
    answer = train({"gpu_hours": gpu_hours, "deadline_hours": deadline})
    assert answer["meets_deadline"]
    assert answer["count"] == 1 or gpu_hours / (answer["count"] - 1) > deadline
