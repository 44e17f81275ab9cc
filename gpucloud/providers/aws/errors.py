"""What EC2's error codes mean, in one table, and what boto3's own exceptions mean."""

from __future__ import annotations

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
    ThrottledError,
    UsageError,
)

_CODES: Mapping[type[GpucloudError], str] = {
    CapacityError: "InsufficientInstanceCapacity InsufficientHostCapacity InsufficientCapacity SpotMaxPriceTooLow"
    " InsufficientFreeAddressesInSubnet InsufficientCapacityOnHost",
    NotOffered: "Unsupported InstanceTypeNotSupported",
    QuotaError: "VcpuLimitExceeded InstanceLimitExceeded MaxSpotInstanceCountExceeded VolumeLimitExceeded"
    " MaxIOPSLimitExceeded SecurityGroupLimitExceeded AddressLimitExceeded NetworkInterfaceLimitExceeded"
    " RulesPerSecurityGroupLimitExceeded ResourceCountLimitExceeded ResourceLimitExceeded LimitExceeded"
    " LimitExceededFault",
    ThrottledError: "RequestLimitExceeded Throttling ThrottlingException TooManyRequestsException"
    " EC2ThrottledException BandwidthLimitExceeded RequestThrottled RequestThrottledException",
    CredentialsError: "AuthFailure InvalidClientTokenId UnrecognizedClientException SignatureDoesNotMatch"
    " InvalidSignatureException RequestExpired ExpiredToken ExpiredTokenException IncompleteSignature"
    " IncompleteSignatureException MissingAuthenticationToken MissingAuthenticationTokenException RequestTimeTooSkewed",
    PermissionDenied: "UnauthorizedOperation AccessDenied AccessDeniedException NotAuthorized",
    NotRegistered: "OptInRequired Blocked",
    PolicyError: "TagPolicyViolation TagPolicyException OperationNotPermitted PendingVerification",
    BadRequest: "ValidationError ValidationException UnsupportedOperation UnknownParameter VolumeInUse"
    " DependencyViolation IncorrectInstanceState IncorrectState ParameterNotFound"
    " ParameterVersionNotFound NoSuchResourceException",
}
CODES = {code: kind for kind, codes in _CODES.items() for code in codes.split()}
# Client errors that are not listed, but whose name says that the request was not understood.
UNASKED_S = 2.0  # the pause where a throttled answer names none
MALFORMED = ("Invalid", "Missing", "Malformed", "Unknown")

_KEYS = "Give AWS credentials: `aws configure`, `aws sso login`, AWS_PROFILE or AWS_ACCESS_KEY_ID."
_CLOCK = "Set this computer's clock; AWS refuses requests that are some minutes off."
HINTS: Mapping[type[GpucloudError], str] = {
    CredentialsError: _KEYS,
    PermissionDenied: "docs/clouds/aws.md has the least policy; `gpucloud check aws` shows who you are.",
    QuotaError: "Ask for more under Service Quotas → Amazon EC2; `gpucloud check aws` shows the limits.",
    NotRegistered: "Accept the terms or finish the sign-up in the AWS console, then repeat.",
    PolicyError: "Ask the administrators of the AWS organisation, or use another region; --tag adds tags.",
}


def meaning(error: Exception, region: str) -> GpucloudError:
    """The member of our family for an exception of boto3. `details["cloud_code"]` keeps EC2's own word."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return _answered(error.response, region)
    return _not_answered(error, region)


def code_of(error: GpucloudError) -> str:
    """EC2's own word for it, empty where the answer was none of EC2's."""
    return str(error.details.get("cloud_code", ""))


def _answered(response: Mapping[str, Any], region: str) -> GpucloudError:
    body, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    code = str(body.get("Code", "")).removeprefix("Server.").removeprefix("Client.")
    message = _plain(str(body.get("Message", "")))
    status = int(meta.get("HTTPStatusCode", 0))
    kind = _kind(code, message, status)
    words = f"AWS {region}: {message or 'no reason given'} ({code or status})."
    if kind is ThrottledError:
        asked_s = _retry_after_s(meta.get("HTTPHeaders", {}))
        return ThrottledError(words, retry_after_s=asked_s or UNASKED_S, cloud_code=code)
    return kind(words, _hint(kind, code, message), cloud_code=code)


def _kind(code: str, message: str, status: int) -> type[GpucloudError]:
    kind = CODES.get(code)
    if kind is PermissionDenied and "service control policy" in message:
        return PolicyError
    if code == "InvalidParameterValue" and "instancetype" in message.casefold().replace(" ", ""):
        return NotOffered
    if kind is None and status == 429:
        return ThrottledError  # a 503 without a code of EC2's may come from in between, after the effect
    if kind is None and 400 <= status < 500 and code.startswith(MALFORMED):
        return BadRequest
    return kind or AmbiguousError


def _hint(kind: type[GpucloudError], code: str, message: str) -> str:
    late = ("RequestExpired", "RequestTimeTooSkewed")
    if code in late or "Signature expired" in message or "Signature not yet current" in message:
        return _CLOCK
    if code in ("ExpiredToken", "ExpiredTokenException"):
        return "The session has expired: `aws sso login`, or fetch new temporary keys."
    return HINTS.get(kind, "")


def _plain(message: str) -> str:
    """One sentence without the long encoded blob that EC2 appends to refusals."""
    words = re.split(r"\s*Encoded authorization failure message", message)[0]
    return " ".join(words.split()).rstrip(". ")


def _retry_after_s(headers: Mapping[str, str]) -> float:
    try:
        return min(60.0, max(0.0, float(headers.get("retry-after", ""))))
    except ValueError:
        return 0.0


_CREDENTIALS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "CredentialRetrievalError",
    "TokenRetrievalError",
    "SSOTokenLoadError",
    "UnauthorizedSSOTokenError",
    "SSOError",
    "RefreshWithMFAUnsupportedError",
    "ConfigNotFound",
    "ConfigParseError",
    "InvalidConfigError",
    "MetadataRetrievalError",
    "UnknownCredentialError",
    "LoginError",
    "LoginRefreshRequired",
    "LoginTokenLoadError",
)


def _not_answered(error: Exception, region: str) -> GpucloudError:
    """No answer at all, or one that is none: only what never left this computer is certain."""
    name = type(error).__name__
    if name in _CREDENTIALS:
        return CredentialsError(f"There are no usable AWS credentials: {_plain(str(error))}.", _KEYS)
    if name == "ProxyConnectionError":
        return AmbiguousError(f"AWS {region}: {_plain(str(error))}.", "Look at HTTPS_PROXY and NO_PROXY.")
    if name == "SSLError":
        hint = "Behind a company's proxy, let AWS_CA_BUNDLE name its certificate authority."
        return AmbiguousError(f"AWS {region} shows a certificate that is not trusted: {_plain(str(error))}.", hint)
    if name in ("NoRegionError", "InvalidRegionError"):
        return UsageError(f"'{region}' is not an AWS region.", "Look at AWS_REGION, or `gpucloud compare --cloud aws`.")
    if name in ("ParamValidationError", "UnknownServiceError", "DataNotFoundError"):
        return BadRequest(f"boto3 does not accept the request: {_plain(str(error))}.")
    return AmbiguousError(f"AWS {region} did not answer: {_plain(str(error))}.", "Look at the network, then repeat.")
