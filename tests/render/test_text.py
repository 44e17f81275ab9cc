"""Values as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucloud.render.text import age, count, dollars, dollars_between, plural, shortened, significant, width_of


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ""),
        (0.0, "0"),
        (0.052612, "0.05261"),
        (0.99996, "1"),
        (9.9996, "10"),
        (12.345, "12.35"),
        (638.0, "638"),
        (31415.9, "31,416"),
        (2.5e17, "2.5e+17"),
        (1e-9, "1e-09"),
        (-12.0, "-12"),
    ],
)
def test_significant(value, words):
    assert significant(value) == words


@given(st.floats(1e-5, 1e14))
def test_significant_is_near(value):
    assert float(significant(value).replace(",", "")) == pytest.approx(value, rel=6e-4)


@pytest.mark.parametrize(
    ("value", "words"), [(8.0, "8"), (1 / 6, "1/6"), (0.167, "1/6"), (0.125, "1/8"), (0.7, "0.7"), (2048, "2,048")]
)
def test_count(value, words):
    assert count(value) == words


@pytest.mark.parametrize(
    ("days", "words"),
    [(None, "unknown"), (0, "today"), (1, "1 d"), (60, "60 d"), (61, "2 mo"), (365, "12 mo"), (366, "1.0 y")],
)
def test_age(days, words):
    assert age(days) == words


def test_plural():
    assert (plural(1, "offer"), plural(2104, "offer")) == ("1 offer", "2,104 offers")


@given(st.text(st.characters(categories=["Lu", "Ll", "Lo"]), max_size=30), st.integers(6, 20))
def test_shortened_fits(words, width):
    assert width_of(shortened(words, width)) <= width


def test_dollars_have_cents_only_where_they_matter():
    assert [dollars(value) for value in (0.5, 48.129, 1234.5)] == ["0.50", "48.13", "1,234"]
    assert dollars_between(3.551, 5.72) == "3.55 .. 5.72"
    assert dollars_between(9.4, 57.4) == "9 .. 57" and dollars_between(990, 12_345.6) == "990 .. 12,346"
