"""paramiko's Transport with our order of ciphers, one round trip less, and exit signals. Loads paramiko."""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def _without_invoke() -> Iterator[None]:
    """paramiko.config imports `invoke` for one rare directive that we never read: 60 ms of 172 saved."""
    known = "invoke" in sys.modules
    if not known:
        sys.modules["invoke"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if not known:
            del sys.modules["invoke"]


with _without_invoke():
    import paramiko as paramiko  # for the rooms beside this one: they import it here, without `invoke`
    from paramiko.auth_handler import AuthHandler
    from paramiko.channel import Channel
    from paramiko.common import MSG_CHANNEL_REQUEST
    from paramiko.message import Message
    from paramiko.ssh_exception import IncompatiblePeer

# paramiko logs tracebacks of every broken connection; without a handler of its own they would reach the terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

SIGNALS = {"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11}
SIGNALS |= {"USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15}
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
# AES-GCM may carry 64 GiB under one key (RFC 5647, as OpenSSH does); paramiko's 512 MB stop a transfer more often.
REKEY_BYTES = 1 << 33
MOST_BEFORE_KEYS = 1 << 15  # bytes; RFC 4253 lets a server talk before its version line and sets no bound
NO_SSH = "what answers there does not speak SSH"
USERAUTH = "ssh-userauth"


class PipelinedAuth(AuthHandler):
    """Sends the key's signature together with the service request instead of waiting for the answer to it."""

    def _request_auth(self) -> None:
        super()._request_auth()  # type: ignore[misc]
        accepted = Message()
        accepted.add_string(USERAUTH)
        accepted.rewind()
        super()._parse_service_accept(accepted)  # type: ignore[misc]

    def _parse_service_accept(self, m: Any) -> None:
        if m.get_text() != USERAUTH:
            self._disconnect_service_not_available()  # type: ignore[attr-defined]


class TunedTransport(paramiko.Transport):
    """One encrypted connection. `preferred` are the ciphers and host key types to ask for, best first."""

    def __init__(self, sock: Any, key_types: tuple[str, ...] = ()) -> None:
        super().__init__(sock)
        options = self.get_security_options()
        known = set(options.ciphers)
        options.ciphers = [name for name in CIPHERS if name in known]
        if key_types:
            options.key_types = key_types
        self.packetizer.REKEY_BYTES = REKEY_BYTES
        self.packetizer.readline = self._greeting_line  # type: ignore
        self._greeting_left = MOST_BEFORE_KEYS
        self.daemon = True

    def _check_banner(self) -> None:
        try:
            super()._check_banner()  # type: ignore[misc]
        except IncompatiblePeer:
            raise
        except paramiko.SSHException as error:
            if isinstance(error.__context__, (EOFError, OSError)):
                raise error.__context__ from None
            raise paramiko.SSHException(NO_SSH) from None  # its words are not ours to repeat: it has proved nothing

    def _greeting_line(self, timeout_s: float) -> str:
        """A line of what comes before the keys. paramiko's own would read for ever where no newline comes."""
        ends, line = time.monotonic() + timeout_s, bytearray()
        while not line.endswith(b"\n"):
            with contextlib.suppress(TimeoutError):  # the socket looks up ten times a second
                byte = self.sock.recv(1)  # one by one: what follows the version line belongs to the packets
                self._greeting_left -= 1
                if not byte:
                    raise EOFError
                if self._greeting_left < 0:
                    raise paramiko.SSHException(NO_SSH)
                line += byte
                continue
            if time.monotonic() > ends or not self.is_active():
                raise TimeoutError(errno.ETIMEDOUT, "no answer")  # paramiko looks at both words
        return line.rstrip(b"\r\n").decode("utf-8", "replace")

    def auth_publickey(self, username: str, key: Any, event: Any = None) -> list[str]:
        """Authenticate with one key. Raises AuthenticationException when it is refused."""
        import threading

        done = event or threading.Event()
        self.auth_handler = PipelinedAuth(self)
        self.auth_handler.auth_publickey(username, key, done)
        return [] if event else list(self.auth_handler.wait_for_response(done))


def _request(channel: Any, message: Any) -> None:
    """paramiko ignores exit-signal; we want 128 + the signal's number."""
    start = message.packet.tell()
    if message.get_text() != "exit-signal":
        message.packet.seek(start)
        Channel._handle_request(channel, message)  # type: ignore[attr-defined]
        return
    message.get_boolean()
    channel.exit_status = 128 + SIGNALS.get(message.get_text(), 0)
    channel.status_event.set()


_TABLE = dict(paramiko.Transport._channel_handler_table)  # type: ignore[attr-defined]
TunedTransport._channel_handler_table = {**_TABLE, MSG_CHANNEL_REQUEST: _request}  # type: ignore[attr-defined]
