"""JSON over HTTP for the price lists that need no cloud library: bounded, patient with throttling, strict in form."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping
from email.message import Message
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

from gpucloud.core.errors import CloudError, CredentialsError, GpucloudError, PermissionDenied

TIMEOUT_S = 30.0
MOST_BYTES = 64 << 20  # of one page
TRIES = 5
LONGEST_WAIT_S = 30.0
AGAIN = (429, 500, 502, 503, 504)


class Web:
    """One place to ask. HTTPS_PROXY and NO_PROXY are obeyed; a private CA is REQUESTS_CA_BUNDLE or SSL_CERT_FILE."""

    def __init__(
        self,
        environ: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        from gpucloud import __version__

        self._headers = {"Accept": "application/json", "User-Agent": f"gpucloud/{__version__}", **(headers or {})}
        self._timeout_s, self._sleep = timeout_s, sleep
        self._opener = _opener(environ)

    def get(self, url: str) -> dict[str, Any]:
        """The object at `url`. Raises CredentialsError, PermissionDenied or CloudError, never half a page."""
        for attempt in range(1, TRIES + 1):
            try:
                return _object(self._body(url), url)
            except _Busy as busy:
                if attempt == TRIES:
                    raise CloudError(f"{_host(url)} refuses more requests: {busy}.", "Try again later.") from None
                self._sleep(min(busy.wait_s or 2.0**attempt / 2, LONGEST_WAIT_S))
        raise AssertionError  # the loop ends by return or raise

    def _body(self, url: str) -> bytes:
        request = Request(url, headers=self._headers)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return _checked(answer.read(MOST_BYTES + 1), answer.headers, url)
        except HTTPError as error:
            with error:
                raise _refusal(error, url) from None
        except (URLError, HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise CloudError(f"{_host(url)} gave no whole answer: {reason}.", "Check the network and proxy.") from None


class _Busy(Exception):
    """Asked too often, or a passing failure; `wait_s` is what the server asks for."""

    def __init__(self, words: str, wait_s: float | None) -> None:
        super().__init__(words)
        self.wait_s = wait_s


def _opener(environ: Mapping[str, str]) -> OpenerDirector:
    bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("SSL_CERT_FILE")
    try:
        context = ssl.create_default_context(cafile=bundle or None)
    except OSError as error:
        raise CloudError(f"The CA bundle {bundle} cannot be read: {error.strerror or error}.", "") from None
    return build_opener(HTTPSHandler(context=context), _SameHost())


class _SameHost(HTTPRedirectHandler):
    """A redirect to another host would hand it our key: refused."""

    def redirect_request(self, request: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).netloc != urlsplit(request.full_url).netloc:
            raise URLError(f"it sends us to another host, {urlsplit(newurl).netloc}")
        return super().redirect_request(request, fp, code, msg, headers, newurl)


def _checked(body: bytes, headers: Message, url: str) -> bytes:
    if len(body) > MOST_BYTES:
        raise CloudError(f"{_host(url)} sent a page of more than {MOST_BYTES >> 20} MiB.", "")
    length = headers.get("Content-Length")
    if length and length.isdigit() and int(length) != len(body):
        raise CloudError(f"{_host(url)} sent half a page.", "Check the network and proxy.")
    if "json" not in (headers.get("Content-Type") or "").lower():
        kind = headers.get_content_type()
        hint = "Something between, a proxy or a log-in page, may have answered."
        raise CloudError(f"{_host(url)} sent {kind} instead of JSON.", hint)
    return body


def _object(body: bytes, url: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise CloudError(f"{_host(url)} sent something that is not JSON.", "Try again later.") from None
    if not isinstance(found, dict):
        raise CloudError(f"{_host(url)} sent JSON of another form.", "Try again later.")
    return found


def _refusal(error: HTTPError, url: str) -> Exception:
    if error.code in AGAIN:
        wait = error.headers.get("Retry-After", "") if error.headers else ""
        return _Busy(f"HTTP {error.code}", float(wait) if wait.isdigit() else None)
    said = _said(error)
    kinds: dict[int, type[GpucloudError]] = {401: CredentialsError, 403: PermissionDenied, 407: CredentialsError}
    kind = kinds.get(error.code, CloudError)
    return kind(f"{_host(url)} refuses: HTTP {error.code}{said}.", "")


def _said(error: HTTPError) -> str:
    """The server's own message where it is JSON; never our headers."""
    try:
        found = json.loads(error.read(65536))
        inner = found.get("error", found)
        text = inner.get("message", "") if isinstance(inner, dict) else str(inner)
    except (ValueError, AttributeError, OSError, HTTPException):
        return ""
    words = "".join(letter if letter.isprintable() else " " for letter in str(text))[:200].strip().rstrip(".")
    return f", {words}" if words else ""


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or url
