"""How a connection comes about: tried until a deadline, the host's key checked before ours is shown.

open_socket (or a channel through jump hosts) → key exchange → the host's key against the pin → our key
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import HostKeyError, Unreachable
from gpucloud.remote.keys import FINGERPRINT, fingerprint_of, load, parse_line, users_keys
from gpucloud.remote.sockets import KEEPALIVE_S, open_socket

REFUSED_S = 2.0  # an own machine does not boot: where nothing listens for so long, nothing will
STEP_S = 10.0  # longest wait for one TCP connection, banner, key exchange or answer
RSA_TYPES = ("rsa-sha2-512", "rsa-sha2-256")
ECDSA_TYPES = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
KEY_HINT = "Compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the machine's own console."
Identities = Callable[[], Generator[Any, None, None]]
Check = Callable[[str, bytes], None]  # key type and bytes that the host showed; raises HostKeyError


def dial(endpoint: Endpoint, check: Check | None, deadline_s: float) -> Link:
    """A link that is logged in; tried again after refused, reset, silent or closed until `deadline_s`."""
    identities = _identities(endpoint)
    retry = Retry(endpoint, deadline_s)
    for left_s in retry:
        with retry.attempt(), contextlib.ExitStack() as stack:
            link = stack.enter_context(_open(endpoint, check, left_s))
            _log_in(link.transport, endpoint, identities)
            link.transport.set_keepalive(KEEPALIVE_S)
            stack.pop_all()
            return link
    raise retry.unreachable()


def shake_hands(endpoint: Endpoint, deadline_s: float) -> Link:
    """A link after the key exchange only: any key passes, nothing of ours is shown."""
    retry = Retry(endpoint, deadline_s)
    for left_s in retry:
        with retry.attempt():
            return _open(endpoint, None, left_s)
    raise retry.unreachable()


class Retry:
    """Tries until a deadline, a little slower each time; remembers the last reason."""

    def __init__(self, endpoint: Endpoint, deadline_s: float) -> None:
        self._endpoint, self._began = endpoint, time.monotonic()
        self._ends = self._began + deadline_s
        self._reason: Exception | None = None

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
            if self._reason is None or not isinstance(error, TimeoutError) or time.monotonic() < self._ends:
                self._reason = error  # that the last try ran out of our own time tells less than what came before
            if self._endpoint.agent and isinstance(error, ConnectionRefusedError):
                self._ends = min(self._ends, self._began + REFUSED_S)

    def unreachable(self) -> Unreachable:
        """The error when the time is over."""
        where = f"{self._endpoint.host} port {self._endpoint.port}"
        return Unreachable(f"No SSH connection to {where}: {_reason(self._reason)}.", _hint(self._reason))


class Link:
    """A transport and what it stands on: its socket, and the connections to its jump hosts."""

    def __init__(self, transport: Any, below: contextlib.ExitStack) -> None:
        self.transport, self._below = transport, below

    def close(self) -> None:
        """Close it from the top down; safe to repeat."""
        self._below.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(endpoint: Endpoint, check: Check | None, step_s: float) -> Link:
    """A link after the key exchange, the host's key checked, nothing of ours shown yet.

    A fingerprint does not tell the kind of its key, so every kind is asked for until one fits.
    """
    *others, last = _key_types(endpoint)
    for key_types in others:
        with contextlib.suppress(HostKeyError):
            return _handshake(endpoint, check, step_s, key_types)
    return _handshake(endpoint, check, step_s, last)


def _handshake(endpoint: Endpoint, check: Check | None, step_s: float, key_types: tuple[str, ...]) -> Link:
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
        return Link(transport, stack.pop_all())


def _way_to(endpoint: Endpoint, step_s: float, stack: contextlib.ExitStack) -> Any:
    """A socket to the host, or a channel through its jump hosts, each pinned like any other."""
    if not endpoint.proxy_jump:
        return open_socket(endpoint.host, endpoint.port, step_s)
    *before, last = endpoint.proxy_jump
    hop = replace(last, proxy_jump=(*before, *last.proxy_jump))
    through = stack.enter_context(_open(hop, pin(hop), step_s))
    _log_in(through.transport, hop, _identities(hop))
    there = (endpoint.host, endpoint.port)
    return through.transport.open_channel("direct-tcpip", there, ("127.0.0.1", 0), timeout=step_s)


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


def pin(endpoint: Endpoint) -> Check:
    """The check that only the pinned key passes. Raises HostKeyError when none is pinned: never on trust."""
    pinned = endpoint.host_key
    if not pinned:
        raise HostKeyError(
            f"No host key is known for {endpoint.host}, and it is not taken on trust.",
            "Give its fingerprint in hosts.yaml (`fingerprint: SHA256:…`).",
        )
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


def key_line(transport: Any) -> str:
    """The key that a host shows, as `TYPE BASE64`."""
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
