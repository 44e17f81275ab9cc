"""A TCP socket tuned for SSH: no waiting for more bytes, no waiting with acknowledgements, dead peers noticed."""

from __future__ import annotations

import socket
from typing import Any

from gpucloud.core.errors import Unreachable

USER_TIMEOUT_MS = 8000  # unacknowledged data for so long ends the connection (Linux)
KEEPALIVE_S = 2


class EagerSocket(socket.socket):
    """Re-arms TCP_QUICKACK after every receive: the kernel falls back to delayed acknowledgements by itself."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As usual, then acknowledge at once."""
        data = super().recv(size, flags)
        quick_ack(self)
        return data


def quick_ack(sock: socket.socket) -> None:
    """Ask for immediate acknowledgements where the system can."""
    option = getattr(socket, "TCP_QUICKACK", None)
    if option is not None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, option, 1)
        except OSError:
            return


def dial_socket(host: str, port: int, timeout_s: float) -> socket.socket:
    """A connected, tuned socket. Raises Unreachable naming the reason."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"{host} has no address: {error.strerror}.", "Check the name.", final=True) from None
    failure: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        sock = EagerSocket(family, kind, protocol)
        try:
            sock.settimeout(timeout_s)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
            continue
        tune(sock)
        sock.settimeout(None)
        return sock
    reason = failure.strerror or "no answer in time" if failure else "no address"
    raise Unreachable(
        f"{host} port {port} cannot be reached: {reason}.",
        "Check that the machine runs and that your address may connect; `gpucloud ls --refresh` asks the cloud.",
    )


def tune(sock: socket.socket) -> None:
    """Options by name, where this system has them."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted: dict[str, Any] = {
        "TCP_USER_TIMEOUT": USER_TIMEOUT_MS,
        "TCP_KEEPIDLE": KEEPALIVE_S,
        "TCP_KEEPALIVE": KEEPALIVE_S,  # the name of KEEPIDLE on macOS
        "TCP_KEEPINTVL": KEEPALIVE_S,
        "TCP_KEEPCNT": 3,
    }
    for name, value in wanted.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    quick_ack(sock)
