"""Boot data and simulated machines for tests that need one that has booted."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpucloud.core.boot import BootFacts
from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import HostError
from gpucloud.providers.boot import boot_data
from gpucloud.providers.site import Site
from gpucloud.remote import keys
from gpucloud.remote.connection import Connection, connect
from gpucloud.remote.proof import new_token, prove
from tests.clouds.machine import SimMachine
from tests.machines import until

TEMPLATES = Path(__file__).parents[2] / "templates"
DEPLOYMENT = "demo-abcdefgh"
_numbers = itertools.count(2)


def own_address() -> str:
    """A loopback address that no other test of this process has."""
    number = next(_numbers)
    return f"127.{os.getpid() % 200 + 20}.{number // 250}.{number % 250 + 2}"


def free_port(address: str) -> int:
    """A port that is free there now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def render(facts: BootFacts, **options: Any) -> str:
    """The boot data of a driver."""
    return boot_data(Site(Path("/nowhere"), "home-1", templates=TEMPLATES), facts, **options)


@dataclass
class Booted:
    """A machine that runs its boot script, and what the client knows of it."""

    machine: SimMachine
    facts: BootFacts
    endpoint: Endpoint
    instance_id: str = "i-0abc"
    open: list[Connection] = field(default_factory=list)

    @property
    def base(self) -> Path:
        return self.machine.base(self.facts.deployment_id)

    def prove(self) -> str:
        """The host key line, once the machine has proved it."""
        proved: list[str] = []

        def tried() -> bool:
            with contextlib.suppress(HostError):
                proved.append(prove(self.endpoint, self.facts.proof_token, self.facts.deployment_id, self.instance_id))
            return bool(proved)

        until(tried)
        return proved[0]

    def connect(self) -> Connection:
        """A pinned connection that ends with the machine."""
        key = " ".join((self.machine.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])
        endpoint = Endpoint(**{**self.endpoint.__dict__, "host_key": key})
        self.open.append(connect(endpoint))
        return self.open[-1]


@contextlib.contextmanager
def booted(
    folder: Path,
    *,
    after_s: float | None = None,
    idle_s: float | None = None,
    ending: str = "",
    at_end: str = "stop",
    instance_id: str = "",
    nodes: int = 1,
    boothook: bool = False,
    every_boot: bool = True,
    **options: Any,
) -> Iterator[Booted]:
    """A machine whose deadline is `after_s` from its first boot. `options` are SimMachine's."""
    machine = SimMachine(folder / "vm", **options)
    (folder / "vm").mkdir(parents=True)
    identity, address = folder / "id_ed25519", own_address()
    port = free_port(address)
    facts = BootFacts(
        DEPLOYMENT,
        instance_id,
        getpass.getuser(),
        keys.public_key(identity),
        new_token(),
        None if after_s is None else time.time() + after_s,
        idle_s,
        ending,
        at_end,
        nodes,
    )
    endpoint = Endpoint(address, port, facts.user, str(identity), base_dir=f"gpucloud/{DEPLOYMENT}")
    made = Booted(machine, facts, endpoint)
    try:
        data = render(facts, cloud_init=boothook)
        machine.start(data, instance_id="i-0abc", user=facts.user, address=address, port=port, every_boot=every_boot)
        yield made
    finally:
        for connection in made.open:
            connection.close()
        machine.close()
