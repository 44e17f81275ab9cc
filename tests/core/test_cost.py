"""What was spent, from stretches of machine time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucloud.core.answers import cost_json
from gpucloud.core.cost import billed_seconds, cost_items, run_usd, spent_usd
from gpucloud.core.deployments import Attempt, Deployment, Run
from gpucloud.core.offers import Offer

OFFER = Offer("aws", "p4d", "A100", 8, "r", "z", usd_per_hour=36.0, observed_on="2026-01-01")  # one cent a second


def deployment(runs=(), pauses=(), ended=1000.0, **changes):
    attempt = Attempt(1, "t", "acc", "me", OFFER, 1, opened_at=0.0, sent_at=0.0, outcome="made")
    attempt = replace(attempt, **{key: value for key, value in changes.items() if key in ("failure", "offer", "nodes")})
    made = tuple(Run(n, "t-bcdefgh2", "t", "x", "succeeded", 0.0, begin, end) for n, (begin, end) in enumerate(runs, 1))
    return Deployment("t-bcdefgh2", "t", 0.0, attempts=(attempt,), runs=made, pauses=tuple(pauses), billing_ended=ended)


@pytest.mark.parametrize(
    ("seconds", "increment", "minimum", "billed"),
    [
        (61.2, 1, 60, 62),
        (10, 1, 60, 60),
        (61, 60, 60, 120),
        (3600, 3600, 0, 3600),
        (3601, 3600, 0, 7200),
        (0, 1, 60, 0),
    ],
)
def test_minimum_and_increment(seconds, increment, minimum, billed):
    offer = replace(OFFER, billing_increment_s=increment, minimum_s=minimum)
    assert billed_seconds(seconds, offer) == billed


def test_all_nodes_cost():
    assert spent_usd(deployment(), 5000.0) == pytest.approx(10.0)
    assert spent_usd(deployment(nodes=4), 5000.0) == pytest.approx(40.0)
    assert spent_usd(deployment(ended=None), 200.0) == pytest.approx(2.0)


def test_stopped_time_is_free():
    assert spent_usd(deployment(pauses=[(300.0, 500.0)]), 5000.0) == pytest.approx(8.0)
    assert spent_usd(deployment(pauses=[(300.0, None)]), 5000.0) == pytest.approx(3.0)


def test_the_lines_say_what_ran_and_what_idled():
    items = cost_items(deployment(runs=[(100, 300), (500, 600)]), 5000.0)
    assert [(item.run, item.kind, round(item.usd or 0, 6)) for item in items] == [
        ("t/1", "run", 2.0),
        ("t/2", "run", 1.0),
        (None, "idle", 7.0),
    ]
    assert items[0].price_observed_on == "2026-01-01"


def test_runs_at_the_same_time_share():
    one = deployment(runs=[(0, 200), (100, 200)])
    assert run_usd(one, one.runs[0], 5000.0) == pytest.approx(1.5)
    assert run_usd(one, one.runs[1], 5000.0) == pytest.approx(0.5)


def test_a_failed_attempt_is_on_the_bill():
    (item,) = cost_items(deployment(failure="timeout"), 5000.0)
    assert (item.kind, item.usd) == ("failed_attempt", pytest.approx(10.0))


def test_a_missing_price_is_null_not_zero():
    unknown = deployment(offer=replace(OFFER, usd_per_hour=None))
    assert spent_usd(unknown, 5000.0) is None
    assert cost_json(cost_items(unknown, 5000.0))["total_usd"] is None


def test_since_leaves_out_what_was_before():
    assert sum(item.usd or 0 for item in cost_items(deployment(), 5000.0, since=900.0)) == pytest.approx(1.0)
    assert cost_items(deployment(), 5000.0, since=1001.0) == []


spans = st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000)).map(sorted).map(tuple), max_size=4)


@given(spans, st.lists(st.floats(1, 999), max_size=4, unique=True).map(sorted))
def test_the_lines_always_add_up_to_what_was_spent(runs, edges):
    pauses = list(zip(edges[::2], edges[1::2], strict=False))
    offer = replace(OFFER, billing_increment_s=1.0)
    one = deployment(runs=runs, pauses=pauses, offer=offer)
    total = sum(item.usd or 0 for item in cost_items(one, 5000.0))
    assert total == pytest.approx(spent_usd(one, 5000.0), abs=1e-6)
