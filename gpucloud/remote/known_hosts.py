"""The user's own known_hosts, read only: the pin of a machine that they have been to with plain ssh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PREFERRED = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def known_key(host: str, port: int, path: Path | None = None) -> str:
    """The key line that is known for a host (hashed names too), the strongest kind first; empty when none is."""
    from gpucloud.remote.transport import paramiko

    file = path or Path.home() / ".ssh" / "known_hosts"
    if not file.is_file():
        return ""
    known = paramiko.HostKeys()
    for line in file.read_text(errors="replace").splitlines():
        _take(known, line)
    found: Any = known.lookup(host if port == 22 else f"[{host}]:{port}") or {}
    best = next((kind for kind in PREFERRED if kind in found), "")
    return f"{best} {found[best].get_base64()}" if best else ""


def _take(known: Any, line: str) -> None:
    """Add one line; marked ones (@revoked, @cert-authority) and broken ones are not for us."""
    from gpucloud.remote.transport import paramiko

    if not line.strip() or line.lstrip().startswith(("#", "@")):
        return
    try:
        entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
    except (paramiko.SSHException, ValueError):
        return
    if entry is not None and entry.key is not None:
        for name in entry.hostnames:
            known.add(name, entry.key.get_name(), entry.key)
