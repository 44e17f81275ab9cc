"""Azure's codes, each as it arrives on the wire, and what they mean."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from gpucloud.core.errors import (
    AmbiguousError,
    BadRequest,
    CapacityError,
    CredentialsError,
    NotOffered,
    NotRegistered,
    PermissionDenied,
    PolicyError,
    QuotaError,
    ThrottledError,
)
from gpucloud.providers.azure.errors import InUse, KeyRefused, Missing, meaning, told
from tests.clouds.azure.cloud import Refusal
from tests.clouds.http import Fault
from tests.providers.azure.conftest import GROUP, error_of, make_spec


@pytest.mark.parametrize(
    ("code", "status", "late", "kind"),
    [
        ("SkuNotAvailable", 409, False, CapacityError),
        ("AllocationFailed", 409, False, CapacityError),
        ("AllocationFailed", 200, True, CapacityError),
        ("ZonalAllocationFailed", 200, True, CapacityError),
        ("OverconstrainedZonalAllocationRequest", 200, True, CapacityError),
        ("QuotaExceeded", 409, False, QuotaError),
        ("OperationNotAllowed", 409, False, QuotaError),
        ("AuthorizationFailed", 403, False, PermissionDenied),
        ("LinkedAuthorizationFailed", 403, False, PermissionDenied),
        ("RequestDisallowedByPolicy", 403, False, PolicyError),
        ("MissingSubscriptionRegistration", 409, False, NotRegistered),
        ("ExpiredAuthenticationToken", 401, False, CredentialsError),
        ("VMMarketplaceInvalidInput", 400, False, BadRequest),
        ("NobodyHasSeenThis", 409, False, AmbiguousError),
        ("NobodyHasSeenThis", 200, True, AmbiguousError),
        ("InternalExecutionError", 200, True, AmbiguousError),
    ],
)
def test_a_machine_that_cannot_be_made(sim, provider, spec, code, status, late, kind):
    words = "Operation could not be completed as it results in exceeding approved Cores quota."
    sim.cloud.refusals = [Refusal(code, late=late, status=status, message=words)]
    error = error_of(lambda: provider.launch(spec))
    assert type(error) is kind and "quota" in error.message
    if kind is not AmbiguousError:
        assert sim.left() == []


@pytest.mark.parametrize(
    ("code", "message", "target", "status", "kind"),
    [
        ("OperationNotAllowed", "exceeding approved quota", "", 409, QuotaError),
        ("OperationNotAllowed", "Disk is attached to a machine", "", 409, InUse),
        ("InvalidParameter", "invalid", "linuxConfiguration.ssh.publicKeys.keyData", 400, KeyRefused),
        ("InvalidParameter", "The value X provided for the VM size is not valid", "vmSize", 400, NotOffered),
        ("InvalidParameter", "something else", "diskSizeGB", 400, BadRequest),
        ("ResourceNotFound", "", "", 404, Missing),
        ("", "", "", 404, Missing),
        ("", "", "", 401, CredentialsError),
        ("", "", "", 409, InUse),
        ("", "", "", 429, ThrottledError),
        ("", "", "", 503, AmbiguousError),
        ("", "", "", 0, AmbiguousError),
    ],
)
def test_the_table(code, message, target, status, kind):
    assert meaning(code, message, target, status) is kind


def test_the_code_may_lie_deeper():
    inner = {"code": "SkuNotAvailable", "message": "not here"}
    body = {"error": {"code": "DeploymentFailed", "message": "failed", "details": [{"code": "Conflict"}, inner]}}
    assert told(body)[:2] == ("SkuNotAvailable", "not here")
    assert told({"code": "X", "message": "y"})[:2] == ("X", "y") and told("nothing") == ("", "", "")


def test_the_next_step_is_said(sim, provider, spec):
    sim.cloud.registered.discard("microsoft.compute")
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, NotRegistered) and "--namespace Microsoft.Compute`" in error.hint and sim.left() == []


def test_registering_is_never_done_silently(sim, provider, spec):
    """The library would register a missing service and wait for it; the subscription is the user's to change."""
    sim.cloud.registered.discard("microsoft.network")
    error_of(lambda: provider.launch(spec))
    assert not [call for call in sim.calls if "register" in call.lower()]


def test_a_policy_that_demands_tags(sim, provider, spec):
    sim.cloud.required_tags = {"cost-centre"}
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, PolicyError) and "cost-centre" in error.message and "--tag" in error.hint
    assert sim.left() == []
    provider.launch(make_spec(sim.clock, own_tags={"cost-centre": "7"}))


def test_nobody_may_make_a_group(sim, provider, spec):
    sim.granted = {
        "Microsoft.Resources/subscriptions/resourceGroups/read",
        "Microsoft.Resources/subscriptions/providers/read",
        "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read",
    }
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, PermissionDenied) and "resourceGroups/write" in error.message


def test_a_group_that_is_being_removed_leaves_it_open(sim, provider, spec):
    provider.launch(spec)
    sim.cloud.operation_s = 60
    sim.cloud.delete_group(GROUP)
    assert isinstance(error_of(lambda: provider.launch(spec)), AmbiguousError)


def test_throttled_before_anything_is_made(sim, provider, spec):
    sim.faults = [Fault("GET image", "throttle_forever")]
    error = error_of(lambda: provider.launch(spec))
    assert isinstance(error, ThrottledError) and error.retry_after_s == 1 and sim.left() == []


def test_throttled_in_the_middle_keeps_what_is_there(sim, provider, spec):
    sim.faults = [Fault("PUT virtualMachines", "throttle_forever")]
    assert isinstance(error_of(lambda: provider.launch(spec)), AmbiguousError)
    sim.heal()
    (machine,) = provider.launch(spec)
    assert machine.state == "running"


@pytest.mark.parametrize("kind", ["error_before", "drop_before", "drop_after", "garbage", "throttle_once"])
@pytest.mark.parametrize(
    "call", ["PUT resourceGroups", "PUT networkInterfaces", "GET operation", "PUT virtualMachines"]
)
def test_one_answer_that_is_lost_does_no_harm(sim, provider, spec, call, kind):
    sim.faults = [Fault(call, kind)]
    (machine,) = provider.launch(spec)
    assert machine.state == "running" and len(sim.left()) == 7


def test_operations_are_not_asked_after_faster_than_azure_says(sim, provider, spec):
    """A Retry-After of a second wins over our own pause."""
    sim.cloud.operation_s, sim.retry_after = 0.2, "1"
    begun = time.monotonic()
    provider.launch(replace(spec, options={"private": "yes"}))
    assert time.monotonic() - begun >= 3  # network, interface, machine
    assert sim.calls.count("GET operation") <= 8  # one at once, one after a second, each
