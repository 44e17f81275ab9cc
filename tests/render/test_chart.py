"""Cost against time in letters: every point where its figures say, within the width, on any terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucloud.render.chart import ASCII, ROWS, UNICODE, Point, can_show, chart

FIGURES = st.floats(1e-3, 1e8)
POINTS = st.lists(st.builds(Point, FIGURES, FIGURES, st.sampled_from(["rent", "own"]), st.booleans()), max_size=40)


def body(lines: list[str], marks=ASCII) -> list[str]:
    """What is drawn right of the price axis, from the top."""
    return [line.split(marks.side, 1)[1] for line in lines[1 : ROWS + 1]]


def test_a_decade_is_as_long_anywhere():
    lines = body(chart([Point(1, 10, "rent"), Point(10, 100, "rent"), Point(100, 1000, "rent")], 72))
    rows = [number for number, line in enumerate(lines) if "o" in line]
    columns = [lines[number].index("o") for number in rows]
    assert rows[1] - rows[0] == pytest.approx(rows[2] - rows[1], abs=1)
    assert columns[0] - columns[1] == pytest.approx(columns[1] - columns[2], abs=1)
    assert columns == sorted(columns, reverse=True)  # more time is to the right, more money is above


def test_the_front_is_marked_and_joined():
    front = [Point(1, 100, "rent", True), Point(10, 10, "own", True)]
    drawn = "\n".join(body(chart([*front, Point(10, 100, "own"), Point(1.1, 90, "rent")], 60)))
    assert drawn.count("*") == 2 and drawn.count("x") == 1 and drawn.count("o") == 1 and drawn.count(".") > 10


def test_the_axes_say_what_they_show():
    lines = chart([Point(1, 10, "rent"), Point(100, 1000, "own")], 80)
    labels = [line.split("|")[0].strip() for line in lines[1 : ROWS + 1]]
    assert [label for label in labels if label][-1] in ("10", "20") and "1,000" in labels
    assert {"1h", "4d"} <= set(lines[ROWS + 2].split())
    assert lines[-1] == "time for the whole work   o rent   x own"


def test_marks_need_a_terminal_that_has_them():
    points = [Point(1, 10, "rent"), Point(2, 5, "own", True)]
    assert "".join(chart(points, 60)).isascii()
    assert UNICODE.front in "".join(chart(points, 60, unicode=True))
    assert can_show("utf-8") and can_show("UTF8")
    assert not can_show("ascii") and not can_show(None) and not can_show("latin-1") and not can_show("no such")


@pytest.mark.parametrize("points", [[], [Point(0, 5, "rent")], [Point(5, 0, "own")]])
def test_nothing_to_draw(points):
    assert chart(points) == []


@given(POINTS, st.one_of(st.none(), st.integers(1, 400)), st.booleans())
def test_it_fits_and_holds_every_kind(points, width, unicode):
    lines = chart(points, width, unicode)
    marks = UNICODE if unicode else ASCII
    assert all(len(line) <= max(30, min(width or 80, 120)) and line == line.rstrip() for line in lines)
    if points:
        drawn = "".join(body(lines, marks))
        assert 0 < sum(drawn.count(mark) for mark in (marks.rent, marks.own, marks.front)) <= len(points)
        assert (marks.front in drawn) is any(point.front for point in points)
