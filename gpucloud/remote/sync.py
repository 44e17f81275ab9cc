"""Copies trees to and from a machine over one channel: `push` and `pull`."""

from __future__ import annotations

from gpucloud.remote.pull import pull
from gpucloud.remote.push import push
from gpucloud.remote.report import Progress, SyncReport, SyncRules

__all__ = ["Progress", "SyncReport", "SyncRules", "pull", "push"]
