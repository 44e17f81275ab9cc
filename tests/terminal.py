"""A stream that says it is a terminal."""

from __future__ import annotations

import io


class Terminal(io.StringIO):
    """What is written to it is kept."""

    def isatty(self) -> bool:
        """Yes."""
        return True
