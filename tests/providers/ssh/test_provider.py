"""The driver without SSH: lost answers, groups that are not whole, homes that hosts share, hosts that are silent."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpucloud.core.cloud import (
    CanExtend,
    CanStop,
    GroupsOffers,
    LaunchSpec,
    SellsOffers,
    ShowsGpus,
    TellsGuards,
    TellsHosts,
)
from gpucloud.core.errors import AmbiguousError, CapacityError, CredentialsError, GpucloudError, Unreachable
from gpucloud.core.offers import Accelerator
from gpucloud.core.tags import tags_for
from gpucloud.providers.site import Site
from gpucloud.providers.ssh import open_provider
from gpucloud.providers.ssh.provider import NeverReached, SshProvider
from gpucloud.providers.ssh.script import HostUnfit, ask
from tests.providers.ssh.hosts import TEMPLATES

OWNER = "abcdefghijkl"


class ShellLine:
    """A `core.wire.Transport` whose machine is a folder here; the line can be cut before or after the script."""

    dialect, base_dir, host_key_line = "sh", "", "ssh-ed25519 AAAA"

    def __init__(self, home: Path, cut: str) -> None:
        self._home, self._fault, self._runs = home, cut, 0

    def run(self, command: str, *, tty: bool = False) -> ShellLine:
        self._runs += 1
        kind, _, number = self._fault.partition(" ")
        self._cut = kind if number == str(self._runs) else ""
        self._command, self._text, self._answer = command, b"", None
        return self

    def write(self, data: bytes) -> None:
        self._text += data

    def end_input(self) -> None:
        text = self._text[:-40] if self._cut == "sending" else self._text
        done = subprocess.run(["sh", "-c", self._command], input=text, cwd=self._home, capture_output=True, check=False)
        self._answer, self._complaint = done.stdout, done.stderr

    def read(self, size: int) -> bytes:
        if self._cut:
            raise Unreachable("the line is cut")
        data, self._answer = self._answer, b""
        return data or b""

    def read_error(self, size: int) -> bytes:
        data, self._complaint = self._complaint, b""
        return data

    def wait(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing is held."""


class Lab:
    """A provider over folders. `down` are hosts that do not answer; `cuts` gives faults by host for the next
    connections: `answer 2` loses the answer of the second script on one, `sending 2` the end of that script."""

    def __init__(self, folder: Path, names: list[str], shared_home: bool = False) -> None:
        self.folder, self.down, self.cuts = folder, set(), {name: [] for name in names}
        hosts: list[dict[str, Any]] = []
        for name in names:
            self.home(name, shared_home).mkdir(exist_ok=True)
            shelf = str(folder / f"leases-{name}")
            hosts.append({"name": name, "address": name, "lease_dir": shelf, "gpus": [{"model": "T4", "count": 2}]})
        (folder / "hosts.yaml").write_text(yaml.safe_dump({"hosts": hosts}))
        self._shared = shared_home
        site = Site(folder, "home-1", {}, TEMPLATES, self._dial, lambda name: Accelerator(name, name))
        self.provider: SshProvider = open_provider(site)

    def home(self, name: str, shared: bool | None = None) -> Path:
        return self.folder / ("home" if (self._shared if shared is None else shared) else f"home-{name}")

    def _dial(self, endpoint: Any) -> Any:
        if endpoint.host in self.down:
            raise Unreachable(f"{endpoint.host} is down.", "Switch it on.")
        cuts = self.cuts[endpoint.host]
        return ShellLine(self.home(endpoint.host), cuts.pop(0) if cuts else "")

    def spec(self, deployment: str, region: str, gpus: int = 1, nodes: int = 1) -> LaunchSpec:
        first = region.split("+")[0]
        kind = f"{first}+T4:{gpus}" if gpus else first
        offer = next(offer for offer in self.provider.offers() if offer.instance_type == kind)
        if nodes > 1:
            offers = [o for o in self.provider.offers() if o.accelerator_count == gpus]
            offer = next(group for group in self.provider.groups(offers, nodes) if group.region == region)
        tags = tags_for(deployment, "home-1", OWNER, None)
        return LaunchSpec(deployment, "x", 1, f"{deployment}-token", offer, nodes, tags, "ssh-ed25519 AAAA")

    def states(self, name: str) -> dict[str, str]:
        """GPU → newest state."""
        links = sorted((self.folder / f"leases-{name}").glob("gpu-*"))
        return {link.name.split(".")[0]: str(link.readlink()).split(" ")[0] for link in links}


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path, ["a", "b", "c"])


