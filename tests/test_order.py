"""The order of the tests loses none, and gives every worker its share of the long ones."""

from hypothesis import given
from hypothesis import strategies as st

from tests.order import LONG, in_pieces

NAMES = st.lists(st.sampled_from(["tests/core/test_units.py", *LONG]), max_size=60)


@given(NAMES, st.integers(1, 8))
def test_nothing_is_lost_and_the_long_ones_are_shared_out(names, workers):
    numbers = list(range(len(names)))
    ordered = in_pieces(numbers, names, workers)
    assert sorted(ordered) == numbers
    short = [number for number in ordered if names[number] not in LONG]
    assert short == sorted(short)


def test_each_piece_begins_with_long_ones():
    names = ["short"] * 96 + [LONG[0]] * 4
    ordered = in_pieces(names, names, 4)
    assert [ordered[start] for start in (0, 25, 50, 75)] == [LONG[0]] * 4
