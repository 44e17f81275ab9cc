"""Whether an address may reach the SSH of a deployment, as the journal knows it."""

from __future__ import annotations

from collections.abc import Sequence

from gpucloud.core.deployments import Deployment


def open_to(deployment: Deployment) -> tuple[str, ...]:
    """The networks that SSH is open to: what `allow` said last, else what `up` was given; empty: not known."""
    if deployment.allowed:
        return deployment.allowed
    attempt = deployment.current
    return tuple(attempt.launch.get("ssh_from", ())) if attempt is not None else ()


def shut_out(address: str, networks: Sequence[str]) -> bool:
    """Whether none of the networks holds the address; False where that cannot be said (other IP versions)."""
    import ipaddress

    try:
        mine = ipaddress.ip_network(address)
        known = [ipaddress.ip_network(network) for network in networks]
    except ValueError:
        return False
    alike = [network for network in known if network.version == mine.version]
    return bool(alike) and not any(mine.network_address in network for network in alike)


def allow_hint(name: str, address: str, networks: Sequence[str]) -> str:
    """What to do after the own address has changed."""
    return f"Your address is {address} now, and SSH is open to {', '.join(networks)}: `gpucloud allow {name}`."
