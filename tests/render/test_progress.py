"""The progress bar: only on a terminal, only for what takes long."""

from __future__ import annotations

import io

from gpucloud.render import progress
from gpucloud.render.progress import ProgressBar, progress_line, size
from tests.terminal import Terminal


def test_a_line_says_how_much_how_fast_and_how_long():
    line = progress_line("sync", 12_000_000, 48_000_000, 2.0)
    assert line == "sync [######..................] 12.0 MB of 48.0 MB, 6.0 MB/s, 6s left"
    assert "left" not in progress_line("sync", 5, 5, 1.0) and "0 B of 0 B" in progress_line("sync", 0, 0, 0.0)


def test_nothing_is_drawn_in_a_pipe_or_for_what_is_quick(monkeypatch):
    for stream in (io.StringIO(), Terminal()):
        with ProgressBar(stream, "sync") as bar:
            bar(1, 2)
        assert stream.getvalue() == ""


def test_on_a_terminal_it_is_drawn_and_wiped(monkeypatch):
    now = iter([0.0, 5.0, 9.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    stream = Terminal()
    with ProgressBar(stream, "sync") as bar:
        bar(1, 2)
    assert "1 B of 2 B" in stream.getvalue() and stream.getvalue().endswith("\r")


def test_sizes():
    assert [size(n) for n in (0, 999, 1000, 1.5e9, 2e15)] == ["0 B", "999 B", "1.0 KB", "1.5 GB", "2000.0 TB"]
