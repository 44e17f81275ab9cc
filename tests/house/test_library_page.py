"""docs/library.md: its blocks run as they stand, on this computer, and its reference is the library of today."""

from __future__ import annotations

import re

import gpucloud
from tools.library_docs import PAGE, functions, page

BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_blocks_run_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GPUCLOUD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"{PAGE.name}, block {number + 1}", "exec", dont_inherit=True), names)
    said = capsys.readouterr().out
    assert len(BLOCKS) == 6 and "succeeded 0\nweights\n" in said and "['bench']" in said and "2 usage" in said
    assert gpucloud.ls() == []


def test_the_reference_is_the_library_of_today():
    assert PAGE.read_text() == page(), "run `make docs`"
    assert all(function.__doc__ for function in functions())


def test_what_the_page_names_can_be_imported():
    assert all(hasattr(gpucloud, function.__name__) for function in functions())
