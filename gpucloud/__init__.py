"""gpucloud: compare GPU options by the cost of the work, then provision, run and tear down over SSH.

As a library: `gpucloud.compare("A100:8")`, `gpucloud.up(...)`, `gpucloud.run(...)`; see `gpucloud.api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpucloud.api import call, compare, cost, down, estimate, gpus, ls, machine, recommend, run, up
    from gpucloud.core.errors import GpucloudError

__version__ = "0.1.0"
__all__ = [
    "GpucloudError", "call", "compare", "cost", "down", "estimate", "gpus", "ls", "machine", "recommend", "run", "up",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The library's functions, loaded when they are first used: the command line does not need them."""
    if name in __all__:
        from gpucloud import api

        return getattr(api, name)
    raise AttributeError(f"module 'gpucloud' has no attribute '{name}'")
