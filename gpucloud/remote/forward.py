"""Ports of a machine reachable here: a listener on loopback, one SSH channel per connection.

The listener outlives a cut: what went through it then is gone, new connections work again over a new link.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from gpucloud.core.errors import GpucloudError, StateConflict, Unreachable, UsageError

CHUNK = 65536
RETRY_S = 1.0  # between two tries to get a new link


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


class Tunnels(Protocol):
    """What a forwarding goes through: a `remote.connection.Connection`, or a `Lifeline` of them."""

    def tunnel(self, host: str, port: int) -> Any:
        """A channel to an address as the machine sees it. ConnectionRefusedError, Unreachable."""
        ...


class Link(Tunnels, Protocol):
    """A connection that can die."""

    @property
    def alive(self) -> bool: ...

    def close(self) -> None: ...


class Lifeline:
    """A connection that is made again whenever it was lost; `told` hears of each loss and return. Thread-safe."""

    def __init__(self, connect: Callable[[], Link], told: Callable[[str], None]) -> None:
        self._connect, self._told = connect, told
        self._link, self._lock = connect(), threading.Lock()

    def tunnel(self, host: str, port: int) -> Any:
        """Over the present link, or a new one where it is dead."""
        with self._lock:
            if not self._link.alive:
                self._renew()
            link = self._link
        return link.tunnel(host, port)

    def hold(self, ended: Callable[[], bool], pause_s: float = 0.5) -> None:
        """Watch over the link until `ended()`. Errors that no other try can cure (a changed host key) are raised."""
        lost = False
        while not ended():
            with self._lock:
                if not self._link.alive:
                    if not lost:
                        self._told("The connection was lost; the ports stay open here, reconnecting.")
                    lost = True
                    with contextlib.suppress(Unreachable):
                        self._renew()
                        lost = False
            time.sleep(RETRY_S if lost else pause_s)

    def _renew(self) -> None:
        self._link.close()
        self._link = self._connect()
        self._told("Connected again.")

    def close(self) -> None:
        """End the link; safe to repeat."""
        self._link.close()

    def __enter__(self) -> Lifeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Forwarding:
    """Listens until closed; use as a context manager. `port` is the port here.

    Raises StateConflict when that is taken, UsageError when we may not have it.
    """

    def __init__(self, connection: Tunnels, wanted: Port) -> None:
        self._connection, self._remote = connection, wanted.remote
        self._open: set[Any] = set()
        try:
            self._listener = socket.create_server(("127.0.0.1", wanted.local))
        except OSError as error:
            hint = f"Take another one, or any: 0:{wanted.remote}."
            if error.errno == errno.EADDRINUSE:
                raise StateConflict(f"Port {wanted.local} here is taken by another program.", hint) from None
            raise UsageError(f"Port {wanted.local} here cannot be used: {error.strerror}.", hint) from None
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
            except (GpucloudError, ConnectionRefusedError):
                return  # who watches over the link tells why
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
