"""The way to AWS: one boto3 session, a client per service and region, and every call through one door.

boto3's own retries are off: a stockout is an HTTP 500, which its default mode would repeat in vain. Here calls
that are safe to repeat are repeated when throttled (honouring Retry-After) or not answered; RunInstances is not.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gpucloud.core.errors import AmbiguousError, GpucloudError, ThrottledError, UsageError
from gpucloud.providers.aws.errors import UNASKED_S, meaning

CONNECT_S, ANSWER_S = 10.0, 60.0
TRIES, LONGEST_PAUSE_S = 4, 5.0
PAUSE = "GPUCLOUD_WAIT_RETRY"  # seconds before a call is repeated the first time
PAUSE_S = 0.25
DEFAULT_REGION = "us-east-1"


class Clients:
    """Clients of one identity. Thread-safe. `sleep` is the tests' own where they want no waiting."""

    def __init__(self, environ: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> None:
        self._environ, self.sleep = environ, sleep
        self._pause_s = _pause_s(environ.get(PAUSE, ""))
        self._lock = threading.RLock()
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    # ---- what a session knows without the network

    @property
    def session(self) -> Any:
        """The botocore session, made at the first use."""
        with self._lock:
            if self._session is None:
                self._session = self._open()
            return self._session

    def _open(self) -> Any:
        try:
            import botocore.session
            from botocore.credentials import EnvProvider
        except ImportError:
            raise UsageError("The library for AWS is not installed.", 'pip install "gpucloud[aws]"') from None
        session = botocore.session.get_session()
        try:
            chain = session.get_component("credential_provider")
        except Exception as error:
            raise meaning(error, "") from error
        chain.providers = [
            EnvProvider(environ=dict(self._environ)) if link.METHOD == EnvProvider.METHOD else link
            for link in chain.providers
        ]
        return session

    @property
    def home_region(self) -> str:
        """The region of questions that are about no region in particular."""
        given = self._environ.get("AWS_REGION") or self._environ.get("AWS_DEFAULT_REGION")
        try:
            return given or self.session.get_config_variable("region") or DEFAULT_REGION
        except GpucloudError:
            raise
        except Exception as error:  # a profile that does not exist
            raise meaning(error, "") from error

    @property
    def endpoint(self) -> str:
        """The endpoint that the environment names for everything, empty for AWS's own."""
        return self._environ.get("AWS_ENDPOINT_URL_EC2") or self._environ.get("AWS_ENDPOINT_URL", "")

    def credentials(self) -> Any:
        """The credentials that the chain found, or None."""
        try:
            return self.session.get_credentials()
        except GpucloudError:
            raise
        except Exception as error:
            raise meaning(error, self.home_region) from error

    def client(self, service: str, region: str) -> Any:
        """The client of a service in a region."""
        with self._lock:
            key = (service, region)
            if key not in self._clients:
                self._clients[key] = self._made(service, region)
            return self._clients[key]

    def _made(self, service: str, region: str) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_S,
            read_timeout=ANSWER_S,
            retries={"total_max_attempts": 1},
            user_agent_extra="gpucloud",
            tcp_keepalive=True,
        )
        try:
            return self.session.create_client(
                service, region_name=region, config=config, endpoint_url=self._endpoint_of(service)
            )
        except GpucloudError:
            raise
        except Exception as error:
            raise meaning(error, region) from error

    def _endpoint_of(self, service: str) -> str | None:
        """An endpoint of `site.environ` that the process's own environment does not have; else botocore decides."""
        for name in (f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}", "AWS_ENDPOINT_URL"):
            if self._environ.get(name) and self._environ.get(name) != os.environ.get(name):
                return self._environ[name]
        return None

    # ---- calls

    def call(self, service: str, region: str, operation: str, *, once: bool = False, **words: Any) -> dict[str, Any]:
        """One API operation by its API name. Raises members of our family; `once`: never sent a second time."""
        from botocore import xform_name

        send = getattr(self.client(service, region), xform_name(operation))
        for number in range(1, TRIES + 1):
            try:
                return self._sent(send, region, words)
            except ThrottledError as error:
                if once or number == TRIES:
                    raise
                asked_s = error.retry_after_s if error.retry_after_s != UNASKED_S else 0.0
                wait_s = max(self._pause_s * 2 ** (number - 1), asked_s)
            except AmbiguousError:
                if once or number >= 2:
                    raise
                wait_s = self._pause_s
            self.sleep(min(wait_s, LONGEST_PAUSE_S))
        raise AssertionError("unreachable")

    def _sent(self, send: Callable[..., Any], region: str, words: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = send(**words)
        except GpucloudError:
            raise
        except Exception as error:
            raise meaning(error, region) from error
        if not answer.get("ResponseMetadata", {}).get("RequestId"):
            # Every answer of AWS has one. A page of a captive portal parses as an answer with nothing in it,
            # and nothing must not be taken for "there are no machines".
            raise AmbiguousError(f"AWS {region}: the answer is not one of AWS's.", "Is there a proxy in between?")
        return answer

    def pages(self, service: str, region: str, operation: str, key: str, **words: Any) -> Iterator[dict[str, Any]]:
        """All items under `key`, page after page."""
        token = None
        while True:
            answer = self.call(service, region, operation, **words, **({"NextToken": token} if token else {}))
            yield from answer.get(key) or ()
            token = answer.get("NextToken")
            if not token:
                return


def _pause_s(text: str) -> float:
    try:
        return float(text or PAUSE_S)
    except ValueError:
        raise UsageError(f"{PAUSE}={text} is not a number of seconds.", "Write 0.25.") from None
