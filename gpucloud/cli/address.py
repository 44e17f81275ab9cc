"""Where SSH may come from: the user's word, `GPUCLOUD_SSH_FROM`, or what an echo service sees."""

from __future__ import annotations

import os


def ssh_from(word: str, *, ask: bool = True) -> tuple[str, ...]:
    """CIDRs for a word: `auto`, or addresses with commas. `ask` False leaves `auto` unanswered (dry runs)."""
    from gpucloud.remote.address import cidr, own_address

    text = word if word != "auto" else os.environ.get("GPUCLOUD_SSH_FROM", "auto")
    if text == "auto":
        return (own_address(os.environ),) if ask else ("auto",)
    return tuple(cidr(part.strip()) for part in text.split(",") if part.strip())
