"""Who we are at Google Cloud: credentials by the library's own chain, the project, and where the API is."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpucloud.core.errors import CredentialsError
from gpucloud.providers.gcp.errors import LOGIN_HINT

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
HOST = "https://compute.googleapis.com"
FILE, PROJECT, ENDPOINT = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE",
)


@dataclass(frozen=True)
class Session:
    """Credentials (never shown), the project, the principal as far as it is known, and which link of the chain won."""

    credentials: Any = field(repr=False)
    project: str
    principal: str
    via: str
    endpoint: str


def open_session(environ: Mapping[str, str]) -> Session:
    """Find the credentials; no request is sent unless a metadata server gives them. Raises CredentialsError."""
    credentials, own_project, via = _credentials(environ)
    project = environ.get(PROJECT) or environ.get("CLOUDSDK_CORE_PROJECT") or own_project or ""
    if not project:
        raise CredentialsError("Which Google Cloud project to use is not said.", f"Set {PROJECT}.")
    principal = getattr(credentials, "service_account_email", "") or getattr(credentials, "account", "") or ""
    return Session(credentials, project, str(principal), via, endpoint(environ))


def endpoint(environ: Mapping[str, str]) -> str:
    """Where the API is; gcloud's variable for it may carry the path `/compute/v1/`."""
    text = environ.get(ENDPOINT, "").rstrip("/").removesuffix("/compute/v1").rstrip("/")
    return text or HOST


def _credentials(environ: Mapping[str, str]) -> tuple[Any, str, str]:
    import google.auth
    from google.auth import exceptions

    file = environ.get(FILE, "")
    try:
        if file:
            with warnings.catch_warnings():  # the file is the user's own, named by the standard variable
                warnings.simplefilter("ignore", DeprecationWarning)
                found, project = google.auth.load_credentials_from_file(file, scopes=[SCOPE])  # type: ignore[no-untyped-call]
            return found, project or "", f"{FILE} ({_kind_of(file)})"
        found, project = google.auth.default(scopes=[SCOPE])
    except (exceptions.GoogleAuthError, ValueError, OSError, AttributeError, TypeError) as error:
        raise CredentialsError(_why(error, file), LOGIN_HINT) from None
    return found, project or "", _link(found)


def _why(error: Exception, file: str) -> str:
    if file:
        reason = str(error).splitlines()[0].rstrip(".")
        return f"The credentials that {FILE} names cannot be used: {reason}."
    return "There are no credentials for Google Cloud."


def _kind_of(file: str) -> str:
    try:
        return str(json.loads(Path(file).read_text(encoding="utf-8")).get("type", "file")).replace("_", " ")
    except (OSError, ValueError, AttributeError):
        return "file"


def _link(credentials: Any) -> str:
    """Which link of `google.auth.default` won, by what came out of it."""
    if "compute_engine" in type(credentials).__module__:
        return "the metadata server of this machine"
    return "gcloud application-default credentials"
