"""Running one command inside another, or inside a program: what it prints comes back as text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout

from gpucloud.cli.options import current, restore


def printed(words: Sequence[str]) -> str:
    """What this command line prints on stdout. Its errors pass through; the global options stay as they were."""
    from gpucloud.cli.app import root

    before, out = current(), io.StringIO()
    try:
        with redirect_stdout(out):
            root().main(args=list(words), prog_name="gpucloud", standalone_mode=False)
    finally:
        restore(before)
    return out.getvalue()
