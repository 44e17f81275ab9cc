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


def test_the_manual_page_is_the_help_of_today():
    from tools import man_page

    assert man_page.PAGE.read_text() == man_page.page(), "run `make docs`"


def test_the_manual_page_is_set_without_a_complaint():
    import shutil
    import subprocess

    import pytest

    from tools import man_page

    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("no groff on this machine")
    words = [groff, "-man", "-Tutf8", "-ww", "-z", str(man_page.PAGE)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_terminal_has_the_letters_of_the_help():
    assert TEXT.isascii()
