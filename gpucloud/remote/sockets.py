"""Our own TCP socket below SSH: no delays from Nagle and delayed ACKs, and a dead link is noticed in seconds.

paramiko sets no socket option by itself. NODELAY and QUICKACK take two 40 ms pauses out of a connection.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Any

KEEPALIVE_S = 2  # an SSH keepalive every 2 s keeps data in flight, without which no time-out can start
DEAD_LINK_S = 7  # unanswered data for this long means dead: noticed within KEEPALIVE_S + DEAD_LINK_S
QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
_MACOS_RXT_CONNDROPTIME = 0x80  # <netinet/tcp.h>: seconds of retransmission before the connection drops


class TunedSocket(socket.socket):
    """A TCP socket that acknowledges at once; the kernel drops that wish now and then, so reads renew it."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read, then ask for quick acknowledgement again (Linux)."""
        data = super().recv(size, flags)
        if QUICKACK is not None:
            with contextlib.suppress(OSError):
                self.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        return data


def open_socket(host: str, port: int, timeout_s: float) -> TunedSocket:
    """Connect to the first address of `host` that answers. Raises OSError of the last one that did not."""
    failure: OSError = OSError(f"no address for {host}")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = TunedSocket(family, kind, protocol)
        try:
            sock.settimeout(timeout_s)
            tune(sock)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def tune(sock: socket.socket) -> None:
    """Set every option that this system knows."""
    for option, value in _options():
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _options() -> list[tuple[int, int]]:
    options: list[tuple[Any, int]] = [
        (socket.TCP_NODELAY, 1),
        (QUICKACK, 1),
        (USER_TIMEOUT, DEAD_LINK_S * 1000),
        (getattr(socket, "TCP_KEEPIDLE", None), KEEPALIVE_S),
        (getattr(socket, "TCP_KEEPINTVL", None), KEEPALIVE_S),
        (getattr(socket, "TCP_KEEPCNT", None), 3),
    ]
    if sys.platform == "darwin":
        options += [(_MACOS_RXT_CONNDROPTIME, DEAD_LINK_S), (getattr(socket, "TCP_KEEPALIVE", 0x10), KEEPALIVE_S)]
    return [(option, value) for option, value in options if option is not None]
