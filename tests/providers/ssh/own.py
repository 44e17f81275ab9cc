"""Own machines for tests: real OpenSSH servers in an inventory, a home, the command line, a fake driver for GPUs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gpucloud.remote import keys
from tests.sshd import OpenSshServer, openssh_server

NVIDIA_SMI = """\
#!/bin/sh
case $1 in
-L) cat "$0.cards" ;;
*compute-apps*) cat "$0.apps" ;;
esac
"""


@dataclass
class Own:
    """A home of gpucloud and the servers of its inventory."""

    folder: Path
    servers: dict[str, OpenSshServer]
    hosts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "gpucloud home"

    @property
    def shelf(self) -> Path:
        """The folder of leases of all servers: they are one computer here, so each name has its own."""
        return self.folder / "leases"

    def write(self) -> None:
        """hosts.yaml as it stands in `hosts`."""
        self.home.mkdir(exist_ok=True)
        (self.home / "hosts.yaml").write_text(yaml.safe_dump({"hosts": self.hosts}))

    def environment(self, **more: str) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "PYTHONPATH") if key in os.environ}
        user_home = self.folder / "user home"
        user_home.mkdir(exist_ok=True)
        return {**kept, "HOME": str(user_home), "GPUCLOUD_HOME": str(self.home), "GPUCLOUD_WAIT_POLL": "0.02", **more}

    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """One gpucloud command under way."""
        work = more.pop("cwd", self.folder / "work")
        work.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "gpucloud", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=work,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def call(self, *words: str, code: int = 0, **more: Any) -> Any:
        """One command with `-o json`; its object, or the error's when `code` is not 0."""
        process = self.start("-o", "json", *words, **more)
        out, err = process.communicate(timeout=90)
        assert process.returncode == code, (words, process.returncode, out, err)
        assert "Traceback" not in err
        return json.loads(out) if code == 0 and out else json.loads(err[("\n" + err).rindex("\n{") :])

    def up(self, name: str, *words: str, code: int = 0, **more: Any) -> Any:
        return self.call("up", name, "--cloud", "ssh", "--yes", *words, code=code, **more)


@contextlib.contextmanager
def own_machines(
    folder: Path, *names: str, gpus: str = "RTX3090", count: int = 2, pinned: bool = True
) -> Iterator[Own]:
    """That many sshd, each a host with `count` GPUs by the inventory and a shelf of its own."""
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(openssh_server(folder / name)) for name in names}
        own = Own(folder, servers)
        for name, server in servers.items():
            entry = {
                "name": name,
                "address": server.endpoint.host,
                "port": server.endpoint.port,
                "user": server.endpoint.user,
                "identity_file": server.endpoint.identity_file,
                "lease_dir": str(folder / f"leases-{name}"),
            }
            if pinned:
                entry["fingerprint"] = keys.fingerprint(server.endpoint.host_key)
            if count:
                entry["gpus"] = [{"model": gpus, "count": count}]
            own.hosts.append(entry)
        own.write()
        try:
            yield own
            if any(server.daemon.poll() is None for server in servers.values()):
                soon = {"GPUCLOUD_WAIT_SILENT": "1", "GPUCLOUD_WAIT_DESTROY": "2"}  # one of them may be down
                own.start("down", "--all", "--yes", **soon).communicate(timeout=60)
        finally:
            for server in servers.values():
                end_watchers(server.home)


def end_watchers(home: Path) -> None:
    """End what waits for the deadlines of leases on a host that nothing can reach any more."""
    for file in home.glob("gpucloud/*/watcher"):
        with contextlib.suppress(ProcessLookupError, ValueError, OSError):
            os.killpg(int(file.read_text().split()[0]), signal.SIGKILL)


def fake_driver(server: OpenSshServer, cards: list[str], apps: str = "") -> Path:
    """An nvidia-smi on the server's PATH that shows these cards; what computes there can be changed later."""
    program = server.home / "bin" / "nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    lines = [f"GPU {number}: {card} (UUID: GPU-{number:08d}-aaaa)" for number, card in enumerate(cards)]
    program.with_name("nvidia-smi.cards").write_text("\n".join(lines) + "\n")
    program.with_name("nvidia-smi.apps").write_text(apps)
    return program
