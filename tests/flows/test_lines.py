"""Joining the output of several nodes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpucloud.flows.lines import Lines


def joined(pieces, prefixed):
    out: list[bytes] = []
    lines = Lines(out.append, prefixed)
    for rank, data in pieces:
        lines.write(rank, data)
    lines.end()
    return b"".join(out)


def test_one_node_is_passed_on_as_it_is():
    assert joined([(0, b"a\r10%"), (0, b"\r20%")], False) == b"a\r10%\r20%"


def test_lines_of_several_nodes_stay_whole():
    assert joined([(0, b"he"), (1, b"you\nx"), (0, b"llo\n")], True) == b"[1] you\n[0] hello\n[1] x\n"


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=20))))
def test_no_byte_is_lost(pieces):
    text = joined(pieces, True)
    for rank in range(4):
        sent = b"".join(data for who, data in pieces if who == rank)
        mark = b"[%d] " % rank
        got = b"\n".join(line[len(mark) :] for line in text.split(b"\n") if line.startswith(mark))
        assert got == sent.removesuffix(b"\n")
