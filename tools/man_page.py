"""The manual page from the same `--help` texts: `python -m tools.man_page` writes docs/gpucloud.1."""

from __future__ import annotations

import re

from tools.cli_docs import ROOT, commands, help_page

PAGE = ROOT / "docs" / "gpucloud.1"
EXIT_CODES = (
    ("0", "done"),
    ("1", "a bug of gpucloud"),
    ("2", "usage"),
    ("3", "nothing fits"),
    ("4", "credentials or permission"),
    ("5", "no capacity or quota anywhere tried"),
    ("6", "cloud error"),
    ("7", "host unreachable, sync or set-up failed"),
    ("8", "state conflict"),
    ("9", "clean-up incomplete: something may still bill, and is named"),
    ("125", "run, exec, wait: something of ours failed; else they end with the command's own code"),
    ("130", "interrupted"),
)


COLUMNS = 72  # what is left of a terminal's 80 beside the indent of a manual page
DESCRIPTION = """The commands stand in the order of the work: what to choose, the machines, the work on them.
The options of gpucloud itself may also follow every command and are told once, with gpucloud."""
COMMON = re.compile(r"^  -o, --output .*?^  --help [^\n]*\n?", re.DOTALL | re.MULTILINE)
EMPTY = re.compile(r"^Options:\n(?:\n|\Z)", re.MULTILINE)


def page() -> str:
    """The whole page in man(7) macros."""
    parts = [
        '.TH GPUCLOUD 1 "" "gpucloud" "User Commands"',
        ".ad l",
        ".nh",
        ".SH NAME",
        "gpucloud \\- compare GPU options by the cost of the work, provision, run and tear down over SSH",
        ".SH SYNOPSIS",
        ".B gpucloud",
        "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]...",
        ".SH DESCRIPTION",
        _plain(DESCRIPTION),
        ".SH COMMANDS",
    ]
    for words in commands():
        parts += [f".SS {_plain(' '.join(('gpucloud', *words)))}", ".nf", _plain(_told(words)), ".fi"]
    parts.append(".SH EXIT STATUS")
    for code, meaning in EXIT_CODES:
        parts += [".TP", f".B {code}", _plain(meaning)]
    parts += [
        ".SH ENVIRONMENT",
        ".TP",
        ".B GPUCLOUD_HOME",
        "Folder of settings, keys, journal and the catalog's overlay.",
        ".TP",
        ".B GPUCLOUD_CATALOG_DIR, GPUCLOUD_TEMPLATE_DIR",
        "Replace the shipped catalog and templates.",
        ".TP",
        ".B GPUCLOUD_SSH_FROM",
        "The network that may reach SSH of new machines, instead of asking for the own address.",
        ".TP",
        ".B NO_COLOR",
        "No colours.",
    ]
    return "\n".join(parts) + "\n"


def _told(words: tuple[str, ...]) -> str:
    """The help of a command, without the options that all have."""
    text = help_page(words, COLUMNS).strip()
    return EMPTY.sub("", COMMON.sub("", text)).rstrip() if words else text


def _plain(text: str) -> str:
    """ASCII text in which nothing is a macro: backslashes, leading dots and quotes, hyphens."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    lines = "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in escaped).splitlines()
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE.relative_to(ROOT))
