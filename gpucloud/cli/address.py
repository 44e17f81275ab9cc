"""Where SSH may come from: the user's word, `GPUCLOUD_SSH_FROM`, or what an echo service sees."""

from __future__ import annotations

import ipaddress
import os

from gpucloud.core.errors import Unreachable, UsageError

ECHO_SERVICES = ("https://checkip.amazonaws.com", "https://api.ipify.org")
TIMEOUT_S = 5.0
LONGEST_ANSWER = 64


def ssh_from(word: str, *, ask: bool = True) -> tuple[str, ...]:
    """CIDRs for a word: `auto`, or addresses with commas. `ask` False leaves `auto` unanswered (dry runs)."""
    text = word if word != "auto" else os.environ.get("GPUCLOUD_SSH_FROM", "auto")
    if text == "auto":
        return (own_address(),) if ask else ("auto",)
    return tuple(cidr(part.strip()) for part in text.split(",") if part.strip())


def cidr(text: str) -> str:
    """`203.0.113.7` → `203.0.113.7/32`. Raises UsageError for what is no network."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise UsageError(
            f"'{text}' is not an address or network.", "Write it like 203.0.113.7 or 203.0.113.0/24."
        ) from None


def own_address() -> str:
    """This machine's public address as the first service that answers sees it."""
    from urllib.request import urlopen

    for service in ECHO_SERVICES:
        try:
            with urlopen(service, timeout=TIMEOUT_S) as answer:
                return cidr(answer.read(LONGEST_ANSWER).decode("ascii", "replace").strip())
        except (OSError, UsageError):
            continue
    raise Unreachable(
        "This machine's public address could not be found out.", "Say it with --ssh-from CIDR or GPUCLOUD_SSH_FROM."
    )
