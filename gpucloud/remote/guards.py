"""The guard inside a cloud machine, as the client reaches it: its deadline moves over SSH."""

from __future__ import annotations

from gpucloud.core.wire import Transport
from gpucloud.remote.talk import Talk


def set_deadline(transport: Transport, deployment_id: str, deadline_epoch_s: float | None) -> bool:
    """Let the machine end at that moment, or never (None); whether a guard lives there that will do so.

    The boot script's watcher reads it within its pace (10 s). Raises HostError when it could not be written.
    """
    end = 0 if deadline_epoch_s is None else max(1, round(deadline_epoch_s))
    with Talk(transport, "deadline", {"base": f"gpucloud/{deployment_id}", "end": end}) as talk:
        talk.process.end_input()
        words = talk.head()
        if not talk.ended_well():
            raise talk.failure()
    return words.get("guard") == "alive"
