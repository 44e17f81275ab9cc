"""First contact: the machine proves its host key before anything of ours is sent.

Ed25519 only; our key alone; the proof is read bounded in bytes and time, printed nowhere, and compared in
constant time with the key that this very connection showed. What is signed: `core.proof`.
"""

from __future__ import annotations

import secrets
import shlex
import threading
import time

from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import HostKeyError, Unreachable
from gpucloud.core.proof import MAX_PROOF_BYTES, verdict
from gpucloud.core.wire import PROOF_FILE
from gpucloud.remote.connection import Connection, connect_unpinned


def new_token() -> str:
    """A one-time token for boot data: 64 hex digits."""
    return secrets.token_hex(32)


def prove(endpoint: Endpoint, token: str, deployment_id: str, instance_id: str, *, timeout_s: float = 10.0) -> str:
    """The host key line that the machine proved with the one-time `token`. One bounded try; callers repeat it.

    Raises Unreachable while there is no connection or no proof yet, HostKeyError for a proof of another key:
    neither is final while the machine boots.
    """
    end = time.monotonic() + timeout_s
    with connect_unpinned(endpoint, deadline_s=timeout_s) as connection:
        answer = _read(connection, max(0.5, end - time.monotonic()))
    shown = connection.host_key_line
    judged = verdict(answer, token, deployment_id, instance_id, shown)
    if judged == "right":
        return shown
    if judged == "missing":
        raise Unreachable(f"{endpoint.host} has not proved its host key yet.", "It is still starting.")
    raise HostKeyError(
        f"{endpoint.host} proved another host key than the one it shows.",
        "Somebody may be in between; nothing of yours was sent.",
    )


def _reading(connection: Connection) -> str:
    """Any login shell has `cat`, even one that is no sh; a local machine has sh and perhaps no program at all."""
    path = shlex.quote(f"{connection.base_dir}/{PROOF_FILE}")
    return f"read -r line <{path} && echo $line" if connection.dialect == "embedded" else f"cat {path}"


def _read(connection: Connection, timeout_s: float) -> bytes:
    """What the machine has to say, as far as a proof can reach; closing the link ends a silent one."""
    silence = threading.Timer(timeout_s, connection.transport.close)
    silence.daemon = True
    silence.start()
    found = bytearray()
    try:
        process = connection.run(_reading(connection))
        while len(found) < MAX_PROOF_BYTES and (data := process.read(MAX_PROOF_BYTES - len(found))):
            found += data
    except Unreachable:
        return bytes(found)
    finally:
        silence.cancel()
    return bytes(found)
