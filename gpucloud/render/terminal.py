"""What a stream can show: its width, whether a line on it can be drawn over, and whether colours are wanted there."""

from __future__ import annotations

import os
from typing import TextIO


def terminal_width(stream: TextIO) -> int | None:
    """Columns to fit: COLUMNS where it is set, else the terminal's; None in a pipe, where nothing is squeezed."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None


def draws(stream: TextIO) -> bool:
    """Whether a line on it can be drawn over: a terminal that knows how to go back to a line's begin."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO) -> bool:
    """Whether colours are wanted: on a terminal, unless NO_COLOR says no, or where FORCE_COLOR says yes.

    As https://no-color.org and https://force-color.org have it: any text counts, an empty one does not. NO_COLOR
    prevails, and a FORCE_COLOR of 0 forces nothing.
    """
    if os.environ.get("NO_COLOR"):
        return False
    return os.environ.get("FORCE_COLOR", "0") not in ("", "0") or draws(stream)
