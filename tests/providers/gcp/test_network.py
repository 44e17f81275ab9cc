"""Who gets in: effective ingress by every rule of the network, in the default network, an own one and a company's."""

from __future__ import annotations

import pytest

from gpucloud.core import errors
from tests.clouds.gcp.sim import GcpSim
from tests.providers.gcp.conftest import DEPLOYMENT, error_of, make_spec

CALLER, WORLD, INSIDE = "203.0.113.7", "198.51.100.9", "10.128.0.99"
NODES = tuple(f"{DEPLOYMENT}-1-{rank}" for rank in range(2))


def add_rule(sim, name, priority, action, **more):
    rule = {"name": name, "priority": priority, action: [{"IPProtocol": "all"}], "sourceRanges": ["0.0.0.0/0"], **more}
    sim.cloud.insert_firewall({}, {}, {"network": "global/networks/default", **rule})


def check_ingress(sim):
    for node in NODES:
        assert sim.cloud.reaches(node, 22, CALLER)
        assert not sim.cloud.reaches(node, 22, WORLD)
        assert not sim.cloud.reaches(node, 22, INSIDE), "not even from inside"
        assert not sim.cloud.reaches(node, 8888, CALLER)
    assert sim.cloud.reaches(NODES[0], 29500, "", from_instance=NODES[1])
    assert sim.cloud.reaches(NODES[1], 22, "", from_instance=NODES[0])


def test_the_default_network_lets_the_world_in_and_we_do_not(sim, provider):
    provider.launch(make_spec(sim.clock, nodes=2))
    check_ingress(sim)
    assert sim.cloud.instance(NODES[0])["networkInterfaces"][0]["network"].endswith("/default")


def test_not_even_beside_a_rule_that_opens_everything(sim, provider):
    add_rule(sim, "open-wide", 1, "allowed")
    provider.launch(make_spec(sim.clock, nodes=2))
    check_ingress(sim)


def test_other_deployments_stay_outside(sim, provider):
    provider.launch(make_spec(sim.clock, nodes=2))
    other = "other-k3v2abcd"
    tags = {**make_spec(sim.clock).tags, "gpucloud-deployment": other}
    provider.launch(make_spec(sim.clock, deployment_id=other, token="other", tags=tags))
    assert not sim.cloud.reaches(NODES[0], 29500, "", from_instance=f"{other}-1-0")
    assert not sim.cloud.reaches(f"{other}-1-0", 22, "", from_instance=NODES[0])


def test_without_a_default_network_one_of_our_own(tmp_path):
    from gpucloud.providers.gcp.provider import GcpProvider
    from gpucloud.providers.site import Site
    from tests.providers.gcp.conftest import HOME_ID, TEMPLATES

    with GcpSim(tmp_path / "cloud", default_network=False) as sim:
        provider = GcpProvider(Site(tmp_path, HOME_ID, sim.environ, TEMPLATES), clock=sim.clock)
        provider.launch(make_spec(sim.clock, nodes=2))
        check_ingress(sim)
        found = provider.find(None).resources
        assert {item.kind for item in found} == {"machine", "firewall", "network"}
        for item in sorted(found, key=lambda item: item.kind != "machine"):
            provider.destroy(item)
        assert sim.left() == [] and sim.problems == []


def test_a_stockout_in_an_own_network_takes_it_along(tmp_path):
    from gpucloud.providers.gcp.provider import GcpProvider
    from gpucloud.providers.site import Site
    from tests.providers.gcp.conftest import HOME_ID, TEMPLATES

    with GcpSim(tmp_path / "cloud", default_network=False) as sim:
        provider = GcpProvider(Site(tmp_path, HOME_ID, sim.environ, TEMPLATES), clock=sim.clock)
        sim.cloud.script.capacity["us-central1-a"] = 0
        assert isinstance(error_of(lambda: provider.launch(make_spec(sim.clock))), errors.CapacityError)
        assert "networks.insert" in sim.calls and sim.left() == []


@pytest.fixture
def company(sim):
    network = sim.cloud.add_network({"name": "corp", "autoCreateSubnetworks": False})
    sim.cloud.add_subnet("us-central1", "gpu-subnet", network, "10.9.0.0/16")
    return network


