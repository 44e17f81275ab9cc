"""Quantities as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucloud.core import units
from gpucloud.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("6h", 21600), ("90m", 5400), ("0.05", 180), ("45s", 45), ("54d", 4665600), ("1e1h", 36000)]
)
def test_durations(text, seconds):
    assert units.duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "h", "-3h", "6 fortnights", "nan", "1,5h", "6hh"])
def test_wrong_durations_are_usage_errors(text):
    with pytest.raises(UsageError):
        units.duration_s(text)


@pytest.mark.parametrize(("text", "gib"), [("40GB", 40), ("40", 40), ("512MiB", 0.5), ("1tb", 1024)])
def test_memory(text, gib):
    assert units.memory_gib(text) == pytest.approx(gib)


@given(st.floats(min_value=0, max_value=1e7))
def test_a_duration_survives_being_written_in_seconds(seconds):
    assert units.duration_s(f"{seconds:.3f}s") == pytest.approx(seconds, abs=1e-3)


def test_shown_durations():
    assert [units.show_duration(s) for s in (12, 250, 3900, 183600)] == ["12s", "4m 10s", "1h 05m", "2d 3h"]


def test_times_are_utc():
    assert units.iso_utc(0) == "1970-01-01T00:00:00Z"
    assert units.days_between("2026-01-01", "2026-02-01T10:00:00Z") == 31
