"""What a driver is told about the place it works from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Site:
    """Our home folder and its id, and the environment the command was started in."""

    root: Path
    home_id: str
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
