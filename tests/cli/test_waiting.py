"""A wait of the command line: one live line on a terminal, also where waits are nested; nothing in a pipe."""

from __future__ import annotations

import sys

from gpucloud.cli.app import main
from gpucloud.cli.options import narrate
from gpucloud.cli.outside import opened_catalog, waiting
from gpucloud.render import live
from tests.machines import until
from tests.terminal import Terminal


def on_a_terminal(monkeypatch) -> Terminal:
    """Made in the test itself: pytest puts its own stderr back between a fixture and a test."""
    stream = Terminal()
    monkeypatch.setattr(live, "FIRST_DRAW_S", 0.01)
    monkeypatch.setattr(live, "REDRAW_S", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_a_wait_inside_another_is_told_and_gives_the_line_back(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    with waiting("asking"):
        until(lambda: "asking (" in terminal.getvalue())
        with waiting("building"):
            assert terminal.getvalue().rpartition("\r")[2].startswith("building (")
            narrate("A warning.")
            assert "\rA warning.\n" in terminal.getvalue()
        before = len(terminal.getvalue())
        until(lambda: "asking (" in terminal.getvalue()[before:])
    assert terminal.getvalue().rpartition("\r")[2] == ""


def test_only_an_index_that_must_be_built_is_waited_for(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    from gpucloud.catalog import index

    read = index._by_content

    def slow(*given):
        until(lambda: "building the catalog's index (" in terminal.getvalue())
        return read(*given)

    monkeypatch.setattr(index, "_by_content", slow)
    monkeypatch.setattr(index, "SETTLED_S", 0.0)
    opened_catalog().close()
    said = terminal.getvalue()
    assert said.rpartition("\r")[2] == ""
    opened_catalog().close()
    assert terminal.getvalue() == said


def test_a_report_tells_what_it_does(tmp_path, monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    from gpucloud.cli import report

    told = report._told

    def slow(*given):
        until(lambda: "asking `gpucloud compare` (" in terminal.getvalue())
        return told(*given)

    monkeypatch.setattr(report, "_told", slow)
    file = tmp_path / "r.html"
    assert main(["report", "compare", "T4", "-f", str(file)]) == 0
    assert f"\rWrote {file}" in terminal.getvalue() and terminal.getvalue().endswith("browser.\n")


def test_a_pipe_sees_nothing(capsys, monkeypatch):
    monkeypatch.setattr(live, "FIRST_DRAW_S", 0.0)
    with waiting("asking"):
        opened_catalog().close()
    assert capsys.readouterr().err == ""
