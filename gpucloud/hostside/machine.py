"""What the server and the verbs know of the machine they work in."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpucloud.core.proof import proof_line
from gpucloud.core.wire import PROOF_FILE, RUNS_DIR, WORK_DIR
from gpucloud.providers.local.folder import HOST_KEY, TOKEN, Folder, Record, write_private


@dataclass(frozen=True)
class Machine:
    """The machine as verbs see it.

    `home` is the root of relative paths, `environment` what jobs start with. `gone` is set when the client of
    this one verb has left, so that a verb that only waits can end; every verb gets a machine with its own.
    """

    id: str
    folder: Folder
    home: Path
    base_dir: str
    environment: Mapping[str, str]
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def base(self) -> Path:
        """Our folder on the machine."""
        return self.home / self.base_dir


def open_machine(folder: Folder, record: Record, environment: Mapping[str, str]) -> Machine:
    """The machine of a folder, with the places that it needs."""
    machine = Machine(folder.id, folder, folder.home, record.base_dir, dict(environment))
    for place in (folder.temporary, machine.base / WORK_DIR, machine.base / RUNS_DIR):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return machine


def host_key(folder: Folder) -> bytes:
    """The machine's private host key (OpenSSH format, ed25519), made at its first boot."""
    path = folder.path / HOST_KEY
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    write_private(path, key)
    return key


def write_proof(machine: Machine, record: Record, host_key_line: str) -> None:
    """Sign the host key with the one-time token of the boot data, then forget the token."""
    token_file = machine.folder.path / TOKEN
    with contextlib.suppress(FileNotFoundError):
        token = token_file.read_text().strip()
        line = proof_line(token, record.deployment_id, machine.id, host_key_line)
        write_private(machine.base / PROOF_FILE, line.encode())
        token_file.unlink()


def log(text: str) -> None:
    """A line in the machine's log (our standard error)."""
    import time

    with contextlib.suppress(OSError):
        os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n".encode())
