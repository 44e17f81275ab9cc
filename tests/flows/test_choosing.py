"""Which offers are tried, and in which order: quotas, zones that had no capacity, places, doubt that ends."""

import threading
import time
from dataclasses import replace

import pytest

from gpucloud.core.errors import (
    AmbiguousError,
    BootstrapError,
    CapacityError,
    CloudError,
    PolicyError,
    QuotaError,
    UsageError,
)
from gpucloud.flows.ahead import Ahead
from gpucloud.providers.fake.cloud import FakeProvider


def outcomes(deployment):
    return [(line["zone"], line["outcome"]) for line in deployment.tried]


def launches(stage):
    return [call[1] for call in stage.store.cloud["calls"] if call[0] == "launch"]


# ---- quotas


def test_a_region_without_quota_is_skipped_and_said_with_the_numbers(stage):
    stage.script({"verb": "quotas", "region": "fake-east", "fault": "zero", "times": 0})
    deployment = stage.up(offers=stage.offers("fk.t4"))
    assert outcomes(deployment) == [("fake-east-a", "quota"), ("fake-east-b", "quota"), ("fake-west-a", "ready")]
    assert deployment.tried[0]["message"] == "The quota T4 of fake-east is 0, 0 in use; this takes 1."
    assert launches(stage) == ["fake-west"]


def test_no_quota_anywhere_is_exit_5_with_the_sentence(stage):
    stage.script({"verb": "quotas", "fault": "zero", "times": 0})
    with pytest.raises(QuotaError) as caught:
        stage.up(offers=stage.offers("fk.t4"))
    assert (caught.value.exit_code, stage.calls("launch")) == (5, 0)
    assert "The quota T4 of fake-north is 0, 0 in use; this takes 1" in caught.value.message
    assert "gpucloud check" in caught.value.hint
    assert {line["outcome"] for line in caught.value.details["attempts"]} == {"quota"}
    assert stage.present.live == ()


def test_what_is_used_counts_and_so_do_the_nodes(stage):
    stage.up("one", offers=stage.offers("fk.8xa100")[:1])
    deployment = stage.up("two", offers=stage.offers("fk.a100"), nodes=2)
    assert [line["outcome"] for line in deployment.tried] == ["quota", "quota", "ready"]
    assert deployment.current.region == "fake-west"


@pytest.mark.parametrize("fault", ["permission", "throttle", "lost_before"])
def test_a_cloud_that_does_not_tell_blocks_nothing(stage, fault):
    stage.script({"verb": "quotas", "fault": fault, "times": 0})
    assert outcomes(stage.up(offers=stage.offers("fk.t4"))) == [("fake-east-a", "ready")]


def test_one_call_a_region_and_only_of_the_offers(stage):
    stage.up(offers=tuple(o for o in stage.offers("fk.t4") if o.region != "fake-north"))
    asked = [call[1] for call in stage.store.cloud["calls"] if call[0] == "quotas"]
    assert sorted(asked) == ["fake-east", "fake-west"]


def test_quotas_that_take_too_long_are_not_waited_for(stage):
    release = threading.Event()
    stage.provider.quotas = lambda regions=(): release.wait(20)
    stage.waits = replace(stage.waits, quotas=0.1)
    stage.context()
    begun = time.monotonic()
    assert stage.up(offers=stage.offers("fk.t4")).state == "ready"
    release.set()
    assert time.monotonic() - begun < 5


def test_what_was_asked_while_the_plan_was_on_screen_is_not_asked_again(stage):
    from gpucloud.flows import up

    request = stage.request(offers=stage.offers("fk.t4"))
    warmed = []
    stage.provider.warm = lambda: warmed.append(threading.current_thread() is threading.main_thread())
    planned = up.plan(stage.ctx, request)
    ahead = Ahead(stage.ctx, planned.order)
    assert set(ahead.quotas()) == {"fake"}
    assert up.up(stage.ctx, planned, ahead).deployment.state == "ready"
    assert (stage.calls("quotas"), stage.calls("identity"), warmed) == (3, 1, [False])


# ---- zones that had no capacity


def test_a_zone_that_just_had_no_capacity_is_left_for_last_by_the_next_deployment(stage):
    stage.script({"verb": "launch", "zone": "fake-east-a", "fault": "capacity", "times": 1})
    stage.up("one", offers=stage.offers("fk.t4"))
    stage.clock.sleep(180)
    deployment = stage.up("two", offers=stage.offers("fk.t4"))
    assert outcomes(deployment) == [("fake-east-a", "capacity"), ("fake-east-b", "ready")]
    assert deployment.tried[0]["message"].startswith("There was no capacity 3m")
    stage.clock.sleep(600)
    assert outcomes(stage.up("three", offers=stage.offers("fk.t4"))) == [("fake-east-a", "ready")]


def test_it_is_tried_when_nothing_else_is_left(stage):
    stage.script({"verb": "launch", "zone": "fake-east-a", "fault": "capacity", "times": 1})
    stage.up("one", offers=stage.offers("fk.t4")[:2])
    stage.script({"verb": "launch", "zone": "fake-east-b", "fault": "capacity", "times": 2})  # one is used up
    deployment = stage.up("two", offers=stage.offers("fk.t4")[:2])
    assert outcomes(deployment) == [("fake-east-a", "capacity"), ("fake-east-b", "capacity"), ("fake-east-a", "ready")]


def test_another_type_or_market_there_is_not_meant(stage):
    stage.script({"verb": "launch", "zone": "fake-east-a", "fault": "capacity", "times": 1})
    stage.up("one", offers=stage.offers("fk.t4"))
    assert outcomes(stage.up("two", offers=stage.offers("fk.a100")))[0] == ("fake-east-a", "ready")
    assert outcomes(stage.up("three", offers=stage.offers("fk.t4", "spot")))[0] == ("fake-east-a", "ready")


