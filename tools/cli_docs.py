"""Writes docs/cli.md and the manual page from `--help` of every command, and the reference of docs/library.md.

python -m tools.cli_docs
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cli.md"
HEAD = """# Command reference

Every page below is what `gpucloud COMMAND --help` prints; `make docs` writes this file.
"""


def commands() -> list[tuple[str, ...]]:
    """The words of every command that has a help page, the root first."""
    from gpucloud.cli import registry

    found: list[tuple[str, ...]] = [()]
    for name in registry.names():
        entry = registry.find(name)
        found.append((name,))
        if entry is not None and not isinstance(entry, registry.Entry):
            found.extend((name, sub) for sub in entry[1])
    return found


def help_page(words: tuple[str, ...], columns: int = 100) -> str:
    """What `gpucloud WORDS --help` prints on a terminal of that width."""
    from gpucloud.cli.app import main

    saved = os.environ.get("COLUMNS")
    os.environ.update({"COLUMNS": str(columns)})
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            code = main([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS") if saved is None else os.environ.update({"COLUMNS": saved})
    if code != 0:
        raise SystemExit(f"gpucloud {' '.join(words)} --help ended with {code}")
    return out.getvalue()


def page() -> str:
    """The whole of docs/cli.md."""
    parts = [HEAD]
    for words in commands():
        title = " ".join(("gpucloud", *words))
        parts.append(f"\n## {title}\n\n```text\n{help_page(words).rstrip()}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    from tools import library_docs, man_page

    PAGE.write_text(page())
    man_page.PAGE.write_text(man_page.page())
    library_docs.PAGE.write_text(library_docs.page())
    print(f"{PAGE.relative_to(ROOT)}, {man_page.PAGE.relative_to(ROOT)}: {len(commands())} commands")
