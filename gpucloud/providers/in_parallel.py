"""Asking a cloud many things at once, each in a thread of its own; the answers come in the order of the questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from gpucloud.core.errors import GpucloudError

AT_ONCE = 16


def in_parallel(jobs: Sequence[Callable[[], Any]], at_most: int = AT_ONCE) -> list[Any]:
    """Do them all at once and wait for each; the first error is raised when all have ended."""
    if not jobs:
        return []
    with ThreadPoolExecutor(min(at_most, len(jobs))) as pool:
        futures = [pool.submit(job) for job in jobs]
    return [future.result() for future in futures]


def outcomes(jobs: Sequence[Callable[[], Any]], at_most: int = AT_ONCE) -> list[Any]:
    """What each came to: its value, or the GpucloudError that it ended with."""

    def safely(job: Callable[[], Any]) -> Any:
        try:
            return job()
        except GpucloudError as error:
            return error

    return in_parallel([partial(safely, job) for job in jobs], at_most)
