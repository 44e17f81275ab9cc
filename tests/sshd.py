"""Real OpenSSH servers for tests, without root: a high port of loopback, own host key and home, our key only.

    from tests.sshd import needs_sshd, openssh_server
    @needs_sshd
    def test_it(tmp_path):
        with openssh_server(tmp_path) as server:
            server.connect().run("echo hello")

An sshd that is not root can only let its own user in; `SetEnv HOME` and a forced command give each server a home
of its own. No PTY there (it may not own the terminal device), unless the tests run as root.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gpucloud.core.cloud import Endpoint
from gpucloud.remote import keys
from gpucloud.remote.connection import Connection, connect
from tests.machines import until

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/usr/libexec")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="OpenSSH's sshd is not installed (apt-get install openssh-server)")

CONFIG = """\
ListenAddress {host}
Port {port}
HostKey "{folder}/host_key"
PidFile "{folder}/pid"
AuthorizedKeysFile "{folder}/authorized_keys"
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 200:30:400
MaxSessions 64
SetEnv "HOME={home}"
Subsystem sftp internal-sftp
{more}
Match All
ForceCommand cd "$HOME"; case "$SSH_ORIGINAL_COMMAND" in "") exec sh -l;; *) {shell} "$SSH_ORIGINAL_COMMAND";; esac
"""


@dataclass
class OpenSshServer:
    """One sshd. `home` is the login home of whoever comes in."""

    folder: Path
    endpoint: Endpoint
    daemon: subprocess.Popen[bytes]
    open: list[Connection] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def connect(self, **words: Any) -> Connection:
        """A connection that the fixture closes."""
        self.open.append(connect(self.endpoint, **words))
        return self.open[-1]

    def reconfigure(self, old: str, new: str) -> None:
        """Another text in its configuration from now on: it reads it again, and lets in again when this returns."""
        config, mark = self.folder / "sshd_config", self.folder / "pid"
        config.write_text(config.read_text().replace(old, new, 1))
        mark.unlink()  # it writes it when it listens again
        self.daemon.send_signal(signal.SIGHUP)
        until(lambda: mark.exists() and mark.read_text().strip())

    def cut(self) -> None:
        """Kill what serves the open connections; sessions have left the listener's group, so they go by descent."""
        for pid in _children(self.daemon.pid):
            _kill_tree(pid)

    def stop(self) -> None:
        """End the listener and every session of it; stopped first, or it would let somebody in between the two."""
        self.daemon.send_signal(signal.SIGSTOP)
        self.cut()
        self.daemon.kill()
        self.daemon.wait()


@contextlib.contextmanager
def openssh_server(
    folder: Path,
    *,
    key_type: str = "ed25519",
    more: str = "",
    shell: str = "exec /bin/sh -c",
    base_dir: str = "",
    host: str = "127.0.0.1",
    inside: tuple[str, ...] = (),
) -> Iterator[OpenSshServer]:
    """An sshd in `folder`, its host key pinned. `shell` runs the command given as its next word.

    It listens on `host`; `inside` are words that run it elsewhere, such as in a network namespace.
    """
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", key_type, "-N", "", "-f", str(folder / "host_key")], check=True)
    identity = folder / "id_ed25519"
    (folder / "authorized_keys").write_text(keys.public_key(identity) + "\n")
    port = _free_port(host if not inside else "127.0.0.1")
    config = folder / "sshd_config"
    config.write_text(CONFIG.format(host=host, port=port, folder=folder, home=home, more=more, shell=shell))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where a root sshd separates its privileges
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [*inside, str(SSHD), "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    endpoint = Endpoint(host, port, getpass.getuser(), str(identity), host_key, base_dir=base_dir)
    server = OpenSshServer(folder, endpoint, daemon)
    try:
        _wait_listening(server)
        yield server
    finally:
        for connection in server.open:
            connection.close()
        server.stop()


def _children(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = (line.split() for line in listing.splitlines())
    return [int(child) for child, parent in pairs if int(parent) == pid]


def _kill_tree(pid: int) -> None:
    """From the top down, so that nobody is left who could report an end in good order."""
    below = _children(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        below = _children(pid)
        os.kill(pid, signal.SIGKILL)
    for child in below:
        _kill_tree(child)


def same_host(server: OpenSshServer, **changes: Any) -> Endpoint:
    """The server's endpoint with other fields."""
    return replace(server.endpoint, **changes)


def _wait_listening(server: OpenSshServer) -> None:
    ends = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((server.endpoint.host, server.endpoint.port), 1).close()
        except OSError:
            said = (server.folder / "log").read_text()
            assert server.daemon.poll() is None and time.monotonic() < ends, said
            time.sleep(0.02)
        else:
            return


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
