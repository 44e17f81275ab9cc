"""What Resource Manager's codes mean, in one table; the library's exception classes are never looked at for it.

Every 409 becomes the same class there, and an allocation that failed inside an operation arrives with status 200.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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


class KeyRefused(BadRequest):
    """Resource Manager does not take this kind of public key."""


class InUse(StateConflict):
    """Something else still uses it, or is at work on it: later."""


LOGIN_HINT = (
    "Run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET;"
    " AZURE_SUBSCRIPTION_ID names the subscription."
)
ROLE_HINT = "docs/clouds/azure.md has a role with exactly the permissions that gpucloud needs."
QUOTA_HINT = (
    "Ask for more at https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade, or allow other regions."
)
POLICY_HINT = (
    "Ask who looks after the policies of the subscription (--tag adds tags), or allow other regions and clouds."
)

MEANINGS: Mapping[str, type[GpucloudError]] = {
    "SkuNotAvailable": CapacityError,
    "AllocationFailed": CapacityError,
    "ZonalAllocationFailed": CapacityError,
    "OverconstrainedAllocationRequest": CapacityError,
    "OverconstrainedZonalAllocationRequest": CapacityError,
    "SpotVMAllocationFailed": CapacityError,
    "OverlyConstrainedAllocationRequest": CapacityError,
    "SpotVMEvicted": CapacityError,
    "QuotaExceeded": QuotaError,
    "PublicIPCountLimitReached": QuotaError,
    "IPv4StandardSkuPublicIpCountLimitReached": QuotaError,
    "ResourceGroupQuotaExceeded": QuotaError,
    "SubscriptionLimitReached": QuotaError,
    "TooManyRequests": ThrottledError,
    "ResourceRequestsThrottled": ThrottledError,
    "SubscriptionRequestsThrottled": ThrottledError,
    "TenantRequestsThrottled": ThrottledError,
    "RetryableError": ThrottledError,
    "MissingSubscriptionRegistration": NotRegistered,
    "SubscriptionNotRegistered": NotRegistered,
    "ReadOnlyDisabledSubscription": NotRegistered,
    "DisabledSubscription": NotRegistered,
    "AuthorizationFailed": PermissionDenied,
    "LinkedAuthorizationFailed": PermissionDenied,
    "ScopeLocked": PermissionDenied,
    "MarketplacePurchaseEligibilityFailed": PermissionDenied,
    "ResourcePurchaseValidationFailed": PermissionDenied,
    "AuthenticationFailed": CredentialsError,
    "ExpiredAuthenticationToken": CredentialsError,
    "InvalidAuthenticationToken": CredentialsError,
    "InvalidAuthenticationTokenTenant": CredentialsError,
    "SubscriptionNotFound": CredentialsError,
    "InvalidSubscriptionId": CredentialsError,
    "RequestDisallowedByPolicy": PolicyError,
    "RequestDisallowedByAzure": PolicyError,
    "LocationNotAvailableForResourceType": NotOffered,
    "LocationNotAvailableForResourceGroup": NotOffered,
    "InvalidAvailabilityZone": NotOffered,
    "AvailabilityZoneNotSupported": NotOffered,
    "VMSizeNotSupported": NotOffered,
    "PlatformImageNotFound": NotOffered,
    "ImageNotFound": NotOffered,
    "ResourceNotFound": Missing,
    "ResourceGroupNotFound": Missing,
    "NotFound": Missing,
    "ParentResourceNotFound": Missing,
    "PreconditionFailed": Exists,
    "NicInUse": InUse,
    "InUseNetworkSecurityGroupCannotBeDeleted": InUse,
    "InUseSubnetCannotBeDeleted": InUse,
    "PublicIPAddressCannotBeDeleted": InUse,
    "NicReservedForAnotherVm": InUse,
    "AnotherOperationInProgress": InUse,
    "ResourceGroupBeingDeleted": InUse,
    "ResourceGroupDeletionTimeout": InUse,
    "CannotDeleteResource": InUse,
    "InternalServerError": AmbiguousError,
    "InternalExecutionError": AmbiguousError,
    "ServiceUnavailable": AmbiguousError,
    "GatewayTimeout": AmbiguousError,
    "OperationPreempted": AmbiguousError,
}
BY_STATUS: Mapping[int, type[GpucloudError]] = {
    400: BadRequest,
    401: CredentialsError,
    403: PermissionDenied,
    404: Missing,
    409: InUse,
    412: Exists,
    429: ThrottledError,
}
# A request that names one of these in vain asks for what that place does not sell.
NOT_SOLD = ("vmsize", "hardwareprofile", "is not available in location", "requested size")


def meaning(code: str, message: str, target: str = "", status: int = 0) -> type[GpucloudError]:
    """The member of our family: by the code, else the status, else ambiguous."""
    words = f"{message} {target}".casefold()
    if code == "OperationNotAllowed":  # a quota, or something that is not allowed in this state
        return QuotaError if "quota" in words or "limit" in words else InUse
    if code in ("InvalidParameter", "BadRequest") and "publickey" in words.replace(" ", "").replace(".", ""):
        return KeyRefused
    if code == "InvalidParameter" and any(word in words for word in NOT_SOLD):
        return NotOffered
    return MEANINGS.get(code) or BY_STATUS.get(status, AmbiguousError)


def build(kind: type[GpucloudError], message: str, retry_after_s: float = 1.0) -> GpucloudError:
    """The error with its next step."""
    sentence = f"Azure: {' '.join(message.split()).rstrip('.')}."
    if issubclass(kind, ThrottledError):
        return kind(sentence, retry_after_s=retry_after_s)
    hints = {
        CredentialsError: LOGIN_HINT,
        PermissionDenied: ROLE_HINT,
        QuotaError: QUOTA_HINT,
        PolicyError: POLICY_HINT,
    }
    return kind(sentence, registration_hint(message) if kind is NotRegistered else hints.get(kind, ""))


def registration_hint(message: str) -> str:
    """The command that switches on the service that the message names."""
    found = re.search(r"Microsoft\.[A-Za-z]+", message)
    return f"Run `az provider register --namespace {found[0] if found else 'Microsoft.Compute'}`, wait, and repeat."


def from_exception(error: Exception) -> GpucloudError | None:
    """What an exception of the libraries means; None for one that is not the cloud's."""
    from azure.core import exceptions as core

    if isinstance(error, core.ClientAuthenticationError) and error.response is None:
        return CredentialsError(_no_token(error), LOGIN_HINT)
    if isinstance(error, core.DecodeError):
        return AmbiguousError("Azure's answer cannot be read.", "Try again.")
    if isinstance(error, core.HttpResponseError) and error.response is not None:
        return _from_answer(error)
    if isinstance(error, core.AzureError):
        return AmbiguousError(f"Azure did not answer: {first_line(error)}.", "Look at the network, and try again.")
    if isinstance(error, ValueError):
        return AmbiguousError("Azure's answer cannot be read.", "Try again.")
    return None


