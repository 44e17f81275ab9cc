"""Disk and address beside the hours of a machine."""

from dataclasses import replace

import pytest

from gpucloud.core.answers import cost_json, deployment_json
from gpucloud.core.cloud import Guard
from gpucloud.core.cost import cost_items, spent_usd
from gpucloud.core.deployments import Attempt, Deployment, Present
from gpucloud.core.extras import address_usd_per_hour, disk_usd_per_hour, most_usd_per_hour, with_extras
from gpucloud.core.guards import BACKSTOP_S
from gpucloud.core.offers import Offer
from gpucloud.core.plan import UpRequest, offer_deadline, plan_up


def row(region, kind, usd, observed_on):
    return {"cloud": "aws", "region": region, "kind": kind, "usd": usd, "observed_on": observed_on}


ROWS = [
    row("", "address", 0.005, "2024-02-08"),
    row("us-east-1", "disk", 0.073, "2026-10-16"),
    row("sa-east-1", "disk", 0.146, "2026-10-16"),
]
OFFER = Offer("aws", "g4dn.xlarge", "T4", 1, "us-east-1", usd_per_hour=0.5)
PRICED = with_extras(OFFER, ROWS)


def test_prices_of_the_region_else_the_dearest_of_the_cloud():
    assert (PRICED.disk_usd_per_gib_month, PRICED.address_usd_per_hour) == (0.073, 0.005)
    assert PRICED.extras_observed_on == "2024-02-08"
    assert with_extras(replace(OFFER, region="eu-west-1"), ROWS).disk_usd_per_gib_month == 0.146
    elsewhere = with_extras(replace(OFFER, cloud="moon"), ROWS)
    assert (elsewhere.disk_usd_per_gib_month, elsewhere.address_usd_per_hour) == (None, None)
    assert (disk_usd_per_hour(elsewhere, 4, 500), most_usd_per_hour(elsewhere, 4, 500)) == (0.0, 2.0)


def test_an_hour_of_disk_and_address():
    assert disk_usd_per_hour(PRICED, 2, 500) == pytest.approx(2 * 500 * 0.0001)
    assert disk_usd_per_hour(PRICED, 1, None) == pytest.approx(100 * 0.0001)
    assert (address_usd_per_hour(PRICED, 2), address_usd_per_hour(PRICED, 2, private=True)) == (0.01, 0.0)


def test_spot_counts_as_what_it_can_rise_to():
    spot = with_extras(replace(OFFER, market="spot", usd_per_hour=0.2), ROWS, on_demand_usd_per_hour=0.5)
    assert most_usd_per_hour(spot, 2, 500) == pytest.approx(2 * 0.5 + 0.1 + 0.01)
    assert most_usd_per_hour(replace(spot, usd_per_hour=None), 2) is None


def test_a_budget_ends_before_disk_and_address_have_eaten_it():
    spot = with_extras(replace(OFFER, market="spot", usd_per_hour=0.2), ROWS, on_demand_usd_per_hour=0.5)
    request = UpRequest("t", (spot,), nodes=2, disk_gib=500, max_s=None, budget_usd=1.11)
    assert offer_deadline(request, spot, 1000.0) == pytest.approx(1000.0 + 3600)
    cheaper = replace(request, options={"private": "yes"})
    assert offer_deadline(cheaper, spot, 1000.0) == pytest.approx(1000.0 + 3600 * 1.11 / 1.10)


def test_the_worst_case_goes_to_the_backstop_with_everything_in_it():
    request = UpRequest("t", (PRICED,), max_s=3600.0)
    backstop = (Guard("provider", "delete", 3600.0 + BACKSTOP_S),)
    planned = plan_up(Present(), request, "j", 0.0, backstop)
    assert planned.worst_case_usd == pytest.approx(25 * (0.5 + 0.01 + 0.005))


def deployment(pauses=(), ended=None):
    launch = {"disk_gib": 1000, "options": {}}
    attempt = Attempt(1, "t", "acc", "me", PRICED, 1, opened_at=0.0, sent_at=0.0, outcome="made", launch=launch)
    return Deployment("t-bcdefgh2", "t", 0.0, attempts=(attempt,), pauses=pauses, billing_ended=ended, phase="stopped")


def test_a_stopped_machine_pays_for_its_disk_only():
    stopped = deployment(pauses=((3600.0, None),))
    now = 10 * 3600.0
    assert spent_usd(stopped, now) == pytest.approx(0.5 + 0.005 + 10 * 0.1)
    lines = {(item.kind, round(item.hours, 6), round(item.usd_per_hour, 6)) for item in cost_items(stopped, now)}
    assert lines == {("idle", 1.0, 0.5), ("disk", 10.0, 0.1), ("address", 1.0, 0.005)}
    assert deployment_json(stopped, now)["stopped_usd_per_hour"] == pytest.approx(0.1)


def test_the_lines_add_up_and_end_with_the_deployment():
    gone = deployment(pauses=((3600.0, 7200.0),), ended=3 * 3600.0)
    assert cost_json(cost_items(gone, 1e6))["total_usd"] == pytest.approx(spent_usd(gone, 1e6))
    assert spent_usd(gone, 1e6) == pytest.approx(2 * (0.5 + 0.005) + 3 * 0.1)
    assert deployment_json(gone, 1e6)["stopped_usd_per_hour"] is None


def test_only_what_was_after_since():
    late = cost_items(deployment(pauses=((3600.0, None),)), 10 * 3600.0, since=8 * 3600.0)
    assert [(item.kind, item.hours) for item in late] == [("disk", 2.0)]
