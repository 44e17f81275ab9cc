"""Fake machines with a real SSH server each, the one that `local` machines are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpucloud.core.cloud import LaunchSpec, Resource, Scan
from gpucloud.providers.fake.cloud import FakeProvider
from gpucloud.providers.fake.script import Rule
from gpucloud.providers.fake.store import Store
from gpucloud.providers.local.folder import machine_id
from gpucloud.providers.local.provider import LocalProvider


class ReachableFake(FakeProvider):
    """The paper cloud decides what exists; a server in `<root>/fake/local` answers for every machine of it."""

    reachable = True

    def __init__(self, store: Store, script: Sequence[Rule], root: Path, environ: Mapping[str, str]) -> None:
        super().__init__(store, script)
        self._servers = LocalProvider(root / "fake", environ)

    def find(self, deployment_id: str | None, regions: Sequence[str] = ()) -> Scan:
        """As on paper, with the address and state of the servers that live; sweeps servers of no machine."""
        servers = {server.id: server for server in self._servers.find(None).resources}
        scan = super().find(deployment_id, regions)
        with self._store.change() as cloud:
            orphans = [server for server in servers.values() if server.id not in cloud["things"]]
        for server in orphans:
            self._servers.destroy(server)
        return replace(scan, resources=tuple(_joined(item, servers.get(item.id)) for item in scan.resources))

    def stop(self, resource: Resource) -> None:
        """On paper, then for real."""
        super().stop(resource)
        self._servers.stop(_as_local(resource))

    def start(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """For real, then on paper."""
        self._servers.start(_as_local(resource), deadline_epoch_s)
        super().start(resource, deadline_epoch_s)

    def extend(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """In the machine and on paper."""
        self._servers.extend(_as_local(resource), deadline_epoch_s)
        super().extend(resource, deadline_epoch_s)

    def _made(self, cloud: dict[str, Any], spec: LaunchSpec, rule: Rule | None) -> list[dict[str, Any]]:
        made = super()._made(cloud, spec, rule)
        if any(item["kind"] == "machine" for item in made):
            self._servers.launch(spec)
        return made

    def _machine(
        self, cloud: dict[str, Any], spec: LaunchSpec, rank: int, fault: str, seconds: float
    ) -> dict[str, Any]:
        """Under the id of its server, which the proof is about."""
        thing = super()._machine(cloud, spec, rank, fault, seconds)
        del cloud["things"][thing["id"]]
        thing["id"] = machine_id(spec.token, rank)
        cloud["things"][thing["id"]] = thing
        return thing

    def _remove(self, cloud: dict[str, Any], thing: dict[str, Any]) -> None:
        if thing["kind"] == "machine":
            servers = {server.id: server for server in self._servers.find(None).resources}
            if thing["id"] in servers:
                self._servers.destroy(servers[thing["id"]])
        super()._remove(cloud, thing)


def _as_local(resource: Resource) -> Resource:
    return replace(resource, cloud="local")


def _joined(item: Resource, server: Resource | None) -> Resource:
    """The paper's word counts, but a machine without a living server does not run."""
    if item.kind != "machine" or item.state != "running":
        return item
    if server is None:
        return replace(item, state="failed")
    return replace(item, state=server.state, endpoint=server.endpoint)
