"""One SSH connection to one machine, and the commands on it: many channels, one of them kept open in advance.

paramiko loads at the first `connect`; how a connection comes about is in `remote.dialing`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import Unreachable
from gpucloud.remote.dialing import Link, dial, key_line, pin, shake_hands
from gpucloud.remote.sockets import DEAD_LINK_S, KEEPALIVE_S, USER_TIMEOUT

CONNECT_S = 15.0  # default patience of `connect`
CHANNEL_S = 30.0
HUNG_LOOK_S, HUNG_HOST_S = 10.0, 30.0  # a kernel that acknowledges while its sshd hangs (no memory, a stopped VM)
SESSION_PATIENCE_S = 10.0  # a host with a small MaxSessions frees a session once its command has ended
WRITE_BYTES = 1 << 17


def connect(endpoint: Endpoint, *, deadline_s: float = CONNECT_S) -> Connection:
    """An authenticated connection; tried again after refused, reset, silent or closed until `deadline_s`.

    The host key of every hop must be the pinned one: `endpoint.host_key`, a key line or `SHA256:…`. Raises
    HostKeyError at once when it is not, or none is pinned; Unreachable when the time is over or our key is refused.
    """
    return Connection(endpoint, dial(endpoint, pin(endpoint), deadline_s))


def connect_unpinned(endpoint: Endpoint, *, deadline_s: float) -> Connection:
    """For the proof only: any ed25519 key passes and is recorded as `host_key_line`; trust nothing it says."""
    return Connection(endpoint, dial(replace(endpoint, host_key=""), None, deadline_s))


def shown_host_key(endpoint: Endpoint, *, deadline_s: float = CONNECT_S) -> str:
    """The key line that the host shows, unchecked, for a question to the user. Nothing of ours is sent."""
    with shake_hands(endpoint, deadline_s) as link:
        return key_line(link.transport)


class Connection:
    """A `core.wire.Transport`: commands on channels of one connection. Thread-safe."""

    def __init__(self, endpoint: Endpoint, link: Link) -> None:
        self.endpoint, self.dialect, self.base_dir = endpoint, endpoint.dialect, endpoint.base_dir
        self.host_key_line = key_line(link.transport)
        self.transport, self._way = link.transport, link
        self._spare_lock = threading.Lock()
        self._spare: Future[Any] | None = None
        self._opener: threading.Thread | None = None
        self._closed = threading.Event()
        self._open_spare()
        blind = endpoint.proxy_jump or USER_TIMEOUT is None  # no socket option of ours reaches the far end
        times_s = (KEEPALIVE_S, DEAD_LINK_S) if blind else (HUNG_LOOK_S, HUNG_HOST_S)
        threading.Thread(target=self._probe, args=times_s, name="link probe", daemon=True).start()

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
            channel = self._new_session()
        self._open_spare()
        return channel

    def _new_session(self) -> Any:
        from gpucloud.remote.transport import paramiko

        ends, pause_s = time.monotonic() + SESSION_PATIENCE_S, 0.02
        while True:
            try:
                with self._link(refused=False):
                    return self.transport.open_session(timeout=CHANNEL_S)
            except paramiko.ChannelException as error:
                if time.monotonic() > ends:
                    raise Unreachable(
                        f"{self.endpoint.host} allows no further session on one connection ({error.args[-1]}).",
                        "Raise MaxSessions in its sshd_config, or let other commands on it end first.",
                    ) from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)

    def another(self) -> Connection:
        """One more connection to the same machine, for what is more than one can carry."""
        return connect(self.endpoint)

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
    def _link(self, *, refused: bool = True) -> Iterator[None]:
        """Turns what breaks the link into Unreachable; a refused channel too, unless `refused` is False."""
        from gpucloud.remote.transport import paramiko

        try:
            yield
        except (paramiko.SSHException, EOFError, OSError) as error:
            if isinstance(error, ConnectionRefusedError) or (
                not refused and isinstance(error, paramiko.ChannelException)
            ):
                raise
            if not self.alive:
                raise self.lost() from error
            raise Unreachable(f"{self.endpoint.host} refused a request: {error}.") from error

    def _probe(self, pause_s: float, patience_s: float) -> None:
        """Ask for an answer now and then; silence for `patience_s` closes the link, so that readers see its end."""
        while not self._closed.wait(pause_s) and self.alive:
            silence = threading.Timer(patience_s, self.transport.close)
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
        except EOFError as error:  # what paramiko says when the socket breaks under a send
            raise self._connection.lost() from error
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
