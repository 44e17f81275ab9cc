"""Colours: where they are wanted, what they stand around, and that words and widths stay the same without them."""

from __future__ import annotations

import io
import re

import pytest

from gpucloud.render.paint import CODES, painted, unpainted, with_commands
from gpucloud.render.terminal import coloured
from gpucloud.render.view import Column, Section, View, show
from tests.terminal import Terminal

ESCAPE = re.compile(r"\x1b\[\d*m")


@pytest.mark.parametrize(
    ("variables", "on_terminal", "in_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": ""}, True, False),  # empty says nothing
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": "0"}, False, False),  # any text says no
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_where_colours_are_wanted(monkeypatch, variables, on_terminal, in_pipe):
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (coloured(Terminal()), coloured(io.StringIO())) == (on_terminal, in_pipe)


def test_every_tone_is_closed_and_blanks_get_none():
    for tone in CODES:
        assert re.fullmatch(r"\x1b\[\d+mwords\x1b\[0m", painted("words", tone))
        assert painted("   ", tone) == "   "
    assert painted("words", "") == "words" == unpainted("words", "bad")


def test_commands_stand_out_and_a_lone_backtick_does_not():
    def marked(words: str, tone: str) -> str:
        return f"<{words}>"

    assert with_commands("Run `gpucloud ls`, then `gpucloud down`.", marked) == (
        "Run <`gpucloud ls`>, then <`gpucloud down`>."
    )
    assert with_commands("  gpucloud up x", marked) == "<  gpucloud up x>"
    assert with_commands("it`s `a` b", marked) == "it`s `a` b" == with_commands("it`s `a` b", unpainted)


@pytest.mark.parametrize("width", [None, 24, 60])
def test_a_painted_table_is_the_plain_one_with_codes(monkeypatch, width):
    if width:
        monkeypatch.setenv("COLUMNS", str(width))
    columns = (
        Column("name", "Name"),
        Column("state", "State", tone=lambda words: "bad" if words == "failed" else ""),
        Column("usd", "USD/h", right=True),
    )
    rows = [{"name": "a" * 30, "state": "failed", "usd": 1.5}, {"name": "b", "state": "ready", "usd": 20.25}]
    view = View(
        "ls", {}, columns, rows, ("See `gpucloud ps`.", "  gpucloud up"), sections=[Section("More", columns, [])]
    )
    plain = _shown(view)
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured_text = _shown(view)
    assert "\x1b" not in plain and ESCAPE.sub("", coloured_text) == plain
    assert "\x1b[31mfailed\x1b[0m" in coloured_text and "\x1b[1mMore\x1b[0m" in coloured_text
    assert "\x1b[36m`gpucloud ps`\x1b[0m" in coloured_text and "\x1b[36m  gpucloud up\x1b[0m" in coloured_text


@pytest.mark.parametrize("output", ["json", "csv", "markdown"])
def test_what_programs_read_has_no_colours(monkeypatch, output):
    monkeypatch.setenv("FORCE_COLOR", "1")
    columns = (Column("state", "State", tone=lambda words: "bad"),)
    rows = [{"state": "failed"}]
    assert "\x1b" not in _shown(View("ls", {"rows": rows}, columns, rows, ("See `gpucloud ps`.",)), output)


def _shown(view: View, output: str = "table") -> str:
    stream = io.StringIO()
    show(view, output, stream)
    return stream.getvalue()
