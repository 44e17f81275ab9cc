"""One SSH connection to one machine: retried until its deadline, the host's key checked before ours is shown.

    open_socket → key exchange → the host's key against the pin → our key → spare channel

paramiko loads at the first `connect`. Everything after is many channels on this one connection.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import HostKeyError, Unreachable
from gpucloud.remote.keys import FINGERPRINT, fingerprint_of, load, parse_line, users_keys
from gpucloud.remote.sockets import DEAD_LINK_S, KEEPALIVE_S, USER_TIMEOUT, open_socket

CONNECT_S = 15.0  # default patience of `connect`
STEP_S = 10.0  # longest wait for one TCP connection, banner, key exchange or answer
CHANNEL_S = 30.0
WRITE_BYTES = 1 << 17
RSA_TYPES = ("rsa-sha2-512", "rsa-sha2-256")
ECDSA_TYPES = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
KEY_HINT = "Compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the machine's own console."
Identities = Callable[[], Generator[Any, None, None]]
Check = Callable[[str, bytes], None]  # key type and bytes that the host showed; raises HostKeyError


def connect(endpoint: Endpoint, *, deadline_s: float = CONNECT_S) -> Connection:
    """An authenticated connection; tried again after refused, reset, silent or closed until `deadline_s`.

    The host key of every hop must be the pinned one: `endpoint.host_key`, a key line or `SHA256:…`. Raises
    HostKeyError at once when it is not, or none is pinned; Unreachable when the time is over or our key is refused.
    """
    if not endpoint.host_key:
        raise HostKeyError(
            f"No host key is known for {endpoint.host}, and it is not taken on trust.",
            "Give its fingerprint in hosts.yaml (`fingerprint: SHA256:…`).",
        )
    return _connect(endpoint, _pin(endpoint), deadline_s)


def connect_unpinned(endpoint: Endpoint, *, deadline_s: float) -> Connection:
    """For the proof only: any ed25519 key passes and is recorded as `host_key_line`; trust nothing it says."""
    return _connect(replace(endpoint, host_key=""), None, deadline_s)


def shown_host_key(endpoint: Endpoint, *, deadline_s: float = CONNECT_S) -> str:
    """The key line that the host shows, unchecked, for a question to the user. Nothing of ours is sent."""
    with _Retry(endpoint, deadline_s) as retry:
        for left_s in retry:
            with retry.attempt(), _open(endpoint, None, left_s) as link:
                return _line(link.transport)
    raise retry.unreachable()


class Connection:
    """A `core.wire.Transport`: commands on channels of one connection. Thread-safe."""

    def __init__(self, endpoint: Endpoint, link: _Link) -> None:
        self.endpoint, self.dialect, self.base_dir = endpoint, endpoint.dialect, endpoint.base_dir
        self.host_key_line = _line(link.transport)
        self.transport, self._way = link.transport, link
        self._spare_lock = threading.Lock()
        self._spare: Future[Any] | None = None
        self._opener: threading.Thread | None = None
        self._closed = threading.Event()
        self._open_spare()
        if endpoint.proxy_jump or USER_TIMEOUT is None:  # where no socket option of ours reaches the far end
            threading.Thread(target=self._probe, name="link probe", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the link is up as far as we know."""
        return bool(self.transport.is_active())

    def run(self, command: str, *, tty: bool = False) -> SshProcess:
        """Start one command through the machine's login shell. Raises Unreachable when the link is gone."""
        return self.start(command, tty=tty)

    def start(self, command: str | None, *, tty: bool) -> SshProcess:
        """Start a command, or the login shell itself when it is None."""
        channel = self.open_session()
        with self._link():
            if tty:
                channel.get_pty(*terminal())
            if command is None:
                channel.invoke_shell()
            else:
                channel.exec_command(command)
        return SshProcess(self, channel)

    def open_session(self) -> Any:
        """A fresh session channel: the spare one, while the next opens in the background."""
        with self._spare_lock:
            spare, self._spare = self._spare, None
        channel = spare.result() if spare is not None else None
        if channel is None or channel.closed:
            with self._link():
                channel = self.transport.open_session(timeout=CHANNEL_S)
        self._open_spare()
        return channel

    def tunnel(self, host: str, port: int) -> Any:
        """A channel to an address as the machine sees it. Raises ConnectionRefusedError when nothing answers."""
        from gpucloud.remote.transport import paramiko

        with self._link():
            try:
                return self.transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=CHANNEL_S)
            except paramiko.ChannelException as error:
                raise ConnectionRefusedError(f"{host}:{port}: {error}") from None

    def close(self) -> None:
        """End the connection; safe to repeat."""
        self._closed.set()
        self.transport.close()
        if self._opener is not None:
            self._opener.join()
        self._way.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lost(self) -> Unreachable:
        """The error for a link that died."""
        return Unreachable(
            f"The connection to {self.endpoint.host} was lost.",
            "Check your network; runs on the machine go on.",
        )

    @contextlib.contextmanager
    def _link(self) -> Iterator[None]:
        from gpucloud.remote.transport import paramiko

        try:
            yield
        except (paramiko.SSHException, EOFError, OSError) as error:
            if isinstance(error, ConnectionRefusedError):
                raise
            if not self.alive:
                raise self.lost() from error
            raise Unreachable(f"{self.endpoint.host} refused a request: {error}.") from error

    def _probe(self) -> None:
        """Ask for an answer every few seconds; silence for DEAD_LINK_S closes the link, so that readers see its end."""
        while not self._closed.wait(KEEPALIVE_S) and self.alive:
            silence = threading.Timer(DEAD_LINK_S, self.transport.close)
            silence.daemon = True
            silence.start()
            with contextlib.suppress(Exception):
                self.transport.global_request("keepalive@openssh.com", wait=True)
            silence.cancel()

    def _open_spare(self) -> None:
        with self._spare_lock:
            if self._spare is None and not self._closed.is_set():
                self._spare = Future()
                self._opener = threading.Thread(
                    target=self._fill, args=(self._spare,), name="spare channel", daemon=True
                )
                self._opener.start()

    def _fill(self, spare: Future[Any]) -> None:
        try:
            spare.set_result(self.transport.open_session(timeout=CHANNEL_S))
        except Exception:  # a host that allows few channels gives none to spare; a dead one is noticed by its users
            spare.set_result(None)


