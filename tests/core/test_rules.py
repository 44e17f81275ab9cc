"""Each data rule finds its fault and nothing else."""

from __future__ import annotations

import pytest

from gpucloud.core import rules

GOOD = {
    "instance_type": "p4d",
    "region": "us-east-1",
    "zone": "",
    "market": "on-demand",
    "term_months": None,
    "usd_per_hour": 22.0,
    "price_kind": "list",
    "observed_on": "2026-06-01",
    "status": "current",
    "source": "list-a",
    "flags": "",
}


def found(*rows):
    problems = rules.offer_problems(
        "offers/aws.csv", [(line, {**GOOD, **row}) for line, row in enumerate(rows, 2)], "2026-07-01"
    )
    return [(problem.line, problem.column, problem.rule) for problem in problems]


def test_good_rows_have_no_problem():
    assert (
        found({}, {"market": "spot", "usd_per_hour": 7.0}, {"region": "r2", "usd_per_hour": None, "source": ""}) == []
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"observed_on": ""}, ("observed_on", "dated")),
        ({"observed_on": "2026-07-02"}, ("observed_on", "dated")),
        ({"source": ""}, ("source", "sourced")),
        ({"usd_per_hour": 700.0}, ("usd_per_hour", "placeholder")),
        ({"usd_per_hour": 99999.0}, ("usd_per_hour", "placeholder")),
    ],
)
def test_a_single_row(row, problem):
    assert found(row) == [(2, *problem)]


def test_an_unknown_day_may_be_flagged():
    assert found({"observed_on": "", "flags": "date_unknown"}) == []


def test_spot_above_on_demand_is_suspect():
    above = {"market": "spot", "usd_per_hour": 23.0}
    assert found({}, above) == [(3, "status", "spot_above_on_demand")]
    assert found({}, {**above, "status": "suspect"}) == []
    assert found({}, {**above, "region": "elsewhere"}) == []


def test_spot_equal_to_on_demand_is_flagged():
    equal = {"market": "spot"}
    assert found({}, equal) == [(3, "flags", "no_discount")]
    assert found({}, {**equal, "flags": "x=1;no_discount"}) == []


def test_a_price_beyond_three_times_its_median_is_suspect():
    places = [{"region": f"r{number}"} for number in range(4)]
    high = {"region": "far", "usd_per_hour": 66.1}
    assert found(*places, high) == [(6, "status", "outlier")]
    assert found(*places, {**high, "usd_per_hour": 66.0}) == []
    assert found(*places, {**high, "status": "suspect"}) == []


def test_a_repeated_key_names_the_first_line():
    rows = [(2, GOOD), (3, {**GOOD, "region": "r2"}), (4, GOOD)]
    (problem,) = rules.repeated("f", rows, ("instance_type", "region"))
    assert (problem.line, problem.rule) == (4, "repeated") and "line 2" in problem.message


def test_an_unknown_name_is_found():
    (problem,) = rules.unknown("f", [(2, GOOD), (3, {**GOOD, "source": "x"})], "source", {"list-a"}, "sources.csv")
    assert (problem.line, problem.column) == (3, "source") and "sources.csv" in problem.message


def test_tpus_are_googles():
    rows = [(2, {"accelerator": "TPU-v3", "cloud": "aws"}), (3, {"accelerator": "TPU-v3", "cloud": "gcp"})]
    assert [problem.line for problem in rules.type_problems("f", rows, {"TPU-v3"})] == [2]


def bench(count, throughput, flags=""):
    series = ("accelerator", "model", "precision", "framework", "batch_size", "year", "source")
    return {
        **dict.fromkeys(series, "x"),
        "accelerator_count": count,
        "throughput": throughput,
        "unit": "samples/s",
        "flags": flags,
    }


def test_scaling_above_one_fifteen_must_be_flagged():
    rows = list(enumerate([bench(1, 100), bench(2, 229), bench(4, 461), bench(8, 1000, "superlinear")], 2))
    assert [problem.line for problem in rules.benchmark_problems("f", rows)] == [4]


def test_minutes_do_not_scale():
    rows = list(enumerate([{**bench(1, 100), "unit": "minutes"}, {**bench(8, 9000), "unit": "minutes"}], 2))
    assert list(rules.benchmark_problems("f", rows)) == []