def test_rounds_of_waiting_keep_the_order_and_say_it_once(stage):
    stage.script({"verb": "launch", "fault": "capacity", "times": 4})
    deployment = stage.up(offers=stage.offers("fk.t4")[:2], wait_capacity_s=600)
    assert [zone[-1] for zone, _ in outcomes(deployment)] == ["a", "b", "a", "b", "a"]
    assert any("next round" in sentence for sentence in stage.said)


# ---- offers that have zones behind them


class Zoned(FakeProvider):
    """Offers of regions; requests are for zones."""

    def places(self, offer, options):
        if offer.zone:
            return (offer,)
        if options.get("subnet") == "nowhere":
            raise PolicyError("The subnet is not there.", "Name another --subnet.")
        return tuple(replace(offer, zone=f"{offer.region}-{letter}") for letter in "ba")


@pytest.fixture
def zoned(stage):
    stage.provider = Zoned(stage.store, clock=stage.clock, sleep=stage.clock.sleep)
    stage.context()
    return stage


def test_an_offer_of_a_region_is_tried_in_each_of_its_zones(zoned):
    zoned.script({"verb": "launch", "zone": "fake-east-b", "fault": "capacity", "times": 1})
    region = replace(zoned.offers("fk.t4")[0], zone="")
    deployment = zoned.up(offers=(region,))
    assert outcomes(deployment) == [("fake-east-b", "capacity"), ("fake-east-a", "ready")]
    assert len({attempt.token for attempt in deployment.attempts}) == 2


def test_zones_that_cannot_be_named_are_a_skipped_attempt(zoned):
    region = replace(zoned.offers("fk.t4")[0], zone="")
    with pytest.raises(CloudError) as caught:
        zoned.up(offers=(region,), options={"subnet": "nowhere"})
    assert "The subnet is not there" in caught.value.message
    assert caught.value.hint == "Name another --subnet."
    assert zoned.calls("launch") == 0


# ---- lost answers


def test_a_request_that_is_settled_within_the_wait_goes_on_with_the_next_offer(stage):
    stage.script({"verb": "launch", "zone": "fake-east-a", "fault": "lost_before", "times": 0})
    deployment = stage.up(offers=stage.offers("fk.t4"), wait_capacity_s=3600)
    assert outcomes(deployment) == [("fake-east-a", "ambiguous"), ("fake-east-b", "ready")]
    assert deployment.attempts[0].outcome == "settled"
    assert len(stage.machines) == 1
    assert any("looking until it is certain" in sentence for sentence in stage.said)


def test_without_enough_wait_it_ends_as_settling(stage):
    stage.script({"verb": "launch", "zone": "fake-east-a", "fault": "lost_before", "times": 0})
    with pytest.raises(AmbiguousError) as caught:
        stage.up(offers=stage.offers("fk.t4"), wait_capacity_s=600)
    assert (caught.value.exit_code, stage.present.named("train").state) == (6, "settling")


def test_machines_that_turn_up_meanwhile_are_taken(stage):
    stage.script({"verb": "launch", "fault": "late", "times": 1, "seconds": 500})
    launch, sent = stage.provider.launch, []

    def first_only(spec):
        sent.append(spec.token)
        if len(sent) == 1:
            return launch(spec)
        raise AmbiguousError("The connection was lost.")

    stage.provider.launch = first_only
    deployment = stage.up(offers=stage.offers("fk.t4"), wait_capacity_s=3600)
    assert (deployment.state, len(stage.machines), len(deployment.attempts)) == ("ready", 1, 1)


def test_parts_without_a_machine_stay_in_doubt(stage):
    stage.script({"verb": "launch", "fault": "half", "times": 0})
    with pytest.raises(AmbiguousError):
        stage.up(offers=stage.offers("fk.t4"), wait_capacity_s=24 * 3600)
    assert stage.present.named("train").state == "settling"


# ---- machines that are not as ordered, and requests that never were


def test_an_image_without_driver_is_removed_and_given_up_for_that_cloud_after_two(stage):
    stage.reachable()
    stage.readiness.shown = ()
    with pytest.raises(BootstrapError) as caught:
        stage.up(offers=stage.offers("fk.t4"))
    assert [line["outcome"] for line in caught.value.details["attempts"]] == ["bootstrap", "bootstrap"]
    assert "shows 0 GPUs instead of 1" in caught.value.message
    assert stage.things == {}


def test_an_error_before_anything_was_sent_leaves_the_name_free(stage):
    def no_library():
        raise UsageError("The cloud needs a library.", 'pip install "gpucloud[aws]"')

    stage.provider.identity = no_library
    with pytest.raises(UsageError) as caught:
        stage.up()
    assert caught.value.exit_code == 2
    assert stage.present.live == ()


class Elsewhere(FakeProvider):
    """Another cloud, whose library is not installed."""

    name = "elsewhere"

    def identity(self):
        raise UsageError("The library for elsewhere is not installed.", 'pip install "gpucloud[elsewhere]"')


def test_a_cloud_whose_library_is_missing_is_skipped_where_there_are_others(stage):
    stage.ctx.clouds._opened["elsewhere"] = Elsewhere(stage.store)
    here, there = stage.offers("fk.t4"), tuple(replace(o, cloud="elsewhere") for o in stage.offers("fk.t4"))
    deployment = stage.up(offers=(*there, *here))
    assert [(line["cloud"], line["outcome"]) for line in deployment.tried] == [
        ("elsewhere", "usage"),
        ("fake", "ready"),
    ]
    stage.script({"verb": "launch", "fault": "capacity", "times": 0})
    with pytest.raises(CapacityError):
        stage.up("second", offers=(*there, *here))
