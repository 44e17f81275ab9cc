"""What a driver is told about the place it works from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpucloud.core.cloud import Endpoint
from gpucloud.core.offers import Accelerator
from gpucloud.core.wire import Transport


@dataclass(frozen=True)
class Site:
    """Our home folder and its id, and the environment the command was started in.

    `templates` is the folder of boot and remote scripts; `dial` opens a pinned connection to a machine (the
    drivers do not know the SSH room). `card` finds an accelerator by any of its names, or raises UsageError with
    the nearest ones. All are None where a test or a third party needs none.
    """

    root: Path
    home_id: str
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    templates: Path | None = None
    dial: Callable[[Endpoint], Transport] | None = field(default=None, repr=False, compare=False)
    card: Callable[[str], Accelerator] | None = field(default=None, repr=False, compare=False)
