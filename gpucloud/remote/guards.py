"""The guard inside a cloud machine, as the client reaches it over SSH: its deadline, and who its other nodes are."""

from __future__ import annotations

from collections.abc import Sequence

from gpucloud.core.wire import Transport
from gpucloud.remote.talk import Talk


def set_deadline(transport: Transport, deployment_id: str, deadline_epoch_s: float | None) -> bool:
    """Let the machine end at that moment, or never (None); whether a guard lives there that will do so.

    The boot script's watcher reads it within its pace (10 s). Raises HostError when it could not be written.
    """
    end = 0 if deadline_epoch_s is None else max(1, round(deadline_epoch_s))
    return _write(transport, deployment_id, "deadline", str(end))


def set_peers(transport: Transport, deployment_id: str, addresses: Sequence[str]) -> bool:
    """Tell a node the private addresses of the others; until then none of them ends for idleness.

    False where no guard lives, or where it cannot tell the others (which takes python3 and bash).
    """
    return _write(transport, deployment_id, "peers", "\n".join(addresses))


def _write(transport: Transport, deployment_id: str, name: str, text: str) -> bool:
    base = f"gpucloud/{deployment_id}"
    with Talk(transport, "deadline", {"base": base, "name": name, "text": text}) as talk:
        talk.process.end_input()
        words = talk.head()
        if not talk.ended_well():
            raise talk.failure()
    return words.get("guard") == "alive"
