"""This machine's public address, as an echo service on the internet sees it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from gpucloud.core.errors import Unreachable, UsageError

ECHO_SERVICES = ("https://checkip.amazonaws.com", "https://api.ipify.org")
ECHO_VARIABLE = "GPUCLOUD_ECHO_URLS"  # other services, with commas
TIMEOUT_S = 5.0
LONGEST_ANSWER = 64


def cidr(text: str) -> str:
    """`203.0.113.7` → `203.0.113.7/32`. Raises UsageError for what is no network."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise UsageError(
            f"'{text}' is not an address or network.", "Write it like 203.0.113.7 or 203.0.113.0/24."
        ) from None


def own_address(environ: Mapping[str, str]) -> str:
    """The address as the first service that answers sees it, as a network of one. Unreachable: none answered."""
    from urllib.request import urlopen

    given = environ.get(ECHO_VARIABLE, "")
    services = tuple(url.strip() for url in given.split(",") if url.strip()) or ECHO_SERVICES
    for service in services:
        try:
            with urlopen(service, timeout=TIMEOUT_S) as answer:
                return cidr(answer.read(LONGEST_ANSWER).decode("ascii", "replace").strip())
        except (OSError, UsageError):
            continue
    raise Unreachable(
        "This machine's public address could not be found out.", "Say it with --ssh-from CIDR or GPUCLOUD_SSH_FROM."
    )
