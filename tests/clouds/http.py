"""The HTTP server under every simulated cloud: counts calls by name, and makes any of them go wrong.

    class Sim(SimServer):
        def label(self, request): ...      # a short name of the call, "" for one that is not counted
        def respond(self, request): ...    # the cloud itself
        def trouble(self, kind, request): ...  # its error body: "error", "throttled"
    with Sim() as sim:
        sim.faults.append(Fault("launch", "drop_after"))

A fault strikes the nth counted call, or the nth call of one label. `…_before` has no effect on the cloud, `…_after`
has; `drop…` closes the connection without an answer; `throttle_forever` strikes that label until `faults` is
cleared; `garbage` has its effect and answers 200 with nothing that can be read; `slow` answers after `slow_s`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KINDS = (
    "error_before",
    "error_after",
    "drop_before",
    "drop_after",
    "throttle_once",
    "throttle_forever",
    "garbage",
    "slow",
)
GARBAGE = b"<html><body>It works!</body></html>"


@dataclass(frozen=True)
class Request:
    """One request. `path` is decoded, without the query; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, None when it is empty."""
        return json.loads(self.body) if self.body else None

    @property
    def form(self) -> dict[str, list[str]]:
        """The body as a form."""
        return parse_qs(self.body.decode(), keep_blank_values=True)


@dataclass(frozen=True)
class Answer:
    """What goes back; a dict or list is sent as JSON."""

    status: int = 200
    body: bytes | dict[str, Any] | list[Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """`call` is the number of a counted call (from 1), or a label; then `nth` says which call of that label."""

    call: int | str
    kind: str
    nth: int = 1

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    def strikes(self, number: int, label: str, nth: int) -> bool:
        """Whether it strikes the call with this number, which is the nth of its label."""
        return number == self.call if isinstance(self.call, int) else label == self.call and nth == self.nth


class SimServer:
    """A threaded HTTP/1.1 server on loopback. `respond` runs under `lock` unless `serial` is False."""

    serial = True
    slow_s = 0.2
    latency_s = 0.0

    def __init__(self, *, tls: tuple[str, str] | None = None) -> None:
        self.calls: list[str] = []  # labels of the counted calls, in order
        self.faults: list[Fault] = []
        self.struck = 0  # how many calls a fault has struck
        self.after_call: Callable[[str], None] = lambda label: None  # once a counted call has had its effect
        self.lock = threading.RLock()
        self._counting = threading.Lock()
        self._per_label: Counter[str] = Counter()
        self._throttled: set[str] = set()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._tls = tls is not None
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.context = context
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    # ---- what a cloud overrides

    def respond(self, request: Request) -> Answer:
        """The cloud's answer, with its effect."""
        raise NotImplementedError

    def trouble(self, kind: str, request: Request) -> Answer:
        """This cloud's own error body: `error` is a server error that says nothing, `throttled` asks to slow down."""
        return Answer(500 if kind == "error" else 503, {"error": kind}, {"Retry-After": "1"})

    def label(self, request: Request) -> str:
        """A short name of the call; "" = not counted and never struck (token endpoints)."""
        return f"{request.method} {request.path}"

    # ---- what tests use

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> SimServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, and close every open connection."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.drop_all()

    def heal(self) -> None:
        """No fault strikes any more."""
        with self._counting:
            self.faults.clear()
            self._throttled.clear()

    def forget_calls(self) -> None:
        """Count from the beginning again."""
        with self._counting:
            self.calls.clear()
            self._per_label.clear()

    # ---- the way of one request

    def handle(self, request: Request) -> Answer | None:
        """The answer, or None where the connection is dropped."""
        label = self.label(request)
        kind = self._struck(label) if label else ""
        if self.latency_s and label:
            time.sleep(self.latency_s)
        if kind == "drop_before":
            return None
        if kind == "error_before":
            return self.trouble("error", request)
        if kind.startswith("throttle"):
            return self.trouble("throttled", request)
        answer = self._effect(request)
        if label:
            self.after_call(label)
        if kind == "drop_after":
            return None
        if kind == "error_after":
            return self.trouble("error", request)
        if kind == "slow":
            time.sleep(self.slow_s)
        return Answer(200, GARBAGE, {"Content-Type": "text/html"}) if kind == "garbage" else answer

    def _effect(self, request: Request) -> Answer:
        if not self.serial:
            return self.respond(request)
        with self.lock:
            return self.respond(request)

    def _struck(self, label: str) -> str:
        """Count the call; the kind of fault that strikes it, or ""."""
        with self._counting:
            self.calls.append(label)
            self._per_label[label] += 1
            if label in self._throttled:
                self.struck += 1
                return "throttle_forever"
            number, nth = len(self.calls), self._per_label[label]
            kind = next((fault.kind for fault in self.faults if fault.strikes(number, label, nth)), "")
            self.struck += bool(kind)
            if kind == "throttle_forever":
                self._throttled.add(label)
            return kind


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    context: ssl.SSLContext | None = None

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(address, handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread, so that a slow handshake holds nobody else up."""
        if self.context is not None:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except (ssl.SSLError, OSError):
                return
        self.open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            self.open.discard(request)
            if self.context is not None:
                with contextlib.suppress(OSError):
                    request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has left is nothing to tell; anything else is a bug of a simulator."""
        import sys

        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def drop_all(self) -> None:
        for connection in tuple(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _handler(sim: SimServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body leave together

        def _serve(self) -> None:
            request = self._request()
            whole = len(request.body) == int(request.headers.get("content-length") or 0)
            answer = sim.handle(request) if whole else None  # a client that died in mid-request asked for nothing
            if answer is None:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._send(answer)

        def _request(self) -> Request:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length") or 0))
            query = parse_qs(parts.query, keep_blank_values=True)
            return Request(self.command, unquote(parts.path), query, headers, body)

        def _send(self, answer: Answer) -> None:
            plain = isinstance(answer.body, bytes)
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            headers = {} if plain else {"Content-Type": "application/json; charset=utf-8"}
            self.send_response(answer.status)
            for name, value in {**headers, **answer.headers}.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD" and answer.status != 204:
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

        def log_message(self, *words: Any) -> None:
            """Silence."""

    return Handler


def labels_of(calls: Sequence[str]) -> list[tuple[str, int]]:
    """Every call as (label, which one of that label), in order."""
    seen: Counter[str] = Counter()
    named = []
    for label in calls:
        seen[label] += 1
        named.append((label, seen[label]))
    return named
