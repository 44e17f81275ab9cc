"""Real `local` machines for tests: a server process on loopback each, everything gone afterwards.

from tests.machines import local_machine
with local_machine(tmp_path) as machine:
    machine.connect().run("echo hello")
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpucloud.core.cloud import Endpoint, LaunchSpec, Resource
from gpucloud.core.offers import Offer
from gpucloud.providers.local.folder import Folder
from gpucloud.providers.local.processes import of_machine
from gpucloud.providers.local.provider import LocalProvider
from gpucloud.remote import keys
from gpucloud.remote.connection import Connection, connect
from gpucloud.remote.proof import new_token, prove

DEPLOYMENT = "demo-abcdefgh"
OFFER = Offer("local", "local", "", 0, region="local", usd_per_hour=0.0, price_kind="own", provisionable=True)


@dataclass
class LiveMachine:
    """One running machine: its provider, its resource and the pinned way to it."""

    provider: LocalProvider
    spec: LaunchSpec
    resource: Resource
    endpoint: Endpoint
    open: list[Connection] = field(default_factory=list)

    @property
    def folder(self) -> Folder:
        return Folder(self.provider.shelf / self.resource.id)

    @property
    def home(self) -> Path:
        return self.folder.home

    @property
    def base(self) -> Path:
        return self.home / self.endpoint.base_dir

    def connect(self, **words: Any) -> Connection:
        """A connection that the fixture closes."""
        self.open.append(connect(self.endpoint, **words))
        return self.open[-1]

    def again(self) -> Resource:
        """The machine as `find` sees it now."""
        (found,) = self.provider.find(self.spec.deployment_id).resources
        return found


def launch_spec(key: Path, **changes: Any) -> LaunchSpec:
    """A launch of one machine with the key file `key`, made when there is none."""
    tags = {"gpucloud-deployment": DEPLOYMENT, "gpucloud-home": "home-1", "gpucloud-owner": "me"}
    spec = LaunchSpec(
        deployment_id=DEPLOYMENT,
        name="demo",
        attempt=1,
        token=f"{DEPLOYMENT}-1-{secrets.token_hex(4)}",
        offer=OFFER,
        nodes=1,
        tags=tags,
        public_key=keys.public_key(key),
        proof_token=new_token(),
        options={"grace_s": "0.3"},
    )
    return replace(spec, **changes)


@contextlib.contextmanager
def local_machine(root: Path, **changes: Any) -> Iterator[LiveMachine]:
    """A launched and proved machine of a home at `root`; `changes` are fields of its LaunchSpec."""
    key = root / "keys" / "id_ed25519"
    provider = LocalProvider(root, {})
    spec = launch_spec(key, **changes)
    (resource, *_) = provider.launch(spec)
    machine = None
    try:
        assert resource.endpoint is not None
        endpoint = replace(resource.endpoint, identity_file=str(key))
        proved = prove(endpoint, spec.proof_token, spec.deployment_id, resource.id)
        machine = LiveMachine(provider, spec, resource, replace(endpoint, host_key=proved))
        yield machine
    finally:
        for connection in machine.open if machine else ():
            connection.close()
        for found in provider.find(None).resources:
            provider.destroy(found)


def output(connection: Connection, command: str) -> str:
    """All that a command writes to stdout."""
    process = connection.run(command)
    process.end_input()
    text = b"".join(iter(lambda: process.read(65536), b"")).decode()
    process.wait()
    process.close()
    return text


def until(condition: Any, patience_s: float = 30.0) -> None:
    """Wait until `condition()` holds; fail when it does not in time."""
    ends = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < ends, "it did not become true in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        listing = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return listing.stdout.strip()[:1] not in ("", "Z")


def nothing_runs(folder: Folder) -> bool:
    """Whether no process of a machine is left."""
    return not of_machine(folder)
