"""One writer of the user's catalog at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gpucloud.core.errors import StateConflict
from gpucloud.state.home import Home
from gpucloud.state.locks import deployment_lock

LOCK = "_catalog"  # no deployment can have this name


@contextmanager
def only_writer(home: Home) -> Iterator[None]:
    """Hold the lock of the catalog. Raises StateConflict while another command has it."""
    held = deployment_lock(home, LOCK, "catalog")
    try:
        held.__enter__()
    except StateConflict:
        raise StateConflict("Another refresh or import of the catalog is running.", "Repeat when it ends.") from None
    try:
        yield
    finally:
        held.__exit__(None, None, None)
