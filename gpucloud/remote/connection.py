"""One SSH connection to one machine: our own tuned socket, the host key checked before anything is sent.

paramiko is imported when a connection is opened, so that only commands that use SSH pay for it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import HostKeyError, Unreachable
from gpucloud.remote.sockets import dial_socket

if TYPE_CHECKING:
    import paramiko

CONNECT_S = 15.0  # one try: TCP, key exchange, authentication
OPEN_S = 15.0
DEAD_S = 8.0  # a link that answers nothing for so long is dead
PROBE_S = 2.0
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
REKEY_BYTES = 1 << 34


def connect(endpoint: Endpoint, *, deadline_s: float = 30.0) -> Connection:
    """Open an authenticated connection; refused, reset and silent hosts are tried again until `deadline_s`.

    The host key of every hop must be the pinned one (`endpoint.host_key`). Raises HostKeyError for another key
    or when none is pinned, Unreachable otherwise.
    """
    end = time.monotonic() + deadline_s
    pause_s = 0.05
    while True:
        try:
            return Connection(endpoint, open_transport(endpoint, min(CONNECT_S, max(1.0, end - time.monotonic()))))
        except Unreachable as error:
            if time.monotonic() + pause_s >= end or error.details.get("final"):
                raise
            time.sleep(pause_s)
            pause_s = min(1.0, pause_s * 2)


def open_transport(endpoint: Endpoint, timeout_s: float, key_types: Sequence[str] = KEY_TYPES) -> paramiko.Transport:
    """A Transport with its host key checked and the user authenticated; one try."""
    if not endpoint.host_key:
        raise HostKeyError(
            f"The host key of {endpoint.host} is not known.",
            "Its fingerprint has to be pinned before anything is sent.",
        )
    transport = negotiate(endpoint, timeout_s, key_types)
    try:
        check_host_key(endpoint, transport)
        authenticate(endpoint, transport, timeout_s)
    except BaseException:
        transport.close()
        raise
    return transport


def negotiate(endpoint: Endpoint, timeout_s: float, key_types: Sequence[str] = KEY_TYPES) -> paramiko.Transport:
    """TCP (through the jump hosts) and key exchange; nothing of ours is sent yet."""
    import paramiko

    try:
        transport = paramiko.Transport(_stream(endpoint, timeout_s))
    except (OSError, paramiko.SSHException) as error:
        raise _unreachable(endpoint, error) from None
    options = transport.get_security_options()
    options.ciphers = tuple(cipher for cipher in CIPHERS if cipher in options.ciphers)
    options.key_types = tuple(kind for kind in key_types if kind in options.key_types)
    transport.banner_timeout = transport.handshake_timeout = timeout_s
    transport.packetizer.REKEY_BYTES = REKEY_BYTES
    try:
        transport.start_client(timeout=timeout_s)
    except (OSError, EOFError, paramiko.SSHException) as error:
        transport.close()
        raise _unreachable(endpoint, error) from None
    return transport


def _stream(endpoint: Endpoint, timeout_s: float) -> Any:
    if not endpoint.proxy_jump:
        return dial_socket(endpoint.host, endpoint.port, timeout_s)
    *before, last = endpoint.proxy_jump
    from dataclasses import replace

    hop = open_transport(replace(last, proxy_jump=tuple(before)), timeout_s)
    channel = hop.open_channel("direct-tcpip", (endpoint.host, endpoint.port), ("127.0.0.1", 0), timeout=timeout_s)
    channel.gpucloud_hop = hop  # type: ignore[attr-defined] # lives as long as what goes through it
    return cast(socket.socket, channel)


def check_host_key(endpoint: Endpoint, transport: paramiko.Transport) -> None:
    """Raise HostKeyError unless the host showed the pinned key."""
    shown = key_line(transport)
    if shown.split()[:2] != endpoint.host_key.split()[:2]:
        raise HostKeyError(
            f"The host key of {endpoint.host} port {endpoint.port} is not the one that was proved: "
            f"{fingerprint(shown)} instead of {fingerprint(endpoint.host_key)}.",
            "Somebody may be in between. Compare it on the machine itself with `ssh-keygen -lf` of its host key.",
        )


def key_line(transport: paramiko.Transport) -> str:
    """The host's key as `TYPE BASE64`."""
    key = transport.get_remote_server_key()
    return f"{key.get_name()} {key.get_base64()}"


def fingerprint(line: str) -> str:
    """`SHA256:…` of a key line, as ssh-keygen prints it."""
    import base64
    import hashlib

    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def authenticate(endpoint: Endpoint, transport: paramiko.Transport, timeout_s: float) -> None:
    """With the endpoint's key file, else with the keys of the user's agent."""
    import paramiko

    transport.auth_timeout = timeout_s
    refused = None
    for key in _keys(endpoint):
        try:
            transport.auth_publickey(endpoint.user, key)
            return
        except paramiko.AuthenticationException as error:
            refused = error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise _unreachable(endpoint, error) from None
    why = "the key was refused" if refused is not None else "there is no key to offer"
    raise Unreachable(
        f"{endpoint.user}@{endpoint.host} port {endpoint.port} does not let us in: {why}.",
        "Check the user name and its authorized_keys.",
        final=True,
    )


