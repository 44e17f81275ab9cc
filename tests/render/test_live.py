"""The live line: what and how long on a terminal, away for other words, wiped at the end, nothing in a pipe."""

from __future__ import annotations

import io

import pytest

from gpucloud.render import live
from gpucloud.render.live import LiveLine, live_line
from tests.machines import until
from tests.terminal import Terminal


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(live, "FIRST_DRAW_S", 0.01)
    monkeypatch.setattr(live, "REDRAW_S", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")


def screen(stream: io.StringIO) -> str:
    """The last line as a terminal shows it: a return goes back to its begin and what follows covers it."""
    shown = ""
    for part in stream.getvalue().rpartition("\n")[2].split("\r"):
        shown = part + shown[len(part) :]
    return shown.rstrip()


def test_it_says_what_and_how_long_and_is_wiped():
    stream = Terminal()
    line = LiveLine(stream)
    line.show("train: provisioning")
    until(lambda: "train: provisioning (0s)" in stream.getvalue())
    line.show("no capacity")  # shorter: nothing of the longer one stays
    assert screen(stream).startswith("no capacity (") and "provisioning" not in screen(stream)
    line.show("")
    assert screen(stream) == ""
    ended = stream.getvalue()
    line.show("")
    assert stream.getvalue() == ended


def test_other_words_stand_on_lines_of_their_own():
    stream = Terminal()
    line = LiveLine(stream)
    line.show("waiting")
    until(lambda: "waiting" in stream.getvalue())
    with line.aside():
        assert screen(stream) == ""
        stream.write("Created.\n")
        before = stream.getvalue()
    until(lambda: "waiting" in stream.getvalue()[len(before) :])
    line.show("")
    assert screen(stream) == ""


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_nothing_in_a_pipe_or_where_a_line_cannot_be_drawn_over(monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    stream = io.StringIO() if term == "xterm" else Terminal()
    line = LiveLine(stream)
    line.show("waiting")
    with line.aside():
        pass
    assert line._over is None and stream.getvalue() == ""


def test_the_time_is_never_cut():
    assert live_line("waiting for it.", 75.4, 60) == "waiting for it (1m 15s)"
    assert live_line("a very long sentence", 9, 20) == "a very long ... (9s)"
    assert live_line("hostile\x1b[2J\rwords", 1, 60).isprintable()
