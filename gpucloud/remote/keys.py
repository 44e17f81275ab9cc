"""Keys: our own pair per home (ed25519), key lines and fingerprints, the user's key files for own machines."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpucloud.core.errors import HostError, UsageError

DEFAULT_FILES = ("id_ed25519", "id_ecdsa", "id_rsa")
FINGERPRINT = "SHA256:"


def public_key(path: Path) -> str:
    """The public line of the private key file `path`, made at the first call; two racing calls agree on one key."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    public = path.with_name(path.name + ".pub")
    if not public.exists():
        key = load(path)
        _publish(public, f"{key.get_name()} {key.get_base64()} gpucloud\n".encode(), 0o644)
    return public.read_text().strip()


def load(path: Path) -> Any:
    """A private key of any kind. Raises UsageError when it is missing, encrypted or not a key."""
    from gpucloud.remote.transport import paramiko

    try:
        return paramiko.PKey.from_path(path)
    except FileNotFoundError:
        raise UsageError(f"There is no key file {path}.", "Check identity_file.") from None
    except TypeError:
        raise UsageError(f"The key {path} has a passphrase.", "Add it to your SSH agent (ssh-add).") from None
    except Exception as error:  # what it raises depends on the format: ValueError, SSHException, UnknownKeyType, …
        raise UsageError(f"{path} is not a private key that can be read: {error}.") from None


def parse_line(line: str) -> tuple[str, bytes]:
    """A key line's type and bytes. Raises HostError when it is none."""
    words = line.split()
    try:
        key_type, blob = words[0], base64.b64decode(words[1], validate=True)
    except (IndexError, ValueError):
        raise HostError(f"'{line[:40]}' is not a host key line.", "Write it like `ssh-ed25519 AAAA…`.") from None
    return key_type, blob


def fingerprint(line: str) -> str:
    """`SHA256:…` of a key line, as ssh-keygen -l shows it."""
    return fingerprint_of(parse_line(line)[1])


def fingerprint_of(blob: bytes) -> str:
    """`SHA256:…` of a key's bytes."""
    return FINGERPRINT + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def users_keys(folder: Path | None = None) -> Iterator[Any]:
    """Keys for own machines: those of the SSH agent, then the user's usual files that need no passphrase."""
    from gpucloud.remote.transport import paramiko

    agent: Any = paramiko.Agent()
    try:
        yield from agent.get_keys()
    finally:
        agent.close()
    for name in DEFAULT_FILES:
        with contextlib.suppress(UsageError):
            yield load((folder or Path.home() / ".ssh") / name)


def _make(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    _publish(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600)


def _publish(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, and never over an existing file: the first of two writers wins."""
    descriptor, staged = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # O_EXCL and 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, mode)
            file.flush()
            os.fsync(descriptor)
        os.link(staged, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            Path(staged).replace(path)
    finally:
        Path(staged).unlink(missing_ok=True)
