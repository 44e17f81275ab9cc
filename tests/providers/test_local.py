"""The local cloud keeps a cloud's promises: known by token, found without a journal, destroyed whatever happened."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gpucloud.core.cloud import CanAllow, CanExtend, CanStop, Guard, SellsOffers, TellsGuards
from gpucloud.core.errors import BootstrapError, CloudError, UsageError
from gpucloud.providers.local import open_provider
from gpucloud.providers.local.boot import boot
from gpucloud.providers.local.folder import MACHINE_ID, Folder, machine_id
from gpucloud.providers.local.gpus import LocalGpus, catalog_name, parse_listing
from gpucloud.providers.local.processes import of_machine
from gpucloud.providers.local.provider import LocalProvider
from gpucloud.providers.site import Site
from tests.machines import DEPLOYMENT, launch_spec, local_machine, nothing_runs, until


@pytest.fixture
def cloud(tmp_path):
    provider = LocalProvider(tmp_path, {})
    yield provider
    for found in provider.find(None).resources:
        provider.destroy(found)


def leftovers(provider: LocalProvider) -> list[str]:
    """Everything in the provider's folder but its own lock."""
    return [path.name for path in provider.shelf.iterdir() if path.name != ".staging.lock"]


def test_it_has_the_abilities_that_the_flows_look_for(tmp_path):
    provider = open_provider(Site(tmp_path, "home-1", {}))
    for ability in (SellsOffers, CanStop, CanExtend, CanAllow, TellsGuards):
        assert isinstance(provider, ability)
    provider.allow("x", ["192.0.2.0/24"])
    assert not (tmp_path / "local").exists()
    identity = provider.identity()
    assert identity.cloud == "local" and identity.owner and identity.principal.endswith(f"@{identity.account}")


def test_a_launch_is_known_by_its_token(cloud, tmp_path):
    spec = launch_spec(tmp_path / "key", nodes=2)
    first = cloud.launch(spec)
    assert [node.rank for node in first] == [0, 1]
    assert {node.id for node in first} == {machine_id(spec.token, 0), machine_id(spec.token, 1)}
    assert [node.state for node in first] == ["running", "running"]
    assert all(node.tags == spec.tags and node.private_ip == "127.0.0.1" for node in first)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: cloud.launch(spec), range(4)))
    assert all(nodes == first for nodes in again)
    assert cloud.launch(replace(spec, token="another", nodes=1))[0].id not in {node.id for node in first}


def test_racing_launches_make_one_machine(cloud, tmp_path):
    spec = launch_spec(tmp_path / "key")
    with ThreadPoolExecutor(3) as pool:
        ((first,), (second,), (third,)) = pool.map(lambda _: cloud.launch(spec), range(3))
    assert first == second == third
    server = Folder(cloud.shelf / first.id).holder()
    until(lambda: of_machine(Folder(cloud.shelf / first.id)) == {server})  # the others give up after 2 s


def test_find_by_deployment_with_everything_that_tags_tell(cloud, tmp_path):
    ours, other = launch_spec(tmp_path / "key"), launch_spec(tmp_path / "key", deployment_id="b-aaaaaaaa")
    other = replace(other, tags={**other.tags, "gpucloud-deployment": "b-aaaaaaaa"})
    cloud.launch(ours), cloud.launch(other)
    scan = LocalProvider(tmp_path, {}).find(DEPLOYMENT)
    (found,) = scan.resources
    assert scan.scanned == ("local",) and not scan.unscanned
    assert (found.deployment_id, found.home_id, found.attempt) == (DEPLOYMENT, "home-1", 1)
    assert found.endpoint.dialect == "embedded" and found.endpoint.base_dir == f"gpucloud/{DEPLOYMENT}"
    assert len(cloud.find(None).resources) == 2


