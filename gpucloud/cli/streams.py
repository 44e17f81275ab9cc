"""The three standard streams as every command may take them for granted: there, and able to take any letter.

A shell may close them (`>&-`), a terminal may know ASCII only, and a reader may leave (`| head`).
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO


def prepare() -> None:
    """Open what is closed, before a file of ours gets its number; letters that a stream lacks become `\\xe9`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 (for as long as the process lives)
    for stream in (sys.stdout, sys.stderr):
        _take_any_letter(stream)


def _take_any_letter(stream: TextIO) -> None:
    passes_bytes = stream.errors == "surrogateescape" and _is_utf8(stream)  # file names that are no text
    if stream.errors in ("strict", "surrogateescape") and not passes_bytes:
        with suppress(AttributeError, OSError):  # something else stands there: its owner knows
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").casefold().replace("-", "") == "utf8"


def mute(stream: TextIO) -> None:
    """Nobody reads this stream any more: what is still written to it, also by the interpreter's end, is dropped."""
    with suppress(OSError, ValueError, AttributeError):
        dropped = os.open(os.devnull, os.O_WRONLY)
        os.dup2(dropped, stream.fileno())
        os.close(dropped)