def _keys(endpoint: Endpoint) -> Sequence[paramiko.PKey]:
    import paramiko

    if not endpoint.identity_file:
        return paramiko.Agent().get_keys()
    path = Path(endpoint.identity_file).expanduser()
    try:
        return [_load_key(str(path))]
    except (OSError, paramiko.SSHException, ValueError) as error:
        raise Unreachable(
            f"The key {path} cannot be used: {error}.", "Give another identity_file.", final=True
        ) from None


def _load_key(path: str) -> paramiko.PKey:
    import paramiko

    return paramiko.PKey.from_path(path)


def _unreachable(endpoint: Endpoint, error: BaseException) -> Unreachable:
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Unreachable(
        f"{endpoint.host} port {endpoint.port} cannot be reached: {why}.",
        "Check that the machine runs and that your address may connect; `gpucloud ls --refresh` asks the cloud.",
    )


class Connection:
    """A `core.wire.Transport` over one paramiko Transport, with one spare channel kept open."""

    def __init__(self, endpoint: Endpoint, transport: paramiko.Transport) -> None:
        self.endpoint = endpoint
        self.dialect = endpoint.dialect
        self.base_dir = endpoint.base_dir
        self.transport = transport
        self._closed = threading.Event()
        self._spare: Any = None
        self._spare_lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Ask for a sign of life; silence for DEAD_S closes the link, so that readers see its end."""
        while not self._closed.wait(PROBE_S):
            if not self.transport.is_active():
                return
            answered = threading.Event()
            threading.Thread(target=self._probe, args=(answered,), daemon=True).start()
            if not answered.wait(DEAD_S) and not self._closed.is_set():
                self.transport.close()
                return

    def _probe(self, answered: threading.Event) -> None:
        with contextlib.suppress(Exception):
            self.transport.global_request("keepalive@openssh.com", wait=True)
        answered.set()

    def open_session(self) -> Any:
        """A fresh session channel; the spare one when it is there, and the next spare is opened behind it."""
        with self._spare_lock:
            channel, self._spare = self._spare, None
        if channel is None or channel.closed:
            channel = self._new_channel()
        threading.Thread(target=self._refill, daemon=True).start()
        return cast(socket.socket, channel)

    def _refill(self) -> None:
        with contextlib.suppress(Unreachable):
            channel = self._new_channel()
            with self._spare_lock:
                if self._spare is None and not self._closed.is_set():
                    self._spare, channel = channel, None
            if channel is not None:
                channel.close()

    def _new_channel(self) -> Any:
        import paramiko

        try:
            return self.transport.open_session(timeout=OPEN_S)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise _unreachable(self.endpoint, error) from None

    def run(self, command: str, *, tty: bool = False) -> SshProcess:
        """Start one command. Raises Unreachable."""
        import paramiko

        channel = self.open_session()
        try:
            if tty:
                channel.get_pty(*terminal())
            channel.exec_command(command)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise _unreachable(self.endpoint, error) from None
        return SshProcess(channel, self)

    def lost(self) -> Unreachable:
        """What to raise when the link has died."""
        return _unreachable(self.endpoint, ConnectionResetError(None, "the connection was lost"))

    def close(self) -> None:
        """End the connection and everything on it; safe to repeat."""
        self._closed.set()
        self.transport.close()
        hop = getattr(self.transport.sock, "gpucloud_hop", None)
        if hop is not None:
            hop.close()


def terminal() -> tuple[str, int, int]:
    """Name, width and height for a terminal on the other side."""
    import os
    import shutil

    size = shutil.get_terminal_size((80, 24))
    return os.environ.get("TERM", "xterm"), size.columns, size.lines


class SshProcess:
    """A `core.wire.Process` on one channel."""

    def __init__(self, channel: Any, connection: Connection) -> None:
        self.channel, self._connection = channel, connection

    def write(self, data: bytes) -> None:
        """Send all of it to the command's input."""
        try:
            self.channel.sendall(data)
        except OSError:
            raise self._connection.lost() from None

    def end_input(self) -> None:
        """Close the command's input."""
        with contextlib.suppress(OSError, EOFError):
            self.channel.shutdown_write()

    def read(self, size: int) -> bytes:
        """Output; empty at its end."""
        return self._take(self.channel.recv, size)

    def read_error(self, size: int) -> bytes:
        """Error output; empty at its end."""
        return self._take(self.channel.recv_stderr, size)

    def _take(self, receive: Callable[[int], bytes], size: int) -> bytes:
        try:
            data = receive(size)
        except OSError:
            data = b""
        if not data and not self.channel.exit_status_ready() and not self.channel.eof_received:
            raise self._connection.lost()
        return data

    def wait(self) -> int:
        """The exit status."""
        self.channel.status_event.wait()
        if self.channel.exit_status < 0:
            raise self._connection.lost()
        return int(self.channel.exit_status)

    def resize(self) -> None:
        """Tell the other side the size of our terminal."""
        _, columns, lines = terminal()
        with contextlib.suppress(OSError, EOFError):
            self.channel.resize_pty(columns, lines)

    def close(self) -> None:
        """Give the channel back."""
        self.channel.close()


def open_channel_to(connection: Connection, host: str, port: int, origin: tuple[str, int]) -> socket.socket:
    """A stream to `host:port` as seen from the machine (port forwarding). Raises Unreachable."""
    import paramiko

    try:
        channel = connection.transport.open_channel("direct-tcpip", (host, port), origin, timeout=OPEN_S)
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise _unreachable(connection.endpoint, error) from None
    return cast(socket.socket, channel)
