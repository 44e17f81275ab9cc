"""Every code that EC2 is known to answer with, sorted; and never a refusal where something may have been made."""

from __future__ import annotations

import re

import pytest
from botocore import exceptions

from gpucloud.core import errors
from gpucloud.providers.aws.errors import CODES, code_of, meaning
from gpucloud.providers.aws.session import Clients
from tests.providers.aws.test_policy import PAGE


def answered(code: str, status: int = 400, message: str = "No.", **headers: str) -> errors.GpucloudError:
    meta = {"HTTPStatusCode": status, "HTTPHeaders": headers, "RequestId": "1"}
    body = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": meta}
    return meaning(exceptions.ClientError(body, "RunInstances"), "us-east-1")


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_table_is_what_is_raised(code):
    for word in (code, f"Server.{code}", f"Client.{code}"):
        error = answered(word)
        assert type(error) is CODES[code] and code_of(error) == code


@pytest.mark.parametrize(
    ("code", "status", "message", "kind"),
    [
        ("InvalidParameterValue", 400, "Invalid value 'x9.huge' for InstanceType.", errors.NotOffered),
        ("InvalidParameterValue", 400, "The following supplied instance types do not exist", errors.NotOffered),
        ("InvalidParameterValue", 400, "Invalid value '0.0.0.0/99' for cidr", errors.BadRequest),
        ("InvalidSubnetID.NotFound", 400, "The subnet does not exist", errors.BadRequest),
        ("MissingParameter", 400, "", errors.BadRequest),
        ("MalformedPolicyDocument", 400, "", errors.BadRequest),
        ("NeverSeen", 400, "", errors.AmbiguousError),
        ("InternalError", 500, "", errors.AmbiguousError),
        ("InvalidSomething", 500, "", errors.AmbiguousError),
        ("Unavailable", 503, "The server is overloaded", errors.AmbiguousError),
        ("503", 503, "Service Unavailable", errors.AmbiguousError),
        ("502", 502, "Bad Gateway", errors.AmbiguousError),
        ("429", 429, "", errors.ThrottledError),
        ("UnauthorizedOperation", 403, "explicit deny in a service control policy", errors.PolicyError),
        ("UnauthorizedOperation", 403, "no identity-based policy allows it", errors.PermissionDenied),
    ],
)
def test_codes_beside_the_table(code, status, message, kind):
    assert type(answered(code, status, message)) is kind


def test_what_the_answer_asks_to_wait_is_kept_within_reason():
    assert answered("RequestLimitExceeded", 503, **{"retry-after": "7"}).retry_after_s == 7
    assert answered("RequestLimitExceeded", 503, **{"retry-after": "86400"}).retry_after_s == 60
    assert answered("RequestLimitExceeded", 503, **{"retry-after": "soon"}).retry_after_s == 2


def test_the_clock_and_the_session_have_hints_of_their_own():
    assert "clock" in answered("RequestExpired").hint
    assert "clock" in answered("SignatureDoesNotMatch", 403, "Signature expired: 2026 is now earlier than").hint
    assert "sso login" in answered("ExpiredToken").hint


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.EndpointConnectionError(endpoint_url="https://x"), errors.AmbiguousError),
        (exceptions.ReadTimeoutError(endpoint_url="https://x"), errors.AmbiguousError),
        (exceptions.ConnectionClosedError(endpoint_url="https://x"), errors.AmbiguousError),
        (exceptions.NoCredentialsError(), errors.CredentialsError),
        (exceptions.ProfileNotFound(profile="x"), errors.CredentialsError),
        (exceptions.UnauthorizedSSOTokenError(), errors.CredentialsError),
        (exceptions.NoRegionError(), errors.UsageError),
        (exceptions.InvalidRegionError(region_name="no region"), errors.UsageError),
        (exceptions.ParamValidationError(report="x"), errors.BadRequest),
        (RuntimeError("anything else"), errors.AmbiguousError),
    ],
)
def test_what_was_not_answered(error, kind):
    assert type(meaning(error, "us-east-1")) is kind


def test_the_page_names_codes_of_the_table():
    section = PAGE.read_text().split("## When it does not work")[1]
    named = [word for word in re.findall(r"`([A-Z]\w+)`", section) if not word.isupper()]
    assert len(named) >= 8 and set(named) <= set(CODES)


def test_a_pause_that_is_no_number_is_said():
    with pytest.raises(errors.UsageError):
        Clients({"GPUCLOUD_WAIT_RETRY": "soon"})
