"""Help pages are golden: docs/cli.md is what `--help` prints, and a command that it lacks fails."""

from __future__ import annotations

import re

import pytest

from tools.cli_docs import PAGE, commands, help_page

TEXT = PAGE.read_text() if PAGE.exists() else ""
PAGES = dict(re.findall(r"## (gpucloud[^\n]*)\n\n```text\n(.*?)\n```\n", TEXT, re.DOTALL))


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words) or "root")
def test_the_reference_is_what_help_prints(words):
    title = " ".join(("gpucloud", *words))
    assert title in PAGES, f"`{title}` is undocumented: run `make docs`"
    assert help_page(words).rstrip() == PAGES[title], f"`{title} --help` changed: run `make docs`"


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words) or "root")
def test_every_option_says_what_it_does(words):
    lines = help_page(words).splitlines()
    for number, line in enumerate(lines):
        if re.match(r"  -", line):
            text = line.strip().split("  ", 1)
            following = lines[number + 1].strip() if number + 1 < len(lines) else ""
            assert len(text) == 2 or following, f"{words}: {line.strip()} has no help"


def test_no_page_is_left_over():
    assert set(PAGES) == {" ".join(("gpucloud", *words)) for words in commands()}
