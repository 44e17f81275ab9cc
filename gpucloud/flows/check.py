"""`check`: which clouds can be used, as whom, and how much of what they allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpucloud.core.answers import host_json, quota_json
from gpucloud.core.cloud import HostState, Identity, Quota, TellsHosts, TellsQuotas
from gpucloud.core.errors import GpucloudError, WaitTimeout
from gpucloud.flows.at_once import Answer, at_once
from gpucloud.flows.context import Context
from gpucloud.providers.registry import known_clouds


@dataclass(frozen=True)
class CloudCheck:
    """One cloud: usable, or the reason and what to do."""

    cloud: str
    usable: bool
    identity: Identity | None = None
    reason: str = ""
    hint: str = ""
    quotas: tuple[Quota, ...] = ()
    hosts: tuple[HostState, ...] | None = None  # of a cloud that is a list of machines

    def as_json(self) -> dict[str, Any]:
        """One entry of `clouds`."""
        who = self.identity
        hosts = {} if self.hosts is None else {"hosts": [host_json(host) for host in self.hosts]}
        return {
            **hosts,
            "cloud": self.cloud,
            "usable": self.usable,
            "identity": (who.principal or who.account) if who else None,
            "account": who.account if who else None,
            "via": (who.via or None) if who else None,
            "reason": " ".join(filter(None, (self.reason, self.hint))) or None,
            "quotas": [quota_json(quota) for quota in self.quotas],
        }


def check(ctx: Context, clouds: Sequence[str] = ()) -> list[CloudCheck]:
    """Ask them all at once, in the order given; without names, every cloud that gpucloud knows of."""
    wanted = tuple(clouds) or tuple(dict.fromkeys((*known_clouds(), *ctx.clouds.usual())))
    answers = at_once(lambda cloud: _check(ctx, cloud, named=bool(clouds)), wanted, ctx.waits.cloud)
    return [_or_late(cloud, answer) for cloud, answer in zip(wanted, answers, strict=True)]


def _or_late(cloud: str, answer: Answer[CloudCheck]) -> CloudCheck:
    if isinstance(answer.error, WaitTimeout):
        return CloudCheck(cloud, False, reason=answer.error.message)
    return answer.get()


def _check(ctx: Context, cloud: str, named: bool) -> CloudCheck:
    try:
        identity = ctx.clouds.identity(cloud)
    except ImportError as error:
        return CloudCheck(cloud, False, reason=str(error))
    except GpucloudError as error:
        if named and error.code == "usage" and cloud not in known_clouds():
            raise
        return CloudCheck(cloud, False, reason=error.message, hint=error.hint)
    return _with_quotas(ctx, cloud, identity)


def _with_quotas(ctx: Context, cloud: str, identity: Identity) -> CloudCheck:
    provider = ctx.clouds.open(cloud)
    if isinstance(provider, TellsHosts):
        return CloudCheck(cloud, True, identity, hosts=tuple(provider.hosts()))
    if not isinstance(provider, TellsQuotas):
        return CloudCheck(cloud, True, identity)
    try:
        return CloudCheck(cloud, True, identity, quotas=tuple(provider.quotas()))
    except GpucloudError as error:
        return CloudCheck(cloud, True, identity, f"quotas are not known: {error.message}", error.hint)
