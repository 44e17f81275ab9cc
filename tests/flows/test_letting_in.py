"""A machine that does not answer because this computer's address has changed."""

from dataclasses import replace

import pytest

from gpucloud.core.errors import Unreachable, WaitTimeout
from gpucloud.core.letting_in import open_to, shut_out
from gpucloud.flows import changes


@pytest.fixture
def moving(stage):
    """A stage whose computer can move: `stage.address` is where it is."""
    stage.reachable()
    stage.address = "198.51.100.4/32"
    stage.ctx = replace(stage.ctx, own_address=lambda: stage.address)
    return stage


@pytest.mark.parametrize(
    ("address", "networks", "out"),
    [
        ("198.51.100.4/32", ["198.51.100.4/32"], False),
        ("198.51.100.4/32", ["198.51.100.0/24"], False),
        ("198.51.100.4/32", ["203.0.113.0/24", "0.0.0.0/0"], False),
        ("198.51.100.4/32", ["203.0.113.7/32"], True),
        ("2001:db8::1/128", ["203.0.113.7/32"], False),
        ("198.51.100.4/32", ["auto"], False),
        ("198.51.100.4/32", [], False),
    ],
)
def test_who_is_shut_out(address, networks, out):
    assert shut_out(address, networks) is out


def test_a_time_out_from_a_new_address_offers_allow(moving):
    moving.readiness.refusals = 10_000
    with pytest.raises(WaitTimeout) as caught:
        moving.up(ready_timeout_s=30, ssh_from=("203.0.113.7/32",))
    assert caught.value.hint == (
        "Your address is 198.51.100.4/32 now, and SSH is open to 203.0.113.7/32: `gpucloud allow train`."
    )


@pytest.mark.parametrize("networks", [("198.51.100.0/24",), ()])
def test_from_the_old_address_it_is_something_else(moving, networks):
    moving.readiness.refusals = 10_000
    with pytest.raises(WaitTimeout) as caught:
        moving.up(ready_timeout_s=30, ssh_from=networks)
    assert "--timeout" in caught.value.hint


def test_an_address_that_cannot_be_found_out_is_no_second_error(moving):
    def unknown():
        raise Unreachable("nobody answers")

    moving.ctx = replace(moving.ctx, own_address=unknown)
    moving.readiness.refusals = 10_000
    with pytest.raises(WaitTimeout, match="not ready in time"):
        moving.up(ready_timeout_s=30, ssh_from=("203.0.113.7/32",))


def test_what_allow_said_counts(moving):
    assert open_to(moving.up(ssh_from=("203.0.113.7/32",))) == ("203.0.113.7/32",)
    after = changes.allow(moving.ctx, changes.plan_allow(moving.ctx, "train", ["198.51.100.4/32"]))
    assert open_to(after) == ("198.51.100.4/32",)
