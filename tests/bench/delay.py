"""A long way without root: a relay on loopback that holds every byte back by half a round trip, each way.

It counts round trips of the program above. What a real long way adds in the kernel (a window that has to grow,
Nagle waiting for an acknowledgement) is not in it, so it is kind to both sides of a comparison.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator


@contextlib.contextmanager
def delayed(port: int, rtt_s: float) -> Iterator[int]:
    """A port of loopback that leads to `port`, `rtt_s` away."""
    if not rtt_s:
        yield port
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, port, rtt_s), daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, port: int, rtt_s: float) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_relay, args=(client, port, rtt_s), daemon=True).start()


def _relay(client: socket.socket, port: int, rtt_s: float) -> None:
    time.sleep(rtt_s)  # the handshake of TCP itself, which loopback answered at once
    with client, socket.create_connection(("127.0.0.1", port)) as host:
        for end in (client, host):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ways = [threading.Thread(target=_way, args=(a, b, rtt_s / 2)) for a, b in ((client, host), (host, client))]
        for way in ways:
            way.start()
        for way in ways:
            way.join()


def _way(source: socket.socket, target: socket.socket, delay_s: float) -> None:
    on_the_way: queue.Queue[tuple[float, bytes]] = queue.Queue()
    arriving = threading.Thread(target=_arrive, args=(on_the_way, target))
    arriving.start()
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 18):
            on_the_way.put((time.monotonic() + delay_s, data))
    on_the_way.put((time.monotonic() + delay_s, b""))
    arriving.join()


def _arrive(on_the_way: queue.Queue[tuple[float, bytes]], target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            due, data = on_the_way.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(data)