class SshProcess:
    """A `core.wire.Process` on a channel."""

    def __init__(self, connection: Connection, channel: Any) -> None:
        self._connection = connection
        self.channel = channel

    def write(self, data: bytes) -> None:
        """Send all of `data`. Raises Unreachable when the link is gone, BrokenPipeError when only the command is."""
        view = memoryview(data)
        try:
            while view:
                sent = self.channel.send(view[:WRITE_BYTES])
                if sent == 0:
                    raise OSError("closed")
                view = view[sent:]
        except OSError as error:
            if self._dead():
                raise self._connection.lost() from error
            raise BrokenPipeError("the command reads no more") from error

    def end_input(self) -> None:
        """Close its stdin."""
        with contextlib.suppress(OSError, EOFError):
            self.channel.shutdown_write()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of stdout; empty at the end. Raises Unreachable when the link died first."""
        return self._checked(self.channel.recv(size))

    def read_error(self, size: int) -> bytes:
        """Up to `size` bytes of stderr; empty at the end. Raises Unreachable when the link died first."""
        return self._checked(self.channel.recv_stderr(size))

    def wait(self) -> int:
        """Exit status, 128 + signal when killed. Read the output first: what fills the window blocks the command."""
        status = int(self.channel.recv_exit_status())
        if status < 0:
            if self._dead():
                raise self._connection.lost()
            raise Unreachable(f"{self._connection.endpoint.host} gave no exit status.")
        return status

    def close(self) -> None:
        """Give the channel back; safe to repeat."""
        with contextlib.suppress(OSError, EOFError):
            self.channel.close()

    def _checked(self, data: bytes) -> bytes:
        if not data and not self.channel.eof_received and self.channel.exit_status < 0 and self._dead():
            raise self._connection.lost()
        return data

    def _dead(self) -> bool:
        return not self._connection.alive


def terminal() -> tuple[str, int, int]:
    """Name, columns and lines for a terminal on the other side: those of ours."""
    size = shutil.get_terminal_size((80, 24))
    return os.environ.get("TERM", "xterm-256color"), size.columns, size.lines


class _Retry:
    """Tries until a deadline, a little slower each time; remembers the last reason."""

    def __init__(self, endpoint: Endpoint, deadline_s: float) -> None:
        self._endpoint, self._ends = endpoint, time.monotonic() + deadline_s
        self._reason: Exception | None = None

    def __enter__(self) -> _Retry:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __iter__(self) -> Iterator[float]:
        pause_s = 0.05
        while (left_s := self._ends - time.monotonic()) > 0:
            yield max(0.1, min(STEP_S, left_s))
            time.sleep(max(0.0, min(pause_s, self._ends - time.monotonic())))
            pause_s = min(pause_s * 1.6, 1.0)

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Swallow what another try may cure."""
        from gpucloud.remote.transport import paramiko

        try:
            yield
        except socket.gaierror as error:
            if error.errno != socket.EAI_AGAIN:
                raise Unreachable(f"No address is known for the host {self._endpoint.host}.") from error
            self._reason = error
        except (paramiko.SSHException, EOFError, OSError) as error:
            self._reason = error

    def unreachable(self) -> Unreachable:
        """The error when the time is over."""
        where = f"{self._endpoint.host} port {self._endpoint.port}"
        return Unreachable(f"No SSH connection to {where}: {_reason(self._reason)}.", _hint(self._reason))


