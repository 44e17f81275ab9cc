"""Names, tags, guards, failover, verdicts and the fold, as pure functions."""

from dataclasses import replace
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucloud.core import guards, names, tags
from gpucloud.core.cloud import Guard, Resource
from gpucloud.core.deployments import Attempt, Deployment, SettlingRule
from gpucloud.core.errors import UsageError
from gpucloud.core.events import Event
from gpucloud.core.extras import most_usd_per_hour
from gpucloud.core.failover import RuledOut, goes_on, nothing_started
from gpucloud.core.fold import CHANGES, fold
from gpucloud.core.offers import Offer
from gpucloud.core.records import guard_from, guard_record, offer_from, offer_record, resource_from, resource_record
from gpucloud.core.verdicts import judge

OFFER = Offer("aws", "p4d", "A100-SXM-40GB", 8, "us-east-1", "us-east-1a", usd_per_hour=32.0, flags=("x",))
NOW = 1_700_000_000.0

deployment_names = st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True)


@given(deployment_names, st.binary(min_size=5, max_size=5), st.integers(1, 999))
def test_ids_and_tokens_are_legal_everywhere(name, random, attempt):
    identifier = names.deployment_id(name, random)
    assert names.is_deployment_id(identifier)
    assert names.name_of(identifier) == name
    assert len(names.attempt_token(identifier, attempt, OFFER)) <= 64
    assert len(names.node_name(identifier, attempt, 127)) <= 63


def test_a_token_holds_zone_shape_and_market():
    base = names.attempt_token("a-bcdefgh2", 1, OFFER)
    for change in ({"zone": "us-east-1b"}, {"instance_type": "p5"}, {"market": "spot"}, {"region": "us-west-2"}):
        assert names.attempt_token("a-bcdefgh2", 1, replace(OFFER, **change)) != base
    assert names.attempt_token("a-bcdefgh2", 2, OFFER) != base
    assert names.attempt_token("a-bcdefgh2", 1, OFFER) == base


@pytest.mark.parametrize("text", ["", "A", "1a", "a_b", "a" * 32, "a/b", "ä"])
def test_bad_names(text):
    with pytest.raises(UsageError):
        names.check_name(text)


@pytest.mark.parametrize(("text", "parsed"), [("train/3", ("train", 3)), ("train", ("train", None))])
def test_run_ids(text, parsed):
    assert names.parse_run(text) == parsed


@pytest.mark.parametrize("text", ["train/0", "train/", "/1", "train/x", "Train/1"])
def test_bad_run_ids(text):
    with pytest.raises(UsageError):
        names.parse_run(text)


# ---- tags


def tagged(**changes):
    own = tags.tags_for("train-bcdefgh2", "home2345", "owner234", NOW + 3600)
    return Resource("aws", "1", "r", "machine", "i-1", tags={**own, **changes})


def test_tag_values_are_legal_label_values():
    made = tags.tags_for("train-bcdefgh2", "home2345", "owner234", 1_700_000_000.6)
    assert made["gpucloud-deadline"] == "1700000001"
    assert all(set(value) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for value in made.values())


def test_a_users_tag_may_not_take_ours():
    with pytest.raises(UsageError):
        tags.tags_for("train-bcdefgh2", "h", "o", None, {"gpucloud-home": "x"})


@pytest.mark.parametrize(
    ("resource", "live", "now", "word"),
    [
        (tagged(), {"train-bcdefgh2": None}, NOW, ""),
        (tagged(), {}, NOW, "mine_lost"),
        (tagged(**{"gpucloud-home": "other"}), {}, NOW, "other_home"),
        (tagged(**{"gpucloud-home": "other"}), {"train-bcdefgh2": None}, NOW, "other_home"),
        (tagged(**{"gpucloud-home": "other"}), {}, NOW + 7201, "expired"),
        (tagged(), {"train-bcdefgh2": NOW + 86400}, NOW + 7201, ""),
        (tagged(), {"train-bcdefgh2": NOW + 3600}, NOW + 7201, "expired"),
        (tagged(**{"gpucloud-owner": "somebody"}), {}, NOW, "foreign"),
        (tagged(**{"gpucloud-deployment": "x"}), {}, NOW, "foreign"),
        (tagged(**{"gpucloud-home": ""}), {}, NOW, "foreign"),
        (tagged(**{"gpucloud-home": "UPPER_case"}), {}, NOW, "foreign"),
    ],
)
def test_whose_is_it(resource, live, now, word):
    assert tags.classify(resource, "home2345", "owner234", live, now) == word


def test_nothing_foreign_is_ever_collectable():
    thing = tagged(**{"gpucloud-deployment": "x"})
    assert not tags.collectable("foreign", thing, NOW, {"i-1", "x"}, all_homes=True)


# ---- guards


def test_budget_and_time_whichever_is_first():
    assert guards.deadline_epoch_s(0, 7200, 10.0, 10.0) == 3600
    assert guards.deadline_epoch_s(0, 1800, 10.0, 10.0) == 1800
    assert guards.deadline_epoch_s(0, 0, None, 10.0) is None
    assert guards.deadline_epoch_s(0, 0, 5.0, 10.0) == 1800
    assert guards.deadline_epoch_s(0, 7200, 5.0, 0.0) == 7200
    with pytest.raises(UsageError):
        guards.deadline_epoch_s(0, 7200, 5.0, None)


def test_worst_case_is_until_the_last_guard():
    deadline = NOW + 3600
    inside = (Guard("in_machine_deadline", "stop", deadline),)
    backstop = (*inside, Guard("provider", "delete", deadline + 86400))
    assert guards.worst_case_usd(most_usd_per_hour(OFFER, 2), NOW, deadline, inside) == pytest.approx(64.0)
    assert guards.worst_case_usd(most_usd_per_hour(OFFER, 2), NOW, deadline, backstop) == pytest.approx(64.0 * 25)
    assert guards.worst_case_usd(most_usd_per_hour(OFFER, 1), NOW, None, ()) is None
    assert guards.worst_case_usd(0.0, NOW, None, ()) == 0


