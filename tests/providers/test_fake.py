"""The fake cloud keeps the promises that the flows rely on at the real ones."""

import json

import pytest

from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.errors import AmbiguousError, BadRequest, CapacityError, CredentialsError, UsageError
from gpucloud.core.tags import tags_for
from gpucloud.providers.fake import open_provider
from gpucloud.providers.fake.cloud import FakeProvider
from gpucloud.providers.fake.script import load_script, rule_from
from gpucloud.providers.fake.store import FileStore, MemoryStore
from gpucloud.providers.site import Site

ID = "train-bcdefgh2"


def spec(cloud, token="t1", nodes=2, offer=None):
    made = tags_for(ID, "home2345", "owner", None)
    return LaunchSpec(ID, "train", 1, token, offer or cloud.offers()[0], nodes, made, "ssh-ed25519 AAAA")


def machines(cloud):
    return [item for item in cloud.find(ID).resources if item.kind == "machine"]


@pytest.fixture
def cloud():
    return FakeProvider(MemoryStore())


def test_the_same_token_gives_the_same_machines(cloud):
    first, again = cloud.launch(spec(cloud)), cloud.launch(spec(cloud))
    assert [m.id for m in again if m.kind == "machine"] == [m.id for m in first if m.kind == "machine"]
    assert len(machines(cloud)) == 2
    cloud.launch(spec(cloud, "t2"))
    assert len(machines(cloud)) == 4


def test_a_token_of_a_dead_machine_makes_no_second_one(cloud):
    for machine in cloud.launch(spec(cloud)):
        if machine.kind == "machine":
            cloud.destroy(machine)
    with pytest.raises(CapacityError, match="made and is gone"):
        cloud.launch(spec(cloud))


def test_destroying_twice_is_success(cloud):
    made = [m for m in cloud.launch(spec(cloud)) if m.kind == "machine"]
    for machine in made * 2:
        cloud.destroy(machine)
    assert machines(cloud) == []


def test_a_firewall_in_use_cannot_go(cloud):
    made = cloud.launch(spec(cloud))
    firewall = next(item for item in made if item.kind == "firewall")
    with pytest.raises(BadRequest, match="in use"):
        cloud.destroy(firewall)


def test_every_region_is_named_in_a_scan(cloud):
    scan = cloud.find(None)
    assert scan.scanned == ("fake-east", "fake-west", "fake-north")
    cloud.script = (rule_from({"verb": "find", "region": "fake-west", "fault": "unscanned"}),)
    scan = cloud.find(None)
    assert (scan.scanned, list(scan.unscanned)) == (("fake-east", "fake-north"), ["fake-west"])


def test_lost_after_took_effect_and_lost_before_did_not(cloud):
    for fault, count in (("lost_before", 0), ("lost_after", 2)):
        cloud.script = (rule_from({"verb": "launch", "fault": fault, "times": 0}),)
        with pytest.raises(AmbiguousError):
            cloud.launch(spec(cloud))
        assert len(machines(cloud)) == count


def test_calls_are_recorded_with_their_subject(cloud):
    cloud.launch(spec(cloud))
    cloud.find(ID, ("fake-east",))
    assert cloud._store.cloud["calls"] == [["launch", "fake-east", "t1"], ["find", "fake-east", ID]]


def test_separate_processes_see_one_cloud(tmp_path):
    path = tmp_path / "fake" / "cloud.json"
    one = FakeProvider(FileStore(path))
    one.launch(spec(one))
    assert len(machines(FakeProvider(FileStore(path)))) == 2


def test_the_script_comes_from_a_file(tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"verb": "identity", "fault": "credentials"}]))
    cloud = open_provider(Site(tmp_path, "h", {"GPUCLOUD_FAKE_SCRIPT": str(script)}))
    with pytest.raises(CredentialsError):
        cloud.identity()
    assert open_provider(Site(tmp_path, "h", {})).identity().account == "fake-account"


@pytest.mark.parametrize(
    "text", ["", "{", '[{"verb": "launch", "fault": "gremlins"}]', '[{"verb": "x", "fault": "slow", "y": 1}]']
)
def test_a_script_nobody_understands_is_a_sentence(tmp_path, text):
    (tmp_path / "s").write_text(text)
    with pytest.raises(UsageError):
        load_script(str(tmp_path / "s"))
