"""Leases as the machines of a cloud: what a request writes into them, and what is read from a host again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gpucloud.core.cloud import TAG_DEADLINE, Endpoint, LaunchSpec, Resource
from gpucloud.providers.ssh.inventory import Host
from gpucloud.providers.ssh.offers import CLOUD
from gpucloud.providers.ssh.sight import Lease, Record, Sight

ACCOUNT = "own"
TAG_ENDED = "gpucloud-ended"  # of a found machine whose lease has ended


def resources_on(host: Host, sight: Sight, endpoint: Endpoint) -> list[Resource]:
    """Our deployments there, and leases of this account whose folder is gone. Shared homes show other hosts'."""
    records = [record for record in sight.records if record.payload.get("h") == host.name]
    found = [_from_record(host, sight, endpoint, record) for record in records]
    tokens = {record.token for record in records}
    leases = [
        lease
        for lease in sight.leases.values()
        if lease.state == "held" and lease.uid == sight.uid and lease.token not in tokens
    ]
    alone = {lease.token: lease for lease in leases if lease.payload.get("h") == host.name}
    return [*found, *(_from_lease(host, lease) for lease in alone.values())]


def _from_record(host: Host, sight: Sight, endpoint: Endpoint, record: Record) -> Resource:
    told = Told.of(record.payload)
    whole = resource_of(host, endpoint, told)
    whole = replace(whole, tags=_with_deadline(whole.tags, record.until, sight.now))
    if not record.whole:
        return replace(whole, kind="lease", endpoint=None, state="pending")
    held = [sight.leases.get(index) for index in record.gpus]
    ours = all(lease is None or (lease.token == record.token and lease.state == "held") for lease in held)
    over = bool(record.until) and record.until <= sight.now
    if not (record.ended or over or not ours):
        return whole
    return replace(whole, state="stopped", endpoint=None, tags={**whole.tags, TAG_ENDED: record.ended or "deadline"})


def _from_lease(host: Host, lease: Lease) -> Resource:
    told = Told.of(lease.payload)
    return replace(resource_of(host, host.endpoint, told), kind="lease", endpoint=None)


def resource_of(host: Host, endpoint: Endpoint, told: Told) -> Resource:
    """The machine that a lease on that host is."""
    return Resource(
        cloud=CLOUD,
        account=ACCOUNT,
        region=told.region,
        kind="machine",
        id=told.id,
        name=told.name,
        zone=host.name,
        rank=told.rank,
        attempt=told.attempt,
        instance_type=told.instance_type,
        market=told.market,
        created_epoch_s=told.created_epoch_s,
        tags=told.tags,
        endpoint=replace(endpoint, base_dir=f"gpucloud/{folder_of(told.deployment_id, told.rank)}"),
    )


class Told:
    """What a lease carries in its payload: the same whether it comes from the request or from the host."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.deployment_id = str(body.get("d", ""))
        self.region, self.name = str(body.get("g", "")), str(body.get("n", ""))
        self.rank, self.attempt = int(body.get("r", 0)), int(body.get("a", 1))
        self.instance_type, self.market = str(body.get("t", "")), str(body.get("m", "on-demand"))
        self.created_epoch_s = float(body.get("c", 0))
        tags = body.get("k")
        self.tags = {str(key): str(value) for key, value in tags.items()} if isinstance(tags, dict) else {}
        self.id = str(body.get("i", ""))

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Told:
        """What there is to read; nothing in a payload that is not ours."""
        try:
            return cls(payload)
        except (TypeError, ValueError):
            return cls({})


def payload_of(spec: LaunchSpec, rank: int, host: Host, created: float) -> dict[str, Any]:
    """Everything that `find` must know of a node, in short keys: a link holds little."""
    return {
        "d": spec.deployment_id,
        "i": machine_id(spec.token, rank),
        "n": f"{spec.name}-{rank}",
        "r": rank,
        "a": spec.attempt,
        "t": spec.offer.instance_type,
        "m": spec.offer.market,
        "g": spec.offer.region,
        "h": host.name,
        "c": int(created),
        "k": dict(spec.tags),
    }


def machine_id(token: str, rank: int) -> str:
    """A pure function of the launch token and the rank, so a repeated launch gives the same."""
    return "ssh-" + hashlib.sha256(f"{token}\n{rank}".encode()).hexdigest()[:12]


def folder_of(deployment_id: str, rank: int) -> str:
    """Our folder's name below `gpucloud/`: hosts may share one home, so every node has its own."""
    return f"{deployment_id}.{rank}" if rank else deployment_id


def _with_deadline(tags: Mapping[str, str], until: int, now: int) -> Mapping[str, str]:
    """The tags with the present end of the lease by our own clock: `extend` moves it, the payload stays."""
    if not until:
        return {key: value for key, value in tags.items() if key != TAG_DEADLINE}
    ends = round(until - now + time.time())
    told = tags.get(TAG_DEADLINE, "")
    return tags if told.isdigit() and abs(int(told) - ends) <= 5 else {**tags, TAG_DEADLINE: str(ends)}
