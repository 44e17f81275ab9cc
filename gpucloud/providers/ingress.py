"""What the drivers of clouds share about who may come in."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from gpucloud.core.errors import BadRequest


def ipv4_networks(cidrs: Sequence[str]) -> list[str]:
    """The IPv4 networks among them, sorted, each once. Raises BadRequest when nobody could come in."""
    networks = [ipaddress.ip_network(cidr, strict=False) for cidr in cidrs]
    chosen = sorted({str(network) for network in networks if network.version == 4})
    if not chosen:
        raise BadRequest("No IPv4 address may reach SSH, and the machines have no other.", "Give --ssh-from a CIDR.")
    return chosen
