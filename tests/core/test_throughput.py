"""Measured rows: same precision and count, the newest, never a doubtful one."""

from __future__ import annotations

from dataclasses import replace

from gpucloud.core.throughput import Benchmark, measured, one_per_source, usable

ROW = Benchmark("A100", 8.0, "resnet50", 9000.0, "samples/s", precision="fp16", year=2020, source="a")


def test_only_the_same_card_and_count():
    assert measured([ROW], "A100", 8.0) is not None
    assert measured([ROW], "A100", 4.0) is None and measured([ROW], "V100", 8.0) is None


def test_the_newest_wins_and_says_where_it_is_from():
    newer = replace(ROW, year=2022, throughput=8000.0, source="b")
    found = measured([ROW, newer], "A100", 8.0)
    assert found is not None
    assert (found.value, found.low, found.high, found.basis, found.source) == (8000, 8000, 8000, "measured", "b")


def test_of_one_year_the_fastest_setting_wins():
    assert usable([ROW, replace(ROW, throughput=9100.0, batch_size=512)], "A100", 8.0)[0].throughput == 9100


def test_a_precision_is_exact_and_without_one_todays_comes_first():
    single = replace(ROW, precision="fp32", year=2024, throughput=5000.0)
    assert measured([ROW, single], "A100", 8.0, "fp32").value == 5000
    assert measured([ROW, single], "A100", 8.0, "tf32") is None
    assert measured([single, ROW], "A100", 8.0).value == 9000


def test_doubtful_rows_other_nodes_and_minutes_are_never_used():
    rows = [
        replace(ROW, flags=("superlinear",)),
        replace(ROW, flags=("input_bound=yes",)),
        replace(ROW, nodes=2),
        replace(ROW, unit="minutes"),
    ]
    assert measured(rows, "A100", 8.0) is None


def test_several_sources_are_shown_not_averaged():
    rows = [ROW, replace(ROW, throughput=9200.0), replace(ROW, source="b", flags=("superlinear",))]
    assert [(row.source, row.throughput) for row in one_per_source(rows)] == [("a", 9200.0), ("b", 9000.0)]


def test_what_was_measured_oneself_comes_before_what_others_published():
    own = Benchmark("A10", 1, "resnet50", 300, "samples/s", precision="fp16", year=2020, source="own")
    published = Benchmark("A10", 1, "resnet50", 900, "samples/s", precision="fp16", year=2026, source="list-a")
    found = measured([published, own], "A10", 1)
    assert found is not None and (found.value, found.source) == (300, "own")
