"""What Compute Engine's codes mean, in one table; and which of its exceptions leave everything open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpucloud.core.errors import (
    AmbiguousError,
    BadRequest,
    CapacityError,
    CredentialsError,
    GpucloudError,
    NotOffered,
    NotRegistered,
    PermissionDenied,
    PolicyError,
    QuotaError,
    StateConflict,
    ThrottledError,
    UsageError,
)


class Missing(BadRequest):
    """There is no such thing (404). Removals take it for success."""


class Exists(BadRequest):
    """That name is taken: by us, when the request was sent before, or by somebody else."""


class InUse(StateConflict):
    """Something else still uses it, or it is being made or removed: later."""


LOGIN_HINT = (
    "Run `gcloud auth application-default login`, or let GOOGLE_APPLICATION_CREDENTIALS name a key file;"
    " GOOGLE_CLOUD_PROJECT names the project."
)
ENABLE_HINT = "Run `gcloud services enable compute.googleapis.com --project {project}`, wait a minute, and repeat."
ROLE_HINT = "docs/clouds/gcp.md has a role with exactly the permissions that gpucloud needs."
QUOTA_HINT = "Ask for more at https://console.cloud.google.com/iam-admin/quotas, or allow other regions and clouds."

# Words of operations (upper case) and of answers (reasons of ErrorInfo, then of `errors[0].reason`).
MEANINGS: Mapping[str, type[GpucloudError]] = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": CapacityError,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": CapacityError,
    "RESOURCE_POOL_EXHAUSTED": CapacityError,
    "RESOURCE_AVAILABILITY": CapacityError,
    "stockout": CapacityError,
    "resource_availability": CapacityError,
    "QUOTA_EXCEEDED": QuotaError,
    "quotaExceeded": QuotaError,
    "rateLimitExceeded": ThrottledError,
    "userRateLimitExceeded": ThrottledError,
    "RATE_LIMIT_EXCEEDED": ThrottledError,
    "concurrentOperationsQuotaExceeded": ThrottledError,
    "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED": ThrottledError,
    "RESOURCE_OPERATION_RATE_EXCEEDED": ThrottledError,
    "SERVICE_DISABLED": NotRegistered,
    "accessNotConfigured": NotRegistered,
    "BILLING_DISABLED": NotRegistered,
    "UREQ_PROJECT_BILLING_NOT_FOUND": NotRegistered,
    "IAM_PERMISSION_DENIED": PermissionDenied,
    "forbidden": PermissionDenied,
    "insufficientPermissions": PermissionDenied,
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": PermissionDenied,
    "PERMISSIONS_ERROR": PermissionDenied,
    "SERVICE_ACCOUNT_ACCESS_DENIED": PermissionDenied,
    "authError": CredentialsError,
    "ACCESS_TOKEN_EXPIRED": CredentialsError,
    "CREDENTIALS_MISSING": CredentialsError,
    "ACCOUNT_STATE_INVALID": CredentialsError,
    "conditionNotMet": PolicyError,
    "CONDITION_NOT_MET": PolicyError,
    "SECURITY_POLICY_VIOLATED": PolicyError,
    "vpcServiceControls": PolicyError,
    "notFound": Missing,
    "RESOURCE_NOT_FOUND": Missing,
    "alreadyExists": Exists,
    "RESOURCE_ALREADY_EXISTS": Exists,
    "resourceInUseByAnotherResource": InUse,
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": InUse,
    "resourceNotReady": InUse,
    "RESOURCE_NOT_READY": InUse,
    "UNSUPPORTED_OPERATION": NotOffered,
    "backendError": AmbiguousError,
    "internalError": AmbiguousError,
    "INTERNAL_ERROR": AmbiguousError,
}
BY_STATUS: Mapping[int, type[GpucloudError]] = {
    400: BadRequest,
    401: CredentialsError,
    403: PermissionDenied,
    404: Missing,
    409: Exists,
    412: PolicyError,
    429: ThrottledError,
}
# A bad request about one of these fields means that the zone does not sell it.
NOT_SOLD = ("machinetype", "machine type", "acceleratortype", "accelerator type", "unknown zone")


def meaning(words: Sequence[str], message: str, status: int = 0) -> type[GpucloudError]:
    """The member of our family: the first known word, else the status, else ambiguous."""
    kind = next((MEANINGS[word] for word in words if word in MEANINGS), None) or BY_STATUS.get(status, AmbiguousError)
    if kind in (BadRequest, Missing) and any(word in message.casefold() for word in NOT_SOLD):
        return NotOffered
    return kind


def build(kind: type[GpucloudError], message: str, project: str, retry_after_s: float = 1.0) -> GpucloudError:
    """The error with its next step."""
    sentence = f"Compute Engine: {message.strip().rstrip('.')}."
    if issubclass(kind, ThrottledError):
        return kind(sentence, retry_after_s=retry_after_s)
    hints = {
        CredentialsError: LOGIN_HINT,
        NotRegistered: ENABLE_HINT.format(project=project),
        PermissionDenied: ROLE_HINT,
        QuotaError: QUOTA_HINT,
        PolicyError: "Ask who looks after the organisation's policies, or allow other regions and clouds.",
    }
    return kind(sentence, hints.get(kind, ""))


def from_exception(error: Exception, project: str) -> GpucloudError | None:
    """What an exception of the library means; None for one that is not the cloud's."""
    import requests
    from google.api_core import exceptions as answered
    from google.auth import exceptions as auth
    from google.protobuf import json_format

    if isinstance(error, answered.GoogleAPICallError):
        return _from_answer(error, project)
    if isinstance(error, auth.GoogleAuthError) and not isinstance(error, auth.TransportError):
        if getattr(error, "retryable", False):
            return AmbiguousError("Google's token service did not answer as expected.", "Try again.")
        return CredentialsError(f"Google refused the credentials: {_first_line(error)}.", LOGIN_HINT)
    if isinstance(error, (requests.RequestException, auth.TransportError)):
        return AmbiguousError(f"Compute Engine did not answer: {_short(error)}.", "Look at the network, and try again.")
    if isinstance(error, (json_format.ParseError, UnicodeDecodeError)):
        return AmbiguousError("Compute Engine's answer cannot be read.", "Try again.")
    return None


