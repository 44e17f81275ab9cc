"""Plain `ssh NAME`, scp and VS Code: our own known_hosts and SSH configuration, strictly checked.

One file for each, rewritten as a whole; every deployment's lines stand between its markers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpucloud.core.cloud import Endpoint

BEGIN, END = "# gpucloud begin {id}", "# gpucloud end {id}"


@dataclass(frozen=True)
class Host:
    """One name that plain SSH understands, and where it leads."""

    name: str
    alias: str
    endpoint: Endpoint


def hosts_of(name: str, deployment_id: str, endpoints: Sequence[Endpoint]) -> list[Host]:
    """`NAME` is node 0; of several nodes, `NAME-0`, `NAME-1` … too."""
    hosts = [Host(name, f"{deployment_id}-0", endpoints[0])] if endpoints else []
    if len(endpoints) > 1:
        hosts += [Host(f"{name}-{rank}", f"{deployment_id}-{rank}", item) for rank, item in enumerate(endpoints)]
    return hosts


def remember(known_hosts: Path, ssh_config: Path, name: str, deployment_id: str, endpoints: Sequence[Endpoint]) -> None:
    """Write the lines of a deployment into both files, in place of older ones."""
    hosts = hosts_of(name, deployment_id, endpoints)
    keys = {f"{host.alias} {' '.join(host.endpoint.host_key.split()[:2])}": None for host in hosts}
    _put(known_hosts, deployment_id, "\n".join(keys))
    _put(ssh_config, deployment_id, "\n".join(_block(host, known_hosts) for host in hosts))


def forget(known_hosts: Path, ssh_config: Path, deployment_id: str) -> None:
    """Take a deployment's lines out of both files."""
    for path in (known_hosts, ssh_config):
        if path.exists():
            _put(path, deployment_id, "")


def _block(host: Host, known_hosts: Path) -> str:
    endpoint = host.endpoint
    lines = [
        f"Host {host.name}",
        f"  HostName {endpoint.host}",
        f"  Port {endpoint.port}",
        f"  User {endpoint.user}",
        f"  IdentityFile {_quoted(endpoint.identity_file)}" if endpoint.identity_file else "",
        "  IdentitiesOnly yes" if endpoint.identity_file else "",
        f"  HostKeyAlias {host.alias}",
        f"  HostKeyAlgorithms {endpoint.host_key.split()[0]}",
        f"  UserKnownHostsFile {_quoted(str(known_hosts))}",
        "  StrictHostKeyChecking yes",
        "  ControlMaster auto",
        "  ControlPath ~/.ssh/gpucloud-%C",
        "  ControlPersist 60",
    ]
    if endpoint.proxy_jump:
        hops = ",".join(f"{hop.user}@{hop.host}:{hop.port}" for hop in endpoint.proxy_jump)
        lines.append(f"  ProxyJump {hops}")
    return "\n".join(line for line in lines if line)


def _quoted(path: str) -> str:
    return f'"{path}"' if re.search(r"\s", path) else path


def _put(path: Path, deployment_id: str, text: str) -> None:
    before = path.read_text() if path.exists() else ""
    begin, end = BEGIN.format(id=deployment_id), END.format(id=deployment_id)
    pattern = re.compile(rf"{re.escape(begin)}\n.*?{re.escape(end)}\n", re.DOTALL)
    rest = pattern.sub("", before)
    after = f"{rest}{begin}\n{text}\n{end}\n" if text else rest
    if after != before:
        _replace(path, after)


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    part.replace(path)


def include_line(ssh_config: Path) -> str:
    """The one line that the user's own SSH configuration needs."""
    return f"Include {_quoted(str(ssh_config))}"


def add_include(user_config: Path, ssh_config: Path) -> bool:
    """Put the line at the top of the user's configuration (an Include after a Host block belongs to it).

    False when it is there already.
    """
    line = include_line(ssh_config)
    before = user_config.read_text() if user_config.exists() else ""
    if line in before.splitlines():
        return False
    _replace(user_config, f"{line}\n\n{before}" if before else f"{line}\n")
    return True
