"""First contact: the machine proves its host key before anything of ours is sent.

Ed25519 only; authenticate with our key alone, read the proof bounded in bytes and time, print nothing, compare
in constant time with the key that this very connection showed.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import HostKeyError, Unreachable
from gpucloud.core.proof import KEY_TYPE, MAX_PROOF_BYTES, verdict
from gpucloud.core.wire import PROOF_FILE
from gpucloud.remote.connection import authenticate, key_line, negotiate

if TYPE_CHECKING:
    import paramiko


def prove(endpoint: Endpoint, token: str, deployment_id: str, instance_id: str, *, timeout_s: float = 10.0) -> str:
    """The host key line that the machine proved with the one-time `token` (64 hex digits). One bounded try.

    Raises Unreachable while there is no connection or no proof yet, HostKeyError for a proof of another key.
    """
    end = time.monotonic() + timeout_s
    transport = negotiate(endpoint, timeout_s, (KEY_TYPE,))
    try:
        shown = key_line(transport)
        authenticate(endpoint, transport, max(0.5, end - time.monotonic()))
        answer = _read(transport, endpoint.base_dir, max(0.5, end - time.monotonic()))
    finally:
        transport.close()
    judged = verdict(answer, token, deployment_id, instance_id, shown)
    if judged == "right":
        return shown
    if judged == "missing":
        raise Unreachable(f"{endpoint.host} has not proved its host key yet.", "It is still starting.")
    raise HostKeyError(
        f"{endpoint.host} proved another host key than the one it shows.",
        "Somebody may be in between; nothing was sent.",
    )


def _read(transport: paramiko.Transport, base_dir: str, timeout_s: float) -> bytes:
    """The first bytes that the machine has to say, and no more."""
    import paramiko

    found = bytearray()
    watchdog = threading.Timer(timeout_s, transport.close)
    watchdog.daemon = True
    watchdog.start()
    try:
        channel = transport.open_session(timeout=timeout_s)
        channel.settimeout(timeout_s)
        channel.exec_command(f"cat {base_dir}/{PROOF_FILE}")
        while len(found) < MAX_PROOF_BYTES:
            data = channel.recv(MAX_PROOF_BYTES - len(found))
            if not data:
                break
            found += data
    except (OSError, EOFError, paramiko.SSHException):
        return bytes(found)
    finally:
        watchdog.cancel()
    return bytes(found)