def test_it_has_the_abilities_that_the_flows_look_for(lab, tmp_path):
    for ability in (SellsOffers, GroupsOffers, CanExtend, TellsGuards, TellsHosts, ShowsGpus):
        assert isinstance(lab.provider, ability)
    assert not isinstance(lab.provider, CanStop), "the host is not ours to switch"
    assert lab.provider.identity().account == "own"
    (tmp_path / "hosts.yaml").unlink()
    with pytest.raises(CredentialsError):
        open_provider(Site(tmp_path, "home-1", {})).identity()


class Closed(ShellLine):
    """A login shell that says why it takes nobody, and has ended before the script is sent."""

    def write(self, data: bytes) -> None:
        raise BrokenPipeError("the command reads no more")

    def end_input(self) -> None:
        self._answer, self._complaint = b"closed today\n", b""


def test_a_shell_that_ends_before_it_reads_is_told_apart_from_a_lost_line(tmp_path):
    with pytest.raises(HostUnfit, match="closed today"):
        ask(Closed(tmp_path, ""), "echo never")


def test_an_answer_that_is_lost_is_found_and_the_same_token_has_the_same_lease(lab):
    spec = lab.spec("train-aaaaaaaa", "a", 2)
    lab.cuts["a"] = ["answer 2"]  # the first script on the connection is the look, the second takes
    with pytest.raises(AmbiguousError):
        lab.provider.launch(spec)
    assert set(lab.states("a").values()) == {"held"}
    lab.cuts["a"] = ["answer 1"]
    with pytest.raises(NeverReached):  # a look changes nothing
        lab.provider.launch(lab.spec("later-aaaaaaaa", "a"))
    (made,) = lab.provider.launch(spec)
    (again,) = lab.provider.launch(spec)
    assert made.id == again.id and made.tags == spec.tags and made.zone == "a"
    (found,) = lab.provider.find("train-aaaaaaaa", ("a",)).resources
    assert (found.id, found.state, found.rank, found.tags) == (made.id, "running", 0, dict(spec.tags))
    assert found.endpoint and found.endpoint.host_key == ShellLine.host_key_line
    assert len(list((lab.folder / "leases-a").iterdir())) == 2, "one lease for each GPU"
    lab.provider.destroy(found)
    lab.provider.destroy(found)
    assert lab.provider.find(None).resources == () and set(lab.states("a").values()) == {"free"}


def test_a_script_that_is_cut_while_it_is_sent_does_nothing(lab):
    lab.cuts["a"] = ["sending 2"]
    with pytest.raises(AmbiguousError):
        lab.provider.launch(lab.spec("train-aaaaaaaa", "a"))
    assert not list(lab.home("a").iterdir()) and not (lab.folder / "leases-a").exists()


def test_a_group_is_whole_or_nothing(lab):
    (held,) = lab.provider.launch(lab.spec("other-aaaaaaaa", "b", 2))
    with pytest.raises(CapacityError, match=r"GPU 0 is held by .* \(other-aaaaaaaa\) without an end"):
        lab.provider.launch(lab.spec("train-aaaaaaaa", "a+b+c", 1, nodes=3))
    assert set(lab.states("a").values()) | set(lab.states("c").values()) <= {"free"}
    lab.provider.destroy(held)
    nodes = lab.provider.launch(lab.spec("train-aaaaaaaa", "a+b+c", 1, nodes=3))
    assert [(node.rank, node.region, node.zone) for node in nodes] == [
        (0, "a+b+c", "a"),
        (1, "a+b+c", "b"),
        (2, "a+b+c", "c"),
    ]
    lab.down.add("b")
    scan = lab.provider.find("train-aaaaaaaa", ("a+b+c",))
    assert scan.scanned == () and "b is down" in scan.unscanned["a+b+c"] and len(scan.resources) == 2
    everywhere = lab.provider.find(None)
    assert set(everywhere.scanned) == {"a", "c"} and set(everywhere.unscanned) == {"b", "a+b+c"}
    lab.down.clear()
    for node in nodes:
        lab.provider.destroy(node)
    assert lab.provider.find("train-aaaaaaaa", ("a+b+c",)).scanned == ("a+b+c",)


