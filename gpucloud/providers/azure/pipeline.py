"""How requests travel: time limits, patience with throttling and lost answers, no silent registration of services.

Imported only when the API is called, because it imports the library.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from azure.core.exceptions import DecodeError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.policies import (
    ContentDecodePolicy,
    HeadersPolicy,
    HTTPPolicy,
    ProxyPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

from gpucloud import __version__
from gpucloud.core.errors import AmbiguousError
from gpucloud.providers.azure.errors import retry_after_s
from gpucloud.providers.azure.session import Session, scope_of

CONNECT_S, READ_S = 10.0, 60.0
PAUSES_S = (0.2, 1.0)  # before a request is sent again
LONGEST_WAIT_S = 10.0  # a Retry-After beyond this is told to the caller instead
UNREADABLE = 599
LOST = (ServiceRequestError, ServiceResponseError, DecodeError, OSError)


class Patient(HTTPPolicy[Any, Any]):
    """Sends again what was throttled, answered with a server error, with nothing readable, or not at all.

    Every change is safe to repeat, because names are tokens. Once an answer was lost, a refusal does not say that
    nothing was made: it becomes AmbiguousError.
    """

    def __init__(self, sleep: Callable[[float], None], longest_pause_s: float) -> None:
        super().__init__()
        self._sleep, self._longest_pause_s = sleep, longest_pause_s

    def send(self, request: Any) -> Any:
        """The answer of the last try; raises what the last try ended with."""
        doubt = False
        options = dict(request.context.options)
        for pause_s in (*PAUSES_S, None):
            request.context.options = dict(options)
            try:
                response = self.next.send(request)
            except LOST:
                if pause_s is None:
                    raise
                doubt = True
            else:
                status = _status(response)
                wait_s = retry_after_s(response.http_response.headers) if status == 429 else pause_s
                doubt = doubt or status >= 500
                if pause_s is None or not (status == 429 or status >= 500) or (wait_s or 0) > LONGEST_WAIT_S:
                    return self._judged(request, response, status, doubt)
                pause_s = wait_s
            self._sleep(min(pause_s or 0.0, self._longest_pause_s))
        raise AssertionError("the last pause is None")

    def _judged(self, request: Any, response: Any, status: int, doubt: bool) -> Any:
        if status == UNREADABLE:
            raise AmbiguousError("Azure's answer cannot be read.", "Try again.")
        refused = 400 <= status < 500 and status not in (404, 412)
        if doubt and refused and request.http_request.method in ("PUT", "PATCH", "POST"):
            raise AmbiguousError("Azure: an answer was lost, and the request was refused when it was sent again.")
        return response


def _status(response: Any) -> int:
    """The answer's status; a good one with a body that is no JSON (a proxy's page, say) is as bad as none."""
    answer = response.http_response
    kind = answer.headers.get("Content-Type", "")
    if answer.status_code < 300 and kind and "json" not in kind.lower():
        return UNREADABLE
    return int(answer.status_code)


def transport_of(session: Session) -> Any:
    """One pool of connections for all clients."""
    return RequestsTransport(
        connection_timeout=CONNECT_S, read_timeout=READ_S, connection_verify=session.authority_bundle
    )


def policies_of(
    session: Session, sleep: Callable[[float], None] = time.sleep, longest_pause_s: float = 60.0
) -> list[Any]:
    """What every request goes through, outermost first."""
    return [
        RequestIdPolicy(),
        HeadersPolicy(),
        UserAgentPolicy(base_user_agent=f"gpucloud/{__version__}"),
        ProxyPolicy(),
        Patient(sleep, longest_pause_s),
        ContentDecodePolicy(),
        ARMChallengeAuthenticationPolicy(session.credential, scope_of(session.endpoint)),
    ]
