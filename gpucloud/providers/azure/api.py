"""Resource Manager's operations through the libraries' own clients: raw JSON in and out, errors of our family."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gpucloud.core.errors import AmbiguousError, CredentialsError, GpucloudError, UsageError
from gpucloud.providers.azure.errors import Missing, from_exception, missing_library
from gpucloud.providers.azure.session import Session, link, open_session, principal_of, scope_of

T = TypeVar("T")
SUBSCRIPTIONS_VERSION = "2022-12-01"
FINISH_S = 1200.0  # after this an operation counts as not answered
POLL_S = 2.0  # between two looks at an operation, where Azure does not ask for longer
POLL_VARIABLE, RETRY_VARIABLE = "GPUCLOUD_WAIT_OPERATION", "GPUCLOUD_WAIT_RETRY"  # seconds; tests shorten them


class Api:
    """One subscription. Clients are made when first used, and kept; several threads may call."""

    def __init__(self, environ: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> None:
        self._environ, self._sleep = environ, sleep
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._subscription = ""
        self._shared: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self.poll_s = _seconds(environ, POLL_VARIABLE, POLL_S)
        self._longest_pause_s = _seconds(environ, RETRY_VARIABLE, 60.0)

    # ---- who and where

    @property
    def session(self) -> Session:
        """The credentials. Raises UsageError without the library."""
        with self._lock:
            if self._session is None:
                try:
                    self._session = open_session(self._environ)
                except ImportError as error:
                    raise missing_library(error) from None
            return self._session

    @property
    def subscription(self) -> str:
        """The subscription's id. Raises CredentialsError when nobody says which of several."""
        with self._lock:
            if not self._subscription:
                self._subscription = self.session.subscription or self._only_subscription()
            return self._subscription

    def caller(self) -> tuple[str, str, str]:
        """(name to show, id, the link of the chain that won). Raises CredentialsError."""
        token = self._meant(lambda: self.session.credential.get_token(scope_of(self.session.endpoint)).token)
        return (*principal_of(token), link(self.session.credential))

    def _only_subscription(self) -> str:
        known = self.ask("GET", "/subscriptions", SUBSCRIPTIONS_VERSION).get("value", [])
        usable = [str(item["subscriptionId"]) for item in known if item.get("state") == "Enabled"]
        if len(usable) != 1:
            what = "There is no usable subscription" if not usable else f"There are {len(usable)} subscriptions"
            raise CredentialsError(f"{what} for these credentials.", "Set AZURE_SUBSCRIPTION_ID to the one to use.")
        return usable[0].lower()

    # ---- calls

    @property
    def compute(self) -> Any:
        """The client of Microsoft.Compute."""
        return self._client("compute")

    @property
    def network(self) -> Any:
        """The client of Microsoft.Network."""
        return self._client("network")

    @property
    def resources(self) -> Any:
        """The client of resource groups, providers and resources in general."""
        return self._client("resources")

    def call(self, operation: Callable[..., Any], *words: Any, **named: Any) -> Any:
        """One call that is answered at once; its JSON, None for an empty answer."""
        return self._meant(lambda: operation(*words, cls=_raw, **named))

    def get(self, operation: Callable[..., Any], *words: Any, **named: Any) -> Any | None:
        """One thing as JSON, None when there is none."""
        try:
            return self.call(operation, *words, **named)
        except Missing:
            return None

    def items(self, operation: Callable[..., Any], *words: Any, **named: Any) -> list[dict[str, Any]]:
        """A list over all its pages."""
        return self._meant(lambda: [item.as_dict() for item in operation(*words, **named)])

    def begin(self, operation: Callable[..., Any], *words: Any, **named: Any) -> Any:
        """Start a long operation; `finish` waits for it."""
        return self._meant(lambda: operation(*words, cls=_raw, polling_interval=self.poll_s, **named))

    def accept(self, operation: Callable[..., Any], *words: Any, **named: Any) -> None:
        """Start a long operation and let it go on by itself."""
        self._meant(lambda: operation(*words, cls=_raw, polling=False, **named))

    def finish(self, poller: Any) -> Any:
        """The JSON that an operation ended with; raises what it failed with."""

        def wait() -> Any:
            poller.wait(FINISH_S)
            if not poller.done():
                raise AmbiguousError("Azure: an operation has not ended.", "Try again.")
            return poller.result()

        return self._meant(wait)

    def do(self, operation: Callable[..., Any], *words: Any, **named: Any) -> Any:
        """Start a long operation and wait for it."""
        return self.finish(self.begin(operation, *words, **named))

    def ask(self, method: str, path: str, version: str, body: Any = None) -> Any:
        """A call that the clients have no operation for."""

        def send() -> Any:
            from azure.core.exceptions import HttpResponseError
            from azure.core.rest import HttpRequest

            url = f"{self.session.endpoint}{path}"
            request = HttpRequest(method, url, params={"api-version": version}, json=body)
            response = self._client("resources" if self._subscription else "nobody").send_request(request)
            if response.status_code >= 400:
                raise HttpResponseError(response=response)
            return response.json() if response.content else None

        return self._meant(send)

    def pause(self) -> None:
        """Wait between two looks at something that is under way."""
        self._sleep(self.poll_s)

    def scope(self, path: str = "") -> str:
        """`/subscriptions/…` and what follows."""
        return f"/subscriptions/{self.subscription}{path}"

    def warm(self) -> None:
        """Load the libraries, which takes most of a second."""
        try:
            import azure.identity
            import azure.mgmt.compute
            import azure.mgmt.network
            import azure.mgmt.resource.resources  # noqa: F401
        except ImportError as error:
            raise missing_library(error) from None

    def _meant(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except GpucloudError:
            raise
        except ImportError as error:
            raise missing_library(error) from None
        except Exception as error:
            meant = from_exception(error)
            if meant is None:
                raise
            raise meant from None

    def _client(self, name: str) -> Any:
        with self._lock:
            if name not in self._clients:
                subscription = "" if name == "nobody" else self.subscription
                self._clients[name] = self._open_client(name, subscription)
            return self._clients[name]

    def _open_client(self, name: str, subscription: str) -> Any:
        from gpucloud.providers.azure import pipeline

        session = self.session
        if not self._shared:
            self._shared = {
                "transport": pipeline.transport_of(session),
                "policies": pipeline.policies_of(session, self._sleep, self._longest_pause_s),
            }
        words = {"base_url": session.endpoint, "polling_interval": self.poll_s}
        words |= {"transport": self._shared["transport"], "policies": list(self._shared["policies"])}
        return _class_of(name)(session.credential, subscription or "00000000-0000-0000-0000-000000000000", **words)


def _seconds(environ: Mapping[str, str], name: str, usual: float) -> float:
    text = environ.get(name) or str(usual)
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{name}={text} is not a number of seconds.", "Write 5.") from None


def _class_of(name: str) -> Any:
    if name == "compute":
        from azure.mgmt.compute import ComputeManagementClient

        return ComputeManagementClient
    if name == "network":
        from azure.mgmt.network import NetworkManagementClient

        return NetworkManagementClient
    from azure.mgmt.resource.resources import ResourceManagementClient

    return ResourceManagementClient


def _raw(answer: Any, _model: Any, _headers: Any) -> Any:
    """The JSON as it came, instead of the library's models."""
    response = answer.http_response
    return response.json() if response.text() else None