def test_a_group_that_cannot_be_given_back_is_left_in_doubt(lab, monkeypatch):
    lab.down.add("b")
    with pytest.raises(NeverReached, match="b is down"):
        lab.provider.launch(lab.spec("train-aaaaaaaa", "a+b", 1, nodes=2))
    assert set(lab.states("a").values()) == {"free"}

    def no_way_back(*_: object) -> None:
        raise Unreachable("a is down now.")

    monkeypatch.setattr(lab.provider, "_free", no_way_back)
    with pytest.raises(AmbiguousError, match="could not be given back"):
        lab.provider.launch(lab.spec("train-aaaaaaaa", "a+b", 1, nodes=2))
    assert [item.id for item in lab.provider.find("train-aaaaaaaa", ("a",)).resources]


def test_hosts_that_share_a_home_do_not_share_a_folder(tmp_path):
    lab = Lab(tmp_path, ["a", "b"], shared_home=True)
    nodes = lab.provider.launch(lab.spec("train-aaaaaaaa", "a+b", 1, nodes=2))
    assert len({node.endpoint.base_dir for node in nodes if node.endpoint}) == 2
    found = lab.provider.find("train-aaaaaaaa", ("a+b",)).resources
    assert [(node.rank, node.zone) for node in found] == [(0, "a"), (1, "b")], "each is seen once, on its own host"
    for node in nodes:
        lab.provider.destroy(node)
    assert not list((tmp_path / "home").iterdir())


def test_a_lease_whose_folder_is_gone_is_still_found_and_freed(lab):
    import shutil

    lab.provider.launch(lab.spec("train-aaaaaaaa", "a"))
    shutil.rmtree(lab.home("a") / "gpucloud")
    (found,) = lab.provider.find(None).resources
    assert found.kind == "lease" and found.endpoint is None and found.deployment_id == "train-aaaaaaaa"
    lab.provider.destroy(found)
    assert lab.provider.find(None).resources == () and set(lab.states("a").values()) == {"free"}


def test_half_a_lease_is_no_machine(lab):
    lab.provider.launch(lab.spec("train-aaaaaaaa", "a"))
    (lab.home("a") / "gpucloud" / "train-aaaaaaaa" / "gpus").unlink()
    (found,) = lab.provider.find("train-aaaaaaaa").resources
    assert (found.kind, found.state, found.endpoint) == ("lease", "pending", None)
    assert lab.provider.launch(lab.spec("train-aaaaaaaa", "a"))[0].id == found.id, "the same token completes it"
    assert lab.provider.find("train-aaaaaaaa").resources[0].kind == "machine"


def test_a_host_that_left_the_inventory_is_never_empty(lab, tmp_path):
    (made,) = lab.provider.launch(lab.spec("train-aaaaaaaa", "a"))
    (tmp_path / "hosts.yaml").write_text("hosts: [{name: z, address: z}]\n")
    later = open_provider(Site(tmp_path, "home-1", {}, TEMPLATES, lab._dial, lambda name: Accelerator(name, name)))
    scan = later.find("train-aaaaaaaa", ("a",))
    assert scan.scanned == () and "not in" in scan.unscanned["a"]
    with pytest.raises(GpucloudError, match="not in"):
        later.destroy(made)


def test_tags_that_no_link_can_hold_are_refused_before_anything_is_made(lab):
    from dataclasses import replace

    spec = lab.spec("train-aaaaaaaa", "a")
    with pytest.raises(GpucloudError, match="tags are too long") as caught:
        lab.provider.launch(replace(spec, tags={**spec.tags, "note": "x" * 900}))
    assert caught.value.exit_code == 2 and not list(lab.home("a").iterdir())
