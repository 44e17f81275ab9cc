"""Ports of a machine reachable here: a listener on loopback, one SSH channel per connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any, NamedTuple

from gpucloud.core.errors import Unreachable, UsageError
from gpucloud.remote.connection import Connection

CHUNK = 65536


class Port(NamedTuple):
    """`LOCAL:REMOTE`, or one number for both. Local 0 takes any free one."""

    local: int
    remote: int


def parse_port(text: str) -> Port:
    """Raises UsageError for what is no port."""
    local, _, remote = text.partition(":")
    try:
        port = Port(int(local), int(remote or local))
    except ValueError:
        port = Port(-1, -1)
    if not (0 <= port.local < 65536 and 0 < port.remote < 65536):
        raise UsageError(f"'{text}' is not a port.", "Write it like 8888, or 9000:8888 for another one here.")
    return port


class Forwarding:
    """Listens until closed; use as a context manager. `port` is the port here."""

    def __init__(self, connection: Connection, wanted: Port) -> None:
        self._connection, self._remote = connection, wanted.remote
        self._open: set[Any] = set()
        try:
            self._listener = socket.create_server(("127.0.0.1", wanted.local))
        except OSError as error:
            raise UsageError(
                f"Port {wanted.local} here cannot be used: {error.strerror}.",
                f"Take another one: {wanted.local + 1}:{wanted.remote}.",
            ) from None
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"forward {self.port}", daemon=True).start()

    def close(self) -> None:
        """Listen no more and end what goes through; safe to repeat."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept (Linux)
        self._listener.close()
        for channel in list(self._open):
            channel.close()

    def __enter__(self) -> Forwarding:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                channel = self._connection.tunnel("127.0.0.1", self._remote)
            except (Unreachable, ConnectionRefusedError):
                return
            self._open.add(channel)
            back = threading.Thread(target=_pump, args=(channel, client), daemon=True)
            back.start()
            _pump(client, channel)
            back.join()
            channel.close()
            self._open.discard(channel)


def _pump(source: Any, target: Any) -> None:
    """Bytes one way until the end, which is passed on."""
    with contextlib.suppress(OSError, EOFError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError, EOFError):
        target.shutdown(socket.SHUT_WR)
