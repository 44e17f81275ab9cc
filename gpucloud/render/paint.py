"""The few colours of the terminal. They only repeat what the words say: without them nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TextIO

from gpucloud.render.terminal import coloured

Tone = Literal["", "title", "aside", "command", "good", "warn", "bad"]
Painter = Callable[[str, Tone], str]

CODES: dict[Tone, str] = {"title": "1", "aside": "2", "command": "36", "good": "32", "warn": "33", "bad": "31"}


def painter(stream: TextIO) -> Painter:
    """What puts a tone on words that go to this stream; words as they are where no colours are wanted."""
    return painted if coloured(stream) else unpainted


def painted(words: str, tone: Tone) -> str:
    """The words between the codes of their tone, which the eight colours of every terminal have."""
    return f"\x1b[{CODES[tone]}m{words}\x1b[0m" if tone and words.strip() else words


def unpainted(words: str, tone: Tone) -> str:
    """The words as they are."""
    return words


def with_commands(words: str, paint: Painter) -> str:
    """A sentence in which what stands between backticks, or is a line to be copied, shows as a command."""
    if words.startswith("  gpucloud "):
        return paint(words, "command")
    parts = words.split("`")
    if len(parts) % 2 == 0:  # a lone backtick quotes nothing
        return words
    return "".join(paint(f"`{part}`", "command") if at % 2 else part for at, part in enumerate(parts))