def _connect(endpoint: Endpoint, check: Check | None, deadline_s: float) -> Connection:
    identities = _identities(endpoint)
    with _Retry(endpoint, deadline_s) as retry:
        for left_s in retry:
            with retry.attempt():
                link = _open(endpoint, check, left_s)
                try:
                    _log_in(link.transport, endpoint, identities)
                    link.transport.set_keepalive(KEEPALIVE_S)
                    return Connection(endpoint, link)
                except BaseException:
                    link.close()
                    raise
    raise retry.unreachable()


class _Link:
    """A transport and what it stands on: its socket, and the connections to its jump hosts."""

    def __init__(self, transport: Any, below: contextlib.ExitStack) -> None:
        self.transport, self._below = transport, below

    def close(self) -> None:
        """Close it from the top down; safe to repeat."""
        self._below.close()

    def __enter__(self) -> _Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(endpoint: Endpoint, check: Check | None, step_s: float) -> _Link:
    """A link after the key exchange, the host's key checked, nothing of ours shown yet.

    A fingerprint does not tell the kind of its key, so every kind is asked for until one fits.
    """
    *others, last = _key_types(endpoint)
    for key_types in others:
        with contextlib.suppress(HostKeyError):
            return _open_as(endpoint, check, step_s, key_types)
    return _open_as(endpoint, check, step_s, last)


def _open_as(endpoint: Endpoint, check: Check | None, step_s: float, key_types: tuple[str, ...]) -> _Link:
    from gpucloud.remote.transport import TunedTransport, paramiko

    with contextlib.ExitStack() as stack:
        sock = _way_to(endpoint, step_s, stack)
        stack.callback(sock.close)
        transport = TunedTransport(sock, key_types)
        stack.callback(transport.close)
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = step_s
        try:
            transport.start_client(timeout=step_s)
        except paramiko.ssh_exception.IncompatiblePeer as error:
            if "host key" not in str(error):
                raise
            raise HostKeyError(
                f"{endpoint.host} has no host key of the kind {key_types[0]}, which is the pinned one.", KEY_HINT
            ) from error
        if not transport.is_active() or not transport.initial_kex_done:
            raise TimeoutError("the key exchange took too long")
        shown = transport.get_remote_server_key()
        if check is not None:
            check(shown.get_name(), shown.asbytes())
        return _Link(transport, stack.pop_all())