def test_destroy_is_safe_to_repeat_and_to_aim_badly(cloud, tmp_path):
    (made,) = cloud.launch(launch_spec(tmp_path / "key"))
    with pytest.raises(CloudError, match="left alone"):
        cloud.destroy(replace(made, tags={"gpucloud-deployment": "other-abcdefgh"}))
    for wrong in ("../../etc", "", "local-XYZ", "local-0123456789ab/..", f"{made.id}x"):
        with pytest.raises(CloudError, match="nothing was touched"):
            cloud.destroy(replace(made, id=wrong))
    assert cloud.find(DEPLOYMENT).resources
    cloud.destroy(made)
    cloud.destroy(made)
    cloud.stop(made)
    assert leftovers(cloud) == [] and nothing_runs(Folder(cloud.shelf / made.id))
    with pytest.raises(CloudError, match="no local machine"):
        cloud.extend(made, None)


def test_half_made_and_locked_up_folders_can_be_destroyed(cloud, tmp_path):
    (made,) = cloud.launch(launch_spec(tmp_path / "key"))
    folder = Folder(cloud.shelf / made.id)
    sealed = folder.home / "sealed" / "deep"
    sealed.mkdir(parents=True)
    (sealed / "file").touch()
    (folder.home / "link").symlink_to(tmp_path / "key")
    sealed.chmod(0o500)
    sealed.parent.chmod(0o000)
    (folder.path / "machine.json").write_text("{ half")
    (broken,) = cloud.find(None).resources
    assert broken.id == made.id and broken.tags == {}
    cloud.destroy(broken)
    assert leftovers(cloud) == [] and (tmp_path / "key").exists()


def test_a_server_that_cannot_start_leaves_nothing(cloud, tmp_path):
    spec = launch_spec(tmp_path / "key", public_key="no key at all", nodes=2)
    with pytest.raises(BootstrapError, match="did not start"):
        cloud.launch(spec)
    assert leftovers(cloud) == []


def test_a_machine_that_ended_meanwhile_is_not_started_by_a_repeated_launch(cloud, tmp_path):
    spec = launch_spec(tmp_path / "key")
    (made,) = cloud.launch(spec)
    cloud.stop(made)
    assert cloud.launch(spec)[0].state == "stopped"


def test_guards_price_and_offer(tmp_path):
    spec = launch_spec(tmp_path / "key", deadline_epoch_s=5.0, idle_s=60.0, at_end="delete")
    guards = LocalProvider(tmp_path, {}).guards(spec)
    assert [(guard.kind, guard.action, guard.ends_epoch_s) for guard in guards] == [
        ("in_machine_deadline", "delete", 5.0),
        ("in_machine_idle", "delete", None),
    ]
    assert all(isinstance(guard, Guard) and "client_killed" in guard.survives for guard in guards)
    assert LocalProvider(tmp_path, {}).guards(replace(spec, deadline_epoch_s=None, idle_s=None)) == ()
    (offer,) = LocalProvider(tmp_path, {"GPUCLOUD_LOCAL_USD_PER_HOUR": "0.25"}).offers()
    assert (offer.usd_per_hour, offer.price_kind, offer.provisionable) == (0.25, "own", True)
    assert LocalProvider(tmp_path, {}).offers()[0].usd_per_hour == 0
    for text in ("-1", "much", "inf", "nan"):
        with pytest.raises(UsageError, match="not a price"):
            LocalProvider(tmp_path, {"GPUCLOUD_LOCAL_USD_PER_HOUR": text}).offers()


@pytest.mark.parametrize(
    ("shown", "memory_gib", "name"),
    [
        ("NVIDIA A100-SXM4-80GB", 80, "A100-SXM-80GB"),
        ("NVIDIA A100-PCIE-40GB", 40, "A100-PCIE-40GB"),
        ("NVIDIA A100 80GB PCIe", 80, "A100-PCIE-80GB"),
        ("NVIDIA H100 80GB HBM3", 80, "H100-SXM-80GB"),
        ("NVIDIA H100 PCIe", 80, "H100-PCIE-80GB"),
        ("NVIDIA H100 NVL", 94, "H100-NVL-94GB"),
        ("NVIDIA H200", 140, "H200-SXM-141GB"),
        ("Tesla V100-SXM2-16GB", 16, "V100-16GB"),
        ("Tesla T4", 15, "T4"),
        ("NVIDIA GeForce RTX 3090", 24, "RTX3090"),
        ("NVIDIA GeForce RTX 3080 Ti", 12, "RTX3080TI"),
        ("NVIDIA RTX A6000", 48, "RTXA6000"),
        ("NVIDIA RTX 6000 Ada Generation", 48, "RTX6000-ADA"),
        ("NVIDIA L40S", 45, "L40S"),
    ],
)
def test_the_drivers_names_are_the_catalogs(shown, memory_gib, name):
    assert catalog_name(shown, memory_gib) == name