@pytest.mark.parametrize(
    "words",
    [
        "gpu-subnet",
        "us-central1/gpu-subnet",
        "projects/lab-project/regions/us-central1/subnetworks/gpu-subnet",
        "https://www.googleapis.com/compute/v1/projects/lab-project/regions/us-central1/subnetworks/gpu-subnet",
    ],
)
def test_an_existing_subnet(sim, provider, company, words):
    add_rule(sim, "corp-ssh", 1000, "allowed", network=company["selfLink"])
    provider.launch(make_spec(sim.clock, nodes=2, options={"subnet": words}))
    check_ingress(sim)
    assert sim.cloud.instance(NODES[0])["networkInterfaces"][0]["subnetwork"].endswith("/gpu-subnet")


def test_a_subnet_that_is_elsewhere_or_nowhere(sim, provider, company):
    for words in ("us-east1/gpu-subnet", "nothing"):
        spec = make_spec(sim.clock, options={"subnet": words})
        assert isinstance(error_of(lambda spec=spec: provider.launch(spec)), errors.NotOffered)
    shared = make_spec(sim.clock, options={"subnet": "projects/host-project/regions/us-central1/subnetworks/x"})
    error = error_of(lambda: provider.launch(shared))
    assert isinstance(error, errors.BadRequest) and "--security-group" in error.hint
    assert sim.left() == ["network corp"]


def test_a_companys_own_rules(sim, provider):
    add_rule(sim, "corp-in", 900, "allowed", targetTags=["bastion-in"], sourceRanges=["192.0.2.0/24"])
    provider.launch(make_spec(sim.clock, options={"security-group": "bastion-in"}))
    assert sim.cloud.instance(NODES[0])["tags"]["items"] == ["bastion-in"]
    assert sim.cloud.reaches(NODES[0], 22, "192.0.2.5") and "firewalls.insert" not in sim.calls


def test_allow_moves_the_door(sim, provider, spec):
    provider.launch(spec)
    provider.allow(DEPLOYMENT, ("198.51.100.0/24", "2001:db8::/32"))
    assert sim.cloud.reaches(NODES[0], 22, WORLD) and not sim.cloud.reaches(NODES[0], 22, CALLER)


def test_allow_changes_only_what_is_ours(sim, provider):
    theirs = {**make_spec(sim.clock).tags, "gpucloud-home": "otherhom"}
    provider.launch(make_spec(sim.clock, tags=theirs))
    assert isinstance(error_of(lambda: provider.allow(DEPLOYMENT, ("0.0.0.0/0",))), errors.BadRequest)
    assert not sim.cloud.reaches(NODES[0], 22, WORLD)


def test_a_launch_from_a_new_address_opens_to_it(sim, provider, spec):
    provider.launch(spec)
    sim.clock.advance(2 * 3600)
    provider.launch(make_spec(sim.clock, ssh_from=("198.51.100.9/32",)))
    assert sim.cloud.reaches(NODES[0], 22, WORLD) and not sim.cloud.reaches(NODES[0], 22, CALLER)


@pytest.mark.parametrize("cidrs", [(), ("2001:db8::1/128",)])
def test_nobody_does_not_become_everybody(sim, provider, cidrs):
    """At Google a rule without sources is about the whole world."""
    error = error_of(lambda: provider.launch(make_spec(sim.clock, ssh_from=cidrs)))
    assert isinstance(error, errors.BadRequest) and "--ssh-from" in error.hint and sim.left() == []


def test_the_port_of_the_machines_sshd(sim, tmp_path):
    from gpucloud.providers.gcp.provider import GcpProvider
    from gpucloud.providers.site import Site
    from tests.providers.gcp.conftest import HOME_ID, TEMPLATES

    environ = {**sim.environ, "GPUCLOUD_SSH_PORT": "2222"}
    (machine,) = GcpProvider(Site(tmp_path, HOME_ID, environ, TEMPLATES), clock=sim.clock).launch(make_spec(sim.clock))
    assert machine.endpoint.port == 2222
    assert sim.cloud.reaches(NODES[0], 2222, CALLER) and not sim.cloud.reaches(NODES[0], 22, CALLER)