def _from_answer(error: Any, project: str) -> GpucloudError:
    words = [
        error.reason or "",
        *(str(item.get("reason", "")) for item in error.errors or () if isinstance(item, dict)),
    ]
    message = _without_url(str(error.message or "no reason given"))
    kind = meaning(words, message, int(error.code or 0))
    return build(kind, message, project, _retry_after_s(error.response))


def from_operation(operation: Any, project: str) -> GpucloudError | None:
    """Why an operation failed, None when it did not. Its HTTP status is not looked at: a stockout is a 503."""
    found = list(operation.error.errors) if operation.error else []
    if not found:
        return None
    first = found[0]
    kind = meaning([item.code for item in found], first.message or "")
    zones = [detail.error_info.metadatas.get("zonesAvailable", "") for detail in first.error_details]
    elsewhere = ", ".join(zone for zone in zones if zone)
    message = (first.message or first.code) + (f" (there is capacity in {elsewhere})" if elsewhere else "")
    return build(kind, message, project)


def _retry_after_s(response: Any) -> float:
    text = (getattr(response, "headers", None) or {}).get("Retry-After", "")
    return float(text) if text.isdigit() else 1.0


def _without_url(message: str) -> str:
    """The library puts method and URL first (`POST https://…: reason`)."""
    head, mark, rest = message.partition(": ")
    return rest if mark and "://" in head else message


def _first_line(error: Exception) -> str:
    return str(error.args[0] if error.args else error).splitlines()[0].rstrip(".")


def _short(error: Exception) -> str:
    cause: BaseException = error
    while isinstance(cause.args[0] if cause.args else None, BaseException):
        cause = cause.args[0]
    reason = getattr(cause, "reason", None) or cause
    return f"{type(reason).__name__}: {reason}".split(" (Caused")[0].rstrip(".")


def missing_library(error: ImportError) -> GpucloudError:
    """For an installation without the extra."""
    return UsageError(
        f"The library for gcp is not installed ({error.name or error}).", 'Install it: pip install "gpucloud[gcp]".'
    )
