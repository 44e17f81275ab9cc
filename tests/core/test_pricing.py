"""The cost of the work follows from price, speed and how the cloud bills."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucloud.core.pricing import billed_s, cost_of_work, usd_per_unit_work, work_unit


def test_a_unit_of_work_is_a_million_samples_or_a_billion_tokens():
    assert usd_per_unit_work(36.0, 10_000.0, "samples/s") == pytest.approx(1.0)
    assert usd_per_unit_work(36.0, 10_000.0, "tokens/s") == pytest.approx(1000.0)
    assert work_unit("steps/s") == (1e6, "1e6 steps")


def test_minutes_to_a_target_are_no_rate():
    assert usd_per_unit_work(36.0, 10.0, "minutes") is None and work_unit("minutes") is None


def test_no_price_no_cost():
    assert usd_per_unit_work(None, 10.0, "samples/s") is None


def test_a_short_job_by_the_second_and_by_the_hour():
    # CIFAR10 in 74 s at 3.06 USD an hour: 0.06 USD by the second, 3.06 by the hour
    _, by_second = cost_of_work(74, 1.0, 3.06)
    _, by_hour = cost_of_work(74, 1.0, 3.06, billing_increment_s=3600.0)
    assert (round(by_second, 2), by_hour) == (0.06, 3.06)


def test_the_minimum_and_every_node_are_billed():
    assert billed_s(10, 1, 60) == 60 and billed_s(61, 60, 60) == 120 and billed_s(0, 3600, 60) == 0
    hours, usd = cost_of_work(3600, 1.0, 2.0, nodes=4, setup_s=1800)
    assert (hours, usd) == (1.5, 12.0)


@given(st.floats(0.01, 100), st.floats(1, 1e6), st.floats(1, 1e4), st.floats(1, 10))
def test_cost_is_linear_in_the_price(usd_per_hour, work, speed, factor):
    once = cost_of_work(work, speed, usd_per_hour)[1]
    assert cost_of_work(work, speed, usd_per_hour * factor)[1] == pytest.approx(once * factor)


@given(st.floats(0, 1e6), st.sampled_from([1.0, 60.0, 3600.0]), st.floats(0, 3600))
def test_the_bill_covers_the_use(used_s, increment_s, minimum_s):
    billed = billed_s(used_s, increment_s, minimum_s)
    assert billed >= used_s * (1 - 1e-11) and billed - max(used_s, minimum_s) < increment_s + 1e-6


def test_a_moment_costs_a_whole_step_and_a_rounding_error_none():
    assert billed_s(1e-6, 3600.0) == 3600 and billed_s(3 * 0.1, 0.1) == pytest.approx(0.3)
