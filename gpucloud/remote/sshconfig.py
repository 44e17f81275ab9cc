"""Plain `ssh NAME`, scp and VS Code: our own known_hosts and SSH configuration, strictly checked.

One file for each, rewritten as a whole under a lock; every deployment's lines stand between its markers, and only
ready deployments have any.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import UsageError
from gpucloud.remote.keys import FINGERPRINT

BEGIN, END = "# gpucloud begin {id}", "# gpucloud end {id}"
SOCKET_PATH_BYTES = 104 - 17  # a Unix socket's path on macOS, less what ssh adds while it makes one
_PLAIN = re.compile(r"[A-Za-z0-9._:@%-]+")  # what may stand in the file unquoted; a blank or line break may not


@dataclass(frozen=True)
class Host:
    """One name that plain SSH understands, the name its key is known by, and where it leads."""

    name: str
    alias: str
    endpoint: Endpoint


def hosts_of(name: str, deployment_id: str, endpoints: Sequence[Endpoint]) -> list[Host]:
    """`NAME` is node 0; of several nodes, `NAME-0`, `NAME-1` … too; each jump host has a name of its own."""
    hosts = [Host(name, f"{deployment_id}-0", endpoints[0])] if endpoints else []
    if len(endpoints) > 1:
        hosts += [Host(f"{name}-{rank}", f"{deployment_id}-{rank}", item) for rank, item in enumerate(endpoints)]
    hops = {hop: None for item in endpoints for hop in item.proxy_jump}
    return hosts + [Host(_hop_name(hop), _hop_name(hop), hop) for hop in hops]


def remember(known_hosts: Path, ssh_config: Path, name: str, deployment_id: str, endpoints: Sequence[Endpoint]) -> None:
    """Write the lines of a deployment into both files, in place of older ones.

    A host that is pinned by its fingerprint only has no line: plain SSH needs the key itself.
    """
    hosts = [host for host in hosts_of(name, deployment_id, endpoints) if _has_key(host.endpoint)]
    keys = dict.fromkeys(f"{host.alias} {' '.join(host.endpoint.host_key.split()[:2])}" for host in hosts)
    _put(known_hosts, deployment_id, "\n".join(keys))
    _put(ssh_config, deployment_id, "\n\n".join(_block(host, known_hosts) for host in hosts))


def forget(known_hosts: Path, ssh_config: Path, deployment_id: str) -> None:
    """Take a deployment's lines out of both files."""
    for path in (known_hosts, ssh_config):
        if path.exists():
            _put(path, deployment_id, "")


def accept(known_hosts: Path, host: str, port: int, key_line: str) -> None:
    """Keep the key of an own machine that the user has said yes to, in place of an older one."""
    name = host if port == 22 else f"[{host}]:{port}"
    _put(known_hosts, f"own {name}", f"{name} {' '.join(key_line.split()[:2])}")


def include_line(ssh_config: Path) -> str:
    """The one line that the user's own SSH configuration needs."""
    path = str(ssh_config)
    if re.search(r'["\n*?\[\\]', path):  # Include takes a pattern, and has no way to quote one
        raise UsageError(f"The path {path!r} cannot stand in an Include line.", "Use a folder with a plain name.")
    return f'Include "{path}"' if re.search(r"\s", path) else f"Include {path}"


def add_include(user_config: Path, ssh_config: Path) -> bool:
    """Put the line at the top of the user's configuration (an Include after a Host block belongs to it).

    False when it is there already.
    """
    line = include_line(ssh_config)
    target = user_config.resolve()  # a link stays a link
    before = target.read_text() if target.exists() else ""
    if line in before.splitlines():
        return False
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    _replace(target, f"{line}\n\n{before}" if before else f"{line}\n", mode)
    return True


def _block(host: Host, known_hosts: Path) -> str:
    endpoint = host.endpoint
    lines = [
        f"Host {_plain(host.name)}",
        f"  HostName {_plain(endpoint.host)}",
        f"  Port {endpoint.port}",
        f"  User {_plain(endpoint.user)}",
        *_identity(endpoint),
        f"  HostKeyAlias {_plain(host.alias)}",
        f"  HostKeyAlgorithms {_algorithms(endpoint)}",
        f"  UserKnownHostsFile {_quoted(str(known_hosts))}",
        "  GlobalKnownHostsFile /dev/null",
        "  StrictHostKeyChecking yes",
        *_control(host, known_hosts.parent),
    ]
    if endpoint.proxy_jump:
        lines.append(f"  ProxyJump {','.join(_hop_name(hop) for hop in endpoint.proxy_jump)}")
    return "\n".join(lines)


def _control(host: Host, folder: Path) -> list[str]:
    """One connection for many commands; its socket lies in our folder, where that is not too deep for one."""
    endpoint = host.endpoint
    where = f"{host.alias} {endpoint.user}@{endpoint.host}:{endpoint.port}"
    path = folder / f"c-{hashlib.sha256(where.encode()).hexdigest()[:10]}"
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES or host.alias == _hop_name(endpoint):
        return []
    return ["  ControlMaster auto", f"  ControlPath {_quoted(str(path))}", "  ControlPersist 60"]


def _identity(endpoint: Endpoint) -> list[str]:
    if not endpoint.identity_file:
        return []
    only = [] if endpoint.agent else ["  IdentitiesOnly yes", "  IdentityAgent none"]
    return [f"  IdentityFile {_quoted(endpoint.identity_file)}", *only]


def _algorithms(endpoint: Endpoint) -> str:
    kind = endpoint.host_key.split()[0]
    return "rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind


def _has_key(endpoint: Endpoint) -> bool:
    return len(endpoint.host_key.split()) >= 2 and not endpoint.host_key.startswith(FINGERPRINT)


def _hop_name(hop: Endpoint) -> str:
    return f"gpucloud-jump-{hop.host}-{hop.port}"


def _plain(word: str) -> str:
    """A word as it is, unless it could be read as something else. Raises UsageError."""
    if not _PLAIN.fullmatch(word) or word.startswith("-"):
        raise UsageError(f"'{word!r}' cannot stand in an SSH configuration.", "Use letters, digits, dots and dashes.")
    return word


def _quoted(path: str) -> str:
    """A path that SSH reads back unchanged: `%` starts a token there, a quote ends the word."""
    if '"' in path or "\n" in path:
        raise UsageError(f"The path {path!r} cannot stand in an SSH configuration.", "Use a folder without quotes.")
    escaped = path.replace("%", "%%")
    return f'"{escaped}"' if re.search(r"\s", escaped) else escaped


def _put(path: Path, deployment_id: str, text: str) -> None:
    begin, end = BEGIN.format(id=deployment_id), END.format(id=deployment_id)
    pattern = re.compile(rf"{re.escape(begin)}\n.*?{re.escape(end)}\n", re.DOTALL)
    with _locked(path):
        before = path.read_text() if path.exists() else ""
        rest = pattern.sub("", before)
        after = f"{rest}{begin}\n{text}\n{end}\n" if text else rest
        if after != before:
            _replace(path, after, 0o600)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time: two `up` at once must not lose each other's lines."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, staged = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            os.fchmod(descriptor, mode)
        Path(staged).replace(path)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise
