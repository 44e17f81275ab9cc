"""From the catalog's words to the cloud's: every row that can be provisioned has a shape that the simulator takes."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from gpucloud.catalog.catalog import open_catalog
from gpucloud.core import errors
from gpucloud.core.query import OfferQuery
from gpucloud.providers.gcp.shapes import ALL_REGIONS, METRICS, instance_type_of, quota_needs, shape_of
from tests.clouds.gcp.schema import document
from tests.providers.gcp.conftest import T4, make_spec

CATALOGS = Path(__file__).parents[3] / "catalogs"


@pytest.fixture(scope="module")
def offers(tmp_path_factory):
    query = OfferQuery(clouds=("gcp",), all_regions=True, provisionable_only=True, market="any")
    with open_catalog(tmp_path_factory.mktemp("overlay"), tmp_path_factory.mktemp("cache")) as catalog:
        found = {offer.instance_type: offer for offer in catalog.offers(query)}
    return [offer for offer in found.values() if not offer.accelerator.startswith("TPU")]


def test_every_offer_has_a_shape(offers):
    assert len(offers) > 40
    for offer in offers:
        shape = shape_of(offer)
        assert shape.has_gpu and "+" not in shape.machine_type
        accelerators = {shape.accelerator: shape.accelerator_count} if shape.accelerator else {}
        assert instance_type_of(shape.machine_type, accelerators) == offer.instance_type
        assert bool(shape.accelerator) == shape.machine_type.startswith("n1-")
        if shape.accelerator:
            assert shape.accelerator_count == offer.accelerator_count


def test_every_shape_can_be_launched(sim, provider, offers):
    """A handful of families, through the library and the discovery document."""
    families = {offer.instance_type.partition("-")[0]: offer for offer in offers}
    assert {"n1", "a2", "a3", "a4", "g2", "g4"} <= set(families)
    for number, offer in enumerate(families.values(), start=1):
        offer = replace(offer, region="us-central1", zone="us-central1-a")
        provider.launch(make_spec(sim.clock, offer=offer, attempt=number, token=f"t{number}"))
    disks = {item["type"].rpartition("/")[2] for item in sim.cloud.all_of("disks")}
    assert disks == {"pd-balanced", "hyperdisk-balanced"}


def test_tpus_say_why(provider):
    with open(CATALOGS / "instance_types.csv", newline="") as file:  # noqa: PTH123
        rows = [row for row in csv.DictReader(file) if row["cloud"] == "gcp" and row["accelerator"].startswith("TPU")]
    assert rows
    for row in rows:
        offer = replace(T4, instance_type=row["instance_type"], accelerator=row["accelerator"])
        with pytest.raises(errors.NotOffered, match="TPU"):
            shape_of(offer)
        assert quota_needs(offer) == {}
        with pytest.raises(errors.NotOffered, match="TPU"):
            provider.places(offer, {})


def test_a_card_that_n1_never_had():
    with pytest.raises(errors.NotOffered):
        shape_of(replace(T4, instance_type="n1-standard-8+H100:1"))


def test_quota_metrics_are_the_clouds_own(offers):
    known = set(document()["schemas"]["Quota"]["properties"]["metric"]["enum"])
    needs = {
        name
        for offer in offers
        for market in ("spot", "on-demand")
        for name in quota_needs(replace(offer, market=market))
    }
    assert needs <= known and set(METRICS.values()) <= known
    assert quota_needs(T4) == {"NVIDIA_T4_GPUS": 1, ALL_REGIONS: 1}
    assert quota_needs(replace(T4, market="spot")) == {"PREEMPTIBLE_NVIDIA_T4_GPUS": 1, ALL_REGIONS: 1}


def test_quotas_as_the_cloud_tells_them(sim, provider, spec):
    sim.cloud.script.limits["us-central1", "NVIDIA_T4_GPUS"] = 4
    provider.launch(spec)
    told = {(item.region, item.name): item for item in provider.quotas()}
    assert (told["us-central1", "NVIDIA_T4_GPUS"].limit, told["us-central1", "NVIDIA_T4_GPUS"].used) == (4, 1)
    assert told["global", ALL_REGIONS].used == 1 and not any("CPU" in name for _, name in told)
    assert {item.region for item in provider.quotas(("us-east1",))} == {"global", "us-east1"}


def test_a_price_for_a_region_is_asked_for_in_its_zones(sim, provider):
    wide = replace(T4, instance_type="g4-standard-48", accelerator="RTXPRO6000-SERVER-96GB", zone="")
    sim.cloud.script.unsold = {("us-central1-c", "g4-standard-48")}
    zones = [offer.zone for offer in provider.places(wide, {})]
    assert zones == ["us-central1-a", "us-central1-b", "us-central1-f"]
    assert provider.places(T4, {}) == (T4,)
    with pytest.raises(errors.NotOffered):
        provider.places(replace(wide, region=""), {})
    with pytest.raises(errors.NotOffered):
        provider.places(replace(wide, region="asia-east1"), {})
    with pytest.raises(errors.NotOffered):
        provider.launch(make_spec(sim.clock, offer=wide))


def test_the_plan_tells_what_will_be_used(provider, sim):
    told = provider.outline(make_spec(sim.clock, nodes=2))
    assert told.ssh_user == "ubuntu" and "common-cu" in told.image
    assert ("firewall", "gpucloud-train-k3v2abcd-mesh") in told.resources
    assert [kind for kind, _ in told.resources].count("machine") == 2
    group = provider.outline(make_spec(sim.clock, options={"security-group": "in", "identity": "me@p"}))
    assert not any(kind == "firewall" for kind, _ in group.resources)
    assert any("me@p" in note for note in group.notes) and any("tag in" in note for note in group.notes)
    tpu = provider.outline(make_spec(sim.clock, offer=replace(T4, instance_type="tpu-v5e-8", accelerator="TPU-v5e")))
    assert "TPU" in tpu.notes[0] and tpu.resources == ()


def test_what_is_outlined_is_what_is_made(sim, provider):
    spec = make_spec(sim.clock, nodes=2)
    told = {(kind, name) for kind, name in provider.outline(spec).resources}
    provider.launch(spec)
    words = {"instance": "machine", "firewall": "firewall", "disk": "disk", "network": "network"}
    made = {(words[line.split()[0]], line.split()[1]) for line in sim.left()}
    assert told == made


def test_guards_by_kind(provider, sim):
    spec = make_spec(sim.clock)
    kinds = {guard.kind: guard for guard in provider.guards(spec)}
    assert set(kinds) == {"in_machine_deadline", "provider", "in_machine_idle"}
    assert kinds["provider"].action == "delete" and "machine hung" in kinds["provider"].survives
    deleted = {guard.kind: guard for guard in provider.guards(replace(spec, at_end="delete"))}
    assert deleted["provider"].ends_epoch_s == pytest.approx(spec.deadline_epoch_s, abs=1)
    assert deleted["in_machine_deadline"].ends_epoch_s > spec.deadline_epoch_s, "or the disk would stay and bill"
    without = {guard.kind for guard in provider.guards(replace(spec, options={"no-guard": "yes"}))}
    assert without == {"in_machine_deadline", "in_machine_idle"}
    assert provider.guards(replace(spec, deadline_epoch_s=None, idle_s=None)) == []