def _way_to(endpoint: Endpoint, step_s: float, stack: contextlib.ExitStack) -> Any:
    """A socket to the host, or a channel through its jump hosts, each pinned like any other."""
    if not endpoint.proxy_jump:
        return open_socket(endpoint.host, endpoint.port, step_s)
    *before, last = endpoint.proxy_jump
    hop = replace(last, proxy_jump=(*before, *last.proxy_jump))
    through = stack.enter_context(connect(hop, deadline_s=step_s))
    return through.tunnel(endpoint.host, endpoint.port)


def _identities(endpoint: Endpoint) -> Identities:
    """The keys to show, in order: the named file, or for own machines the user's agent and files."""
    named = [load(Path(endpoint.identity_file).expanduser())] if endpoint.identity_file else []

    def identities() -> Generator[Any, None, None]:
        yield from named
        if endpoint.agent:
            yield from users_keys()

    return identities


def _log_in(transport: Any, endpoint: Endpoint, identities: Identities) -> None:
    from gpucloud.remote.transport import paramiko

    shown = 0
    with contextlib.closing(identities()) as keys:
        for identity in keys:
            shown += 1
            try:
                transport.auth_publickey(endpoint.user, identity)
                return
            except paramiko.AuthenticationException:
                if not transport.is_active():
                    break
    why = f"the key was refused ({shown} shown)" if shown else "there is no key to show"
    raise Unreachable(
        f"{endpoint.user}@{endpoint.host} port {endpoint.port} does not let us in: {why}.",
        "Check the user name, and that the key is in ~/.ssh/authorized_keys there.",
    )


def _pin(endpoint: Endpoint) -> Check:
    pinned = endpoint.host_key
    wanted = pinned if pinned.startswith(FINGERPRINT) else fingerprint_of(parse_line(pinned)[1])

    def check(key_type: str, blob: bytes) -> None:
        shown = fingerprint_of(blob)
        if not hmac.compare_digest(shown.encode(), wanted.encode()):
            raise HostKeyError(
                f"{endpoint.host} shows another host key than the one that is pinned: {shown}, not {wanted}. "
                "Either the machine was replaced, or somebody listens in. Nothing was sent to it.",
                KEY_HINT,
            )

    return check


def _key_types(endpoint: Endpoint) -> list[tuple[str, ...]]:
    """Only the pinned kind of key; without a pin (the proof) only ed25519; for a fingerprint each in turn."""
    if endpoint.host_key.startswith(FINGERPRINT):
        return [("ssh-ed25519",), *((kind,) for kind in ECDSA_TYPES), RSA_TYPES]
    key_type = parse_line(endpoint.host_key)[0] if endpoint.host_key else "ssh-ed25519"
    return [RSA_TYPES if key_type == "ssh-rsa" else (key_type,)]


def _line(transport: Any) -> str:
    key = transport.get_remote_server_key()
    return f"{key.get_name()} {key.get_base64()}"


def _reason(error: Exception | None) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, (EOFError, ConnectionResetError)):
        return "it closed the connection"
    text = str(error).rstrip(".") if error is not None else "no time"
    return text or type(error).__name__


def _hint(error: Exception | None) -> str:
    if isinstance(error, TimeoutError):
        return "Is the machine on, and does its firewall let your present address in? `gpucloud allow` opens it."
    if isinstance(error, ConnectionRefusedError):
        return "Is the machine up, and is the port right?"
    return "Try again with --debug for the details."
