"""Every row of the error table over the wire, and what the library's own exceptions mean."""

from __future__ import annotations

import pytest

from gpucloud.core import errors
from gpucloud.providers.gcp import errors as gcp
from gpucloud.providers.gcp.errors import MEANINGS, build, from_exception, meaning
from tests.clouds.gcp.cloud import Refused
from tests.clouds.gcp.sim import _error_body
from tests.clouds.http import Answer
from tests.providers.gcp.conftest import error_of


@pytest.fixture
def answering(sim, provider, monkeypatch):
    """Make the next calls end with an error of the cloud's."""

    def answer(status, reason, message="no", info="", headers=None):
        body = _error_body(Refused(status, reason, message, info))
        monkeypatch.setattr(sim, "respond", lambda request: Answer(status, body, headers or {}))
        return error_of(lambda: provider.quotas())

    return answer


@pytest.mark.parametrize(
    ("status", "reason", "info", "kind"),
    [
        (401, "authError", "ACCESS_TOKEN_EXPIRED", errors.CredentialsError),
        (403, "forbidden", "", errors.PermissionDenied),
        (403, "forbidden", "IAM_PERMISSION_DENIED", errors.PermissionDenied),
        (403, "accessNotConfigured", "SERVICE_DISABLED", errors.NotRegistered),
        (403, "forbidden", "BILLING_DISABLED", errors.NotRegistered),
        (403, "quotaExceeded", "", errors.QuotaError),
        (403, "rateLimitExceeded", "", errors.ThrottledError),
        (403, "rateLimitExceeded", "RATE_LIMIT_EXCEEDED", errors.ThrottledError),
        (429, "", "", errors.ThrottledError),
        (412, "conditionNotMet", "", errors.PolicyError),
        (403, "forbidden", "SECURITY_POLICY_VIOLATED", errors.PolicyError),
        (404, "notFound", "", gcp.Missing),
        (409, "alreadyExists", "", gcp.Exists),
        (400, "invalid", "", errors.BadRequest),
        (400, "resourceInUseByAnotherResource", "", gcp.InUse),
        (500, "internalError", "", errors.AmbiguousError),
        (503, "backendError", "", errors.AmbiguousError),
        (503, "something new", "", errors.AmbiguousError),
        (418, "", "", errors.AmbiguousError),
    ],
)
def test_answers(answering, status, reason, info, kind):
    assert type(answering(status, reason, "no", info)) is kind


def test_hints_name_the_next_step(answering):
    assert "lab-project" in answering(403, "accessNotConfigured", info="SERVICE_DISABLED").hint
    assert "docs/clouds/gcp.md" in answering(403, "forbidden").hint
    assert "application-default login" in answering(401, "authError").hint


def test_retry_after_is_heeded(answering):
    assert answering(429, "rateLimitExceeded", headers={"Retry-After": "7"}).retry_after_s == 7


def test_sentences_carry_no_address(answering):
    error = answering(403, "forbidden", "Required 'compute.projects.get' permission for 'projects/lab-project'.")
    assert error.message == "Compute Engine: Required 'compute.projects.get' permission for 'projects/lab-project'."


@pytest.mark.parametrize("word", sorted(MEANINGS))
def test_every_word_of_the_table_decides(word):
    assert meaning([word], "", 418) is MEANINGS[word]
    error = build(MEANINGS[word], "Something happened.", "p")
    assert isinstance(error, MEANINGS[word]) and error.message == "Compute Engine: Something happened."


def test_a_zone_without_the_type_is_not_our_bug():
    text = "Invalid value for field 'resource.machineType': Machine type 'a3' does not exist in zone 'x'."
    assert meaning(["invalid"], text, 400) is errors.NotOffered
    assert meaning(["invalid"], "Invalid value for field 'resource.name'", 400) is errors.BadRequest


def test_the_status_of_an_operation_says_nothing(sim, provider, spec):
    """A stockout has HTTP status 503 there, and a generic retry of 503 would hide it."""
    sim.cloud.script.capacity["us-central1-a"] = 0
    assert isinstance(error_of(lambda: provider.launch(spec)), errors.CapacityError)
    failed = [item for item in sim.cloud.operations.values() if item.get("httpErrorStatusCode") == 503]
    assert len(failed) == 1


def test_our_own_bugs_stay_visible():
    assert from_exception(ValueError("Unknown field for Instance: nmae"), "p") is None
    assert from_exception(KeyError("x"), "p") is None


def test_nobody_listens(tmp_path):
    from gpucloud.providers.gcp.provider import GcpProvider
    from gpucloud.providers.site import Site
    from tests.clouds.gcp.sim import GcpSim

    with GcpSim(tmp_path) as sim:
        environ = dict(sim.environ)
    error = error_of(lambda: GcpProvider(Site(tmp_path, "home", environ), sleep=lambda s: None).identity())
    assert isinstance(error, errors.AmbiguousError) and "did not answer" in error.message