def test_first_line():
    now = datetime(2026, 11, 24, 20, 0, tzinfo=timezone.utc)
    at = now.replace
    assert guards.first_line(now, at(day=25, hour=14, minute=5), "t") == "ends 14:05 tomorrow, whatever is running"
    assert guards.first_line(now, at(hour=23), "t").startswith("ends 23:00 today,")
    assert guards.first_line(now, at(day=30), "t").startswith("ends 20:00 on 2026-11-30,")
    assert "gpucloud down t" in guards.first_line(now, None, "t")


# ---- failover


def test_what_an_error_rules_out():
    other_zone, other_region = replace(OFFER, zone="us-east-1b"), replace(OFFER, region="us-west-2")
    other_cloud = replace(OFFER, cloud="gcp")
    spot = replace(OFFER, market="spot")
    assert not RuledOut().after("capacity", OFFER).covers(OFFER)
    quota = RuledOut().after("quota", OFFER)
    assert (quota.covers(other_zone), quota.covers(spot), quota.covers(other_region)) == (True, False, False)
    credentials = RuledOut().after("credentials", OFFER)
    assert (credentials.covers(other_region), credentials.covers(other_cloud)) == (True, False)
    assert not goes_on("bad_request")
    assert not goes_on("ambiguous")


@pytest.mark.parametrize(
    ("codes", "exit_code"),
    [(["capacity", "credentials"], 5), (["quota"], 5), (["credentials"], 4), (["permission"], 4), (["policy"], 6)],
)
def test_the_exit_code_when_nothing_started(codes, exit_code):
    tried = [{"outcome": code, "message": "why"} for code in codes]
    error = nothing_started(tried)
    assert error.exit_code == exit_code
    assert error.details["attempts"] == tried


# ---- settling


def attempt(**changes):
    return Attempt(1, "t", "acc", "me", OFFER, 1, opened_at=NOW, sent_at=NOW, **changes)


@pytest.mark.parametrize(
    ("looks", "settled"),
    [
        ((), False),
        ((NOW + 900,), False),
        ((NOW + 870, NOW + 900), False),
        ((NOW + 10, NOW + 899), False),
        ((NOW + 10, NOW + 900), True),
        ((NOW + 840, NOW + 900), True),
    ],
)
def test_two_empty_looks_a_minute_apart_the_last_after_a_quarter_of_an_hour(looks, settled):
    assert attempt(empty_looks=looks).settled_by(SettlingRule()) is settled


@given(st.lists(st.floats(0, 3000), max_size=4).map(sorted), st.floats(0, 3000))
def test_a_look_at_the_conclusive_time_settles(looks, now):
    one = attempt(empty_looks=tuple(NOW + at for at in looks))
    when = max(one.conclusive_at(SettlingRule(), NOW + now), NOW + now)
    seen = replace(one, empty_looks=(*(one.empty_looks or (NOW + now,)), when))
    assert seen.settled_by(SettlingRule())


# ---- verdicts


def ready(phase="ready", market="on-demand", deadline=NOW + 3600, **launch):
    node = Resource("aws", "acc", "us-east-1", "machine", "i-1", rank=0)
    one = attempt(outcome="made", resources=(node,), states={"i-1": "running"}, launch=launch)
    one = replace(one, offer=replace(OFFER, market=market))
    return Deployment("t-bcdefgh2", "t", NOW, phase=phase, attempts=(one,), deadline_at=deadline)


@pytest.mark.parametrize(
    ("deployment", "states", "now", "phase"),
    [
        (ready(), {"i-1": "running"}, NOW, ""),
        (ready(), {"i-1": "stopped"}, NOW, "ended_by_guard"),
        (ready("stopping"), {"i-1": "stopped"}, NOW, "stopped"),
        (ready("stopped"), {"i-1": "stopped"}, NOW, ""),
        (ready("stopped"), {"i-1": "running"}, NOW, "ready"),
        (ready(), {}, NOW, "lost"),
        (ready(), {}, NOW + 3600, "ended_by_guard"),
        (ready(idle_s=60, at_end="delete"), {}, NOW, "ended_by_guard"),
        (ready(market="spot"), {}, NOW, "preempted"),
        (ready(), {"i-1": "preempted"}, NOW, "preempted"),
        (ready("destroying"), {}, NOW, ""),
    ],
)
def test_what_the_clouds_answer_means(deployment, states, now, phase):
    assert judge(deployment, deployment.current, states, now).phase == phase


# ---- records and the fold


def test_records_come_back_the_same():
    resource = tagged()
    guard = Guard("provider", "delete", 5.0, ("client killed",))
    assert offer_from(offer_record(OFFER)) == OFFER
    assert resource_from(resource_record(resource)) == resource
    assert guard_from(guard_record(guard)) == guard
    assert offer_from({**offer_record(OFFER), "of_a_newer_version": 1}) == OFFER


def test_every_kind_that_is_documented_is_folded():
    from gpucloud.core import events

    words = set(events.__doc__.replace("/", " ").split())
    assert set(CHANGES) - {"extend_requested", "allow_requested"} <= words


def test_unknown_kinds_of_a_newer_version_change_nothing():
    created = Event(1, NOW, "deployment_created", "t-bcdefgh2", {"name": "t"})
    present = fold([created, Event(2, NOW, "of_a_newer_version", "t-bcdefgh2", {})])
    assert present.deployments["t-bcdefgh2"].phase == "planned"
    assert present.last_seq == 2
