"""Compute Engine's methods by name: every call with a time limit, sent again only where that is safe."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gpucloud.core.errors import AmbiguousError, GpucloudError, ThrottledError
from gpucloud.providers.gcp.errors import Exists, Missing, from_exception, from_operation, missing_library
from gpucloud.providers.gcp.session import Session, open_session

ANSWER_S = 30.0  # how long one call may take
LONGER_S = {"insert_unary": 60.0, "wait": 130.0}  # `wait` answers after two minutes at the latest
FINISH_S = 900.0  # after this an operation counts as not answered
Made = tuple[str, str]  # service and name of something that this launch has made
PAUSES_S = (0.2, 1.0)  # before a call is sent again
RETRY_VARIABLE = "GPUCLOUD_WAIT_RETRY"  # seconds that a pause may last at most; tests shorten it


def request_id(*words: str) -> str:
    """A UUID that is a pure function of words: the same request sent again is known by it."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "gpucloud:" + "/".join(words)))


class Api:
    """One project. Clients are made when first used, and kept; several threads may call."""

    def __init__(self, environ: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> None:
        self._environ, self._sleep = environ, sleep
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._clients: dict[str, Any] = {}
        self._longest_pause_s = float(environ.get(RETRY_VARIABLE) or 60.0)

    @property
    def session(self) -> Session:
        """Who we are. Raises CredentialsError, or UsageError without the library."""
        with self._lock:
            if self._session is None:
                try:
                    self._session = open_session(self._environ)
                except ImportError as error:
                    raise missing_library(error) from None
            return self._session

    @property
    def project(self) -> str:
        """The project's id."""
        return self.session.project

    def call(self, service: str, method: str, **request: Any) -> Any:
        """One call, e.g. `call("Instances", "get", zone=…, instance=…)`; the project is filled in.

        Lost answers and server errors are tried again: reads change nothing, and changes carry a request id or
        a name that is theirs alone. Once an answer was lost, nothing short of success ends the doubt.
        """
        send, doubt = getattr(self._client(service), method), False
        words = {"request": {"project": self.project, **request}, "timeout": LONGER_S.get(method, ANSWER_S)}
        for pause_s in (*PAUSES_S, None):
            try:
                return send(**words, retry=None)
            except Exception as error:
                meant = self._meant(error)
            doubt = doubt or isinstance(meant, AmbiguousError)
            again = isinstance(meant, (AmbiguousError, ThrottledError))
            if pause_s is None or not again:
                break
            wait_s = meant.retry_after_s if isinstance(meant, ThrottledError) else pause_s
            self._sleep(min(wait_s, self._longest_pause_s))
        if doubt and method.startswith("insert") and not isinstance(meant, (AmbiguousError, Exists)):
            raise AmbiguousError(meant.message, meant.hint)
        raise meant

    def pages(self, service: str, method: str, **request: Any) -> Iterator[Any]:
        """Every page of a list, whole."""
        token = ""
        while True:
            pager = self.call(service, method, **request, max_results=500, page_token=token)
            page = next(iter(pager.pages))
            yield page
            token = page.next_page_token
            if not token:
                return

    def get(self, service: str, **request: Any) -> Any | None:
        """One thing, None when there is none."""
        try:
            return self.call(service, "get", **request)
        except Missing:
            return None

    def create(
        self, service: str, word: str, body: Mapping[str, Any], token: str, made: list[Made], **place: Any
    ) -> None:
        """Make one thing and wait for it; in `made` once the cloud has accepted. Raises Exists for a taken name.

        An operation that is done at once is that of an earlier sending: what it made may be gone again, and then
        the cloud, which knows the request, would make nothing. Names are unique, so nothing is made twice.
        """
        name = str(body["name"])
        words = {**place, f"{word}_resource": body}
        before = ""
        while True:
            key = request_id(token, service, name, before)
            operation = self.call(service, "insert_unary", **words, request_id=key)
            made.append((service, name))
            known = operation.status.name == "DONE"
            self.finish(operation)
            if not known or self.get(service, **place, **{word: name}) is not None:
                return
            before = operation.name

    def finish(self, operation: Any) -> None:
        """Wait until an operation is done; raises what it failed with.

        The library's own waiting asks the public host whatever the endpoint is, and tells errors by a status that
        is 503 for a stockout, so neither is used.
        """
        end = time.monotonic() + FINISH_S
        while operation.status.name != "DONE":
            if time.monotonic() > end:
                raise AmbiguousError(f"The operation {operation.name} has not ended.", "Try again.")
            begun = time.monotonic()
            operation = self._wait(operation)
            if time.monotonic() - begun < 0.05:
                self._sleep(0.05)  # an answer that came at once
        failure = from_operation(operation, self.project)
        if failure is not None:
            raise failure

    def _wait(self, operation: Any) -> Any:
        if operation.zone:
            zone = last(operation.zone)
            return self.call("ZoneOperations", "wait", zone=zone, operation=operation.name)
        return self.call("GlobalOperations", "wait", operation=operation.name)

    def _meant(self, error: Exception) -> GpucloudError:
        if isinstance(error, GpucloudError):
            return error
        meant = from_exception(error, self.project)
        if meant is None:
            raise error
        return meant

    def _client(self, service: str) -> Any:
        session = self.session
        with self._lock:
            if service not in self._clients:
                self._clients[service] = _open_client(service, session)
            return self._clients[service]

    def takes(self, request: str, word: str) -> bool:
        """Whether this release of the library has that field in a request."""
        self.warm()
        from google.cloud import compute_v1

        return word in getattr(compute_v1, request).meta.fields

    def warm(self) -> None:
        """Load the library, which takes more than a second."""
        try:
            from google.cloud import compute_v1
        except ImportError as error:
            raise missing_library(error) from None
        assert compute_v1 is not None


def _open_client(service: str, session: Session) -> Any:
    try:
        from google.api_core.client_options import ClientOptions
        from google.cloud import compute_v1
    except ImportError as error:
        raise missing_library(error) from None
    client = getattr(compute_v1, f"{service}Client")
    return client(credentials=session.credentials, client_options=ClientOptions(api_endpoint=session.endpoint))


def last(url: str) -> str:
    """The last word of a resource's URL: its name."""
    return url.rpartition("/")[2]
