"""Finding: all zones in one list a kind, page by page; what did not answer is told and never counts as empty."""

from __future__ import annotations

import pytest

from gpucloud.core import errors
from gpucloud.core.tags import is_of
from tests.clouds.gcp.cloud import REGIONS
from tests.clouds.http import Fault
from tests.providers.gcp.conftest import DEPLOYMENT, HOME_ID, error_of, make_spec


def kinds(scan):
    return sorted(item.kind for item in scan.resources)


def test_everything_of_ours_and_nothing_else(sim, provider):
    provider.launch(make_spec(sim.clock, nodes=2))
    scan = provider.find(None)
    assert kinds(scan) == ["firewall", "firewall", "firewall", "machine", "machine"]
    assert all(is_of(item, DEPLOYMENT, HOME_ID) for item in scan.resources)
    assert set(scan.scanned) == set(REGIONS) and not scan.unscanned
    assert {item.region for item in scan.resources} == {"us-central1"}
    assert provider.find("other-k3v2abcd").resources == ()
    assert provider.find(DEPLOYMENT, ("us-east1",)).resources == ()
    assert provider.find(DEPLOYMENT, ("us-east1",)).scanned == ("us-east1",)


def test_a_name_that_begins_like_ours_is_another_deployment(sim, provider):
    longer = f"{DEPLOYMENT}-x-k3v2abcd"
    tags = {**make_spec(sim.clock).tags, "gpucloud-deployment": longer}
    provider.launch(make_spec(sim.clock, deployment_id=longer, token="longer", tags=tags))
    assert provider.find(DEPLOYMENT).resources == ()
    assert kinds(provider.find(longer)) == ["firewall", "firewall", "machine"]


def test_page_by_page(sim, provider):
    provider.launch(make_spec(sim.clock, nodes=5))
    sim.cloud.script.page_size = 2
    assert kinds(provider.find(None)).count("machine") == 5


def test_a_zone_that_does_not_answer_silences_its_region(sim, provider, spec):
    provider.launch(spec)
    sim.cloud.script.silent_zones = {"us-east1-c"}
    scan = provider.find(None)
    assert set(scan.scanned) == {"us-central1", "europe-west4"} and "us-east1-c" in scan.unscanned["us-east1"]
    assert "machine" in kinds(scan)


def test_a_list_that_fails_as_a_whole_silences_all(sim, provider, spec):
    provider.launch(spec)
    sim.cloud.script.silent_zones, sim.cloud.script.all_or_nothing = {"us-east1-c"}, True
    scan = provider.find(DEPLOYMENT, ("us-central1",))
    assert scan.scanned == () and "us-central1" in scan.unscanned


@pytest.mark.parametrize(
    "call", ["instances.aggregatedList", "disks.aggregatedList", "firewalls.list", "networks.list"]
)
@pytest.mark.parametrize("kind", ["throttle_forever", "garbage", "drop_before"])
def test_no_list_may_be_missing(sim, provider, spec, call, kind):
    provider.launch(spec)
    sim.faults += [Fault(call, kind, nth) for nth in range(1, 9)]
    scan = provider.find(DEPLOYMENT, ("us-central1",))
    assert scan.scanned == () and set(scan.unscanned) == {"us-central1"}


def test_without_the_list_of_regions_there_is_no_answer(sim, provider):
    sim.faults += [Fault("regions.list", "drop_before", nth) for nth in range(1, 9)]
    assert isinstance(error_of(lambda: provider.find(None)), errors.AmbiguousError)


def test_credentials_that_ended_are_said(sim, provider, spec):
    provider.launch(spec)
    sim.tokens.revoked = True
    assert isinstance(error_of(lambda: provider.find(DEPLOYMENT, ("us-central1",))), errors.CredentialsError)


def test_a_lost_disk_is_found_and_an_attached_one_is_not(sim, provider, spec):
    (machine,) = provider.launch(spec)
    sim.cloud.instance(machine.id)["disks"][0]["autoDelete"] = False
    assert "disk" not in kinds(provider.find(None))
    provider.destroy(machine)
    assert kinds(provider.find(None)) == ["disk", "firewall", "firewall"]
    for item in provider.find(None).resources:
        provider.destroy(item)
    assert sim.left() == []


def test_states(sim, provider, spec):
    provider.launch(spec)
    record = sim.cloud.instance(f"{DEPLOYMENT}-1-0")
    wanted = {
        "STAGING": "pending",
        "STOPPING": "stopping",
        "TERMINATED": "stopped",
        "REPAIRING": "pending",
        "SUSPENDED": "stopped",
    }
    for word, state in wanted.items():
        record["status"] = word
        (machine,) = [item for item in provider.find(None).resources if item.kind == "machine"]
        assert (machine.state, machine.endpoint) == (state, None)


def test_fields_of_a_foreign_labelled_thing(sim, provider, spec):
    """Labels of ours in a form we never write: shown, so that `gc` can call it foreign."""
    provider.launch(spec)
    sim.cloud.instance(f"{DEPLOYMENT}-1-0")["labels"] = {"gpucloud-deployment": "no_id"}
    (machine,) = [item for item in provider.find(None).resources if item.kind == "machine"]
    assert (machine.deployment_id, machine.attempt, machine.rank) == ("no_id", None, None)


def test_all_regions_in_time(sim, provider, spec):
    """At 50 ms a call: lists run at once, so one look is a few calls long."""
    import time

    provider.launch(spec)
    provider.find(None)
    sim.latency_s = 0.05
    begun = time.monotonic()
    provider.find(None)
    assert time.monotonic() - begun < 1.5
