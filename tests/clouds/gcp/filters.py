"""The part of Compute Engine's filter language that is simulated; anything else is an error, never "everything"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_HAS = re.compile(r"labels\.([a-z0-9_-]+):\*")
_IS = re.compile(r'labels\.([a-z0-9_-]+)\s*=\s*"?([a-z0-9_-]*)"?')
_REGEX = re.compile(r'(\w+) eq (?:"([^"]*)"|\'([^\']*)\'|(\S+))')


def matcher(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """A test of one thing. Raises ValueError for a filter that is not understood."""
    if not text:
        return lambda item: True
    if match := _HAS.fullmatch(text):
        key = match[1]
        return lambda item: key in item.get("labels", {})
    if match := _IS.fullmatch(text):
        key, value = match[1], match[2]
        return lambda item: bool(item.get("labels", {}).get(key) == value)
    if match := _REGEX.fullmatch(text):
        field, pattern = match[1], re.compile(match[2] or match[3] or match[4])
        return lambda item: pattern.fullmatch(str(item.get(field, ""))) is not None
    raise ValueError(f"Invalid value for field 'filter': '{text}'.")
