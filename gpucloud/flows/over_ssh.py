"""Machines over SSH as the flows need them: proving, checking, remembering, connecting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gpucloud.core.cloud import Endpoint, Resource
from gpucloud.core.errors import StateConflict, Unreachable
from gpucloud.core.wire import Transport
from gpucloud.state.home import Home

TRY_S = 10.0
CONNECT_S = 30.0


def public_key(home: Home) -> str:
    """The user's public key line; the pair is made when there is none."""
    from gpucloud.remote import keys

    return keys.public_key(home.user_key)


def dialer(home: Home) -> Callable[[Endpoint], Transport]:
    """Opens pinned connections, with the user's own key where the endpoint names no other."""

    def dial(endpoint: Endpoint) -> Transport:
        from gpucloud.remote.connection import connect

        return connect(with_key(home, endpoint), deadline_s=CONNECT_S)

    return dial


def with_key(home: Home, endpoint: Endpoint) -> Endpoint:
    """The endpoint with our key, unless it has one of its own."""
    return endpoint if endpoint.identity_file else replace(endpoint, identity_file=str(home.user_key))


class OverSsh:
    """`flows.context.Readiness` over real connections."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def _endpoint(self, resource: Resource) -> Endpoint:
        if resource.endpoint is None:
            raise Unreachable(f"{resource.id} has no address yet.")
        return with_key(self._home, resource.endpoint)

    def prove(self, resource: Resource, proof_token: str, deployment_id: str) -> str:
        """The proved host key line; see `remote.proof.prove`."""
        from gpucloud.remote.proof import prove

        endpoint = self._endpoint(resource)
        return prove(endpoint, proof_token.strip(), deployment_id, resource.id, timeout_s=TRY_S)

    def gpus(self, resource: Resource) -> Sequence[str]:
        """The lines of `nvidia-smi -L`; none where it is missing or finds nothing."""
        from gpucloud.remote.connection import connect
        from gpucloud.remote.verbs import through_any_shell

        connection = connect(self._endpoint(resource), deadline_s=CONNECT_S)
        try:
            process = connection.run(through_any_shell("nvidia-smi -L 2>/dev/null || :"))
            process.end_input()
            text = b"".join(iter(lambda: process.read(65536), b"")).decode(errors="replace")
        finally:
            connection.close()
        return [line for line in text.splitlines() if line.startswith("GPU ")]

    def greet(self, resource: Resource) -> None:
        """One strict connection against the pinned key."""
        from gpucloud.remote.connection import connect

        if resource.endpoint is None or not resource.endpoint.host_key:
            raise StateConflict(f"{resource.id} has no pinned host key.", "Take it down and make a new one.")
        connect(self._endpoint(resource), deadline_s=TRY_S).close()

    def remember(self, name: str, deployment_id: str, nodes: Sequence[Resource]) -> None:
        """Let plain `ssh NAME` reach the nodes, strictly checked."""
        from gpucloud.remote import sshconfig

        endpoints = [with_key(self._home, node.endpoint) for node in nodes if node.endpoint and node.endpoint.host_key]
        sshconfig.remember(self._home.known_hosts, self._home.ssh_config, name, deployment_id, endpoints)

    def forget(self, name: str, deployment_id: str) -> None:
        """Undo `remember`."""
        from gpucloud.remote import sshconfig

        sshconfig.forget(self._home.known_hosts, self._home.ssh_config, deployment_id)
