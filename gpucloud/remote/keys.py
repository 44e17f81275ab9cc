"""The user's own SSH key pair: ed25519, made once, readable by nobody else."""

from __future__ import annotations

import os
from pathlib import Path


def public_key(path: Path) -> str:
    """The public line of the key at `path`, made when there is none yet; two processes at once make one key."""
    public = path.with_name(path.name + ".pub")
    if not path.exists():
        _make(path)
    if not public.exists():
        _write_public(path, public)
    return public.read_text().strip()


def _make(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _publish(path, text, 0o600)


def _write_public(path: Path, public: Path) -> None:
    import paramiko

    key = paramiko.Ed25519Key.from_private_key_file(str(path))
    _publish(public, f"{key.get_name()} {key.get_base64()} gpucloud\n".encode(), 0o644)


def _publish(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, and never over an existing file: the first of two writers wins."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        part.rename(path)
        return
    part.unlink()
