"""Machines over SSH as the flows need them: proving, checking, remembering, connecting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from gpucloud.core.cloud import Endpoint, Resource
from gpucloud.core.errors import StateConflict, Unreachable
from gpucloud.core.wire import Transport
from gpucloud.state.home import Home

TRY_S = 10.0
CONNECT_S = 30.0
OWN_CONNECT_S = 8.0  # own machines do not boot: one that does not answer by then is down
Ask = Callable[[str], bool]  # a yes-no question to a person on a terminal; False where there is none


def public_key(home: Home) -> str:
    """The user's public key line; the pair is made when there is none."""
    from gpucloud.remote import keys

    return keys.public_key(home.user_key)


def dialer(home: Home, ask: Ask | None = None) -> Callable[[Endpoint], Transport]:
    """Opens pinned connections, with the user's own key where the endpoint names no other.

    `ask` may be asked once about the key of an own machine that nothing tells.
    """

    def dial(endpoint: Endpoint) -> Transport:
        from gpucloud.remote.connection import connect

        patience_s = OWN_CONNECT_S if endpoint.agent else CONNECT_S
        return connect(with_pins(home, with_key(home, endpoint), ask), deadline_s=patience_s)

    return dial


def with_key(home: Home, endpoint: Endpoint) -> Endpoint:
    """The endpoint with our key, unless it has one of its own or may use the user's."""
    own = endpoint.identity_file or endpoint.agent
    return endpoint if own else replace(endpoint, identity_file=str(home.user_key))


def with_pins(home: Home, endpoint: Endpoint, ask: Ask | None) -> Endpoint:
    """An own machine and its jump hosts with the keys that are known for them: accepted before, or the user's own.

    Without any of these the question is asked, once, hop by hop; nothing is ever taken on trust.
    """
    if not endpoint.agent or (endpoint.host_key and not endpoint.proxy_jump):
        return endpoint
    hops: tuple[Endpoint, ...] = ()
    for hop in endpoint.proxy_jump:
        pinned = with_pins(home, replace(hop, proxy_jump=(*hops, *hop.proxy_jump)), ask)
        hops = (*hops, *(replace(one, proxy_jump=()) for one in (*pinned.proxy_jump[len(hops) :], pinned)))
    endpoint = replace(endpoint, proxy_jump=hops)
    return endpoint if endpoint.host_key else replace(endpoint, host_key=_own_key(home, endpoint, ask))


_ASKING = threading.Lock()  # hosts are reached in parallel, a person answers one question after the other


def _own_key(home: Home, endpoint: Endpoint, ask: Ask | None) -> str:
    """The key line of an own machine, from our known_hosts, the user's, or the user; empty when nobody knows."""
    from gpucloud.remote.known_hosts import known_key

    with _ASKING:
        known = known_key(endpoint.host, endpoint.port, home.known_hosts) or known_key(endpoint.host, endpoint.port)
        return known or ("" if ask is None else _asked_key(home, endpoint, ask))


def _asked_key(home: Home, endpoint: Endpoint, ask: Ask) -> str:
    from gpucloud.remote import sshconfig
    from gpucloud.remote.connection import shown_host_key
    from gpucloud.remote.keys import fingerprint

    shown = shown_host_key(endpoint, deadline_s=OWN_CONNECT_S)
    where = f"{endpoint.host} port {endpoint.port}"
    kind = shown.split()[0]
    if not ask(f"No key is known for {where}. It shows {kind} {fingerprint(shown)}. Is that the machine's own?"):
        return ""
    sshconfig.accept(home.known_hosts, endpoint.host, endpoint.port, shown)
    return shown


class OverSsh:
    """`flows.context.Readiness` over real connections."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def _endpoint(self, resource: Resource) -> Endpoint:
        if resource.endpoint is None:
            raise Unreachable(f"{resource.id} has no address yet.", "`gpucloud ls --refresh` asks for it.")
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
            raise StateConflict(
                f"{resource.id} has no pinned host key.", "`gpucloud down` it, then `gpucloud up` makes a new one."
            )
        connect(self._endpoint(resource), deadline_s=TRY_S).close()

    def set_deadline(self, resource: Resource, deployment_id: str, deadline_epoch_s: float | None) -> bool:
        """Over one strict connection; see `remote.guards`."""
        from gpucloud.remote.connection import connect
        from gpucloud.remote.guards import set_deadline

        connection = connect(self._endpoint(resource), deadline_s=CONNECT_S)
        try:
            return set_deadline(connection, deployment_id, deadline_epoch_s)
        finally:
            connection.close()

    def introduce(self, resource: Resource, deployment_id: str, peers: Sequence[str]) -> bool:
        """Over one strict connection; see `remote.guards`."""
        from gpucloud.remote.connection import connect
        from gpucloud.remote.guards import set_peers

        connection = connect(self._endpoint(resource), deadline_s=CONNECT_S)
        try:
            return set_peers(connection, deployment_id, peers)
        finally:
            connection.close()

    def remember(self, name: str, deployment_id: str, nodes: Sequence[Resource]) -> None:
        """Let plain `ssh NAME` reach the nodes, strictly checked."""
        from gpucloud.remote import sshconfig

        endpoints = [with_key(self._home, node.endpoint) for node in nodes if node.endpoint and node.endpoint.host_key]
        sshconfig.remember(self._home.known_hosts, self._home.ssh_config, name, deployment_id, endpoints)

    def forget(self, name: str, deployment_id: str) -> None:
        """Undo `remember`."""
        from gpucloud.remote import sshconfig

        sshconfig.forget(self._home.known_hosts, self._home.ssh_config, deployment_id)