def _no_token(error: Exception) -> str:
    """Why there is no token: what the token service says, or that no link of the chain has found anything."""
    said = re.search(r"AADSTS[0-9]+:[^\n]*", str(error))
    if said is None and "included credentials" in str(error):
        return "There are no credentials for Azure."
    return f"Azure refused the credentials: {said[0].rstrip('.') if said else first_line(error)}."


def _from_answer(error: Any) -> GpucloudError:
    response = error.response
    code, message, target = told(_body(response))
    if not code and getattr(error, "error", None) is not None:
        code, message = str(error.error.code or ""), str(error.error.message or "")
    status = int(response.status_code)
    kind = meaning(code, message, target, status)
    return build(kind, message or code or f"status {status} without a reason", retry_after_s(response.headers))


def told(body: Any) -> tuple[str, str, str]:
    """Code, message and target of an error body; the innermost known code where they are nested."""
    error = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return "", "", ""
    found = str(error.get("code") or ""), str(error.get("message") or ""), str(error.get("target") or "")
    if found[0] in MEANINGS or found[0] == "OperationNotAllowed":
        return found
    for detail in error.get("details") or ():
        inner = told(detail)
        if inner[0] in MEANINGS or inner[0] == "OperationNotAllowed":
            return inner
    return found


def _body(response: Any) -> Any:
    try:
        return json.loads(response.text())
    except (ValueError, TypeError, AttributeError):
        return None


def retry_after_s(headers: Mapping[str, str]) -> float:
    """The seconds that an answer asks to wait."""
    try:
        return float(headers.get("Retry-After") or 1.0)
    except ValueError:
        return 1.0


def first_line(error: Exception) -> str:
    """The first line of what an exception says, short."""
    text = str(error).strip().splitlines()
    return re.sub(r"\(Caused by .*", "", text[0]).strip().rstrip(".")[:300] if text else type(error).__name__


def missing_library(error: ImportError) -> GpucloudError:
    """For an installation without the extra."""
    return UsageError(
        f"The library for azure is not installed ({error.name or error}).", 'Install it: pip install "gpucloud[azure]".'
    )