def test_the_drivers_listing():
    listing = "NVIDIA GeForce RTX 3090, 24576\nNVIDIA GeForce RTX 3090, 24576\nTesla T4, 15360\n"
    assert parse_listing(listing) == LocalGpus("RTX3090", 2, 24.0)
    assert parse_listing("") == parse_listing("No devices were found\n") == LocalGpus()


def test_a_loaded_python_path_does_not_shadow_the_machine(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    with local_machine(tmp_path) as machine:
        (machine.home / "asyncio.py").write_text("raise SystemExit('shadowed')\n")
        machine.provider.stop(machine.resource)
        machine.provider.start(machine.resource, None)
        assert machine.again().state == "running"


# kill -9 of the client anywhere in launch and destroy

CRASHING = """
import os, signal, sys
from pathlib import Path
verb, root, kill_at, spec_file = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
import pickle
from gpucloud.providers.local.provider import LocalProvider
import gpucloud.providers.local.gpus, subprocess, tempfile, shutil, json
spec = pickle.loads(Path(spec_file).read_bytes())
provider = LocalProvider(Path(root), {})
resources = provider.find(None).resources
seen = 0
WATCHED = ("open", "os.", "shutil.", "subprocess.", "tempfile.", "fcntl.")
def watch(event, words):
    global seen
    if event.startswith(WATCHED) and (root in str(words) or event.startswith(("subprocess", "fcntl"))):
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
if verb == "launch":
    provider.launch(spec)
else:
    for item in resources:
        provider.destroy(item)
print(seen)
"""


def crash(verb: str, root, kill_at: int, spec_file) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", CRASHING, verb, str(root), str(kill_at), str(spec_file)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("verb", ["launch", "destroy"])
def test_a_client_killed_anywhere_leaves_what_find_and_destroy_clean(tmp_path, verb):
    import pickle

    root = tmp_path / "home"
    provider = LocalProvider(root, {})
    spec = launch_spec(tmp_path / "key")
    (tmp_path / "spec").write_bytes(pickle.dumps(replace(spec, tags=dict(spec.tags))))
    killed = step = 0
    while True:
        if verb == "destroy":
            provider.launch(spec)
        step += 1 if step < 12 else 3  # every point where folders are made, each third of the many looks after that
        answer = crash(verb, root, step, tmp_path / "spec")
        assert answer.returncode in (0, -signal.SIGKILL), answer.stderr
        killed += answer.returncode != 0
        if verb == "launch" and step % 4 == 1:
            assert provider.launch(spec)[0].state == "running"  # the next try finds or makes it
        folders = [Folder(cloud_path) for cloud_path in provider.shelf.glob("local-*")]
        for found in provider.find(None).resources:
            assert found.deployment_id == DEPLOYMENT  # tagged from its first instant to its last
            provider.destroy(found)
        provider.find(None)
        assert leftovers(provider) == [] and all(nothing_runs(folder) for folder in folders)
        assert nothing_runs(Folder(provider.shelf / machine_id(spec.token, 0)))
        if answer.returncode == 0:
            break
    print(f"{verb}: killed at {killed} points")
    assert killed > 8


def test_files_are_private_from_their_first_instant(cloud, tmp_path):
    (made,) = cloud.launch(launch_spec(tmp_path / "key"))
    folder = cloud.shelf / made.id
    assert MACHINE_ID.fullmatch(made.id) and stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("machine.json", "server.json", "host_key", "server.log", "server.lock"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    assert json.loads((folder / "machine.json").read_text())["tags"]["gpucloud-home"] == "home-1"


def test_booting_a_living_machine_is_no_second_server(cloud, tmp_path):
    (made,) = cloud.launch(launch_spec(tmp_path / "key"))
    folder = Folder(cloud.shelf / made.id)
    before = folder.holder()
    boot(folder)
    assert folder.holder() == before and os.getpid() not in of_machine(folder)
