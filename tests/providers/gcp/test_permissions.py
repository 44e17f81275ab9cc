"""The role in docs/clouds/gcp.md: enough for every verb, and nothing in it that no verb needs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gpucloud.core import errors
from gpucloud.providers.gcp.provider import GcpProvider
from gpucloud.providers.site import Site
from tests.clouds.gcp.sim import GcpSim
from tests.providers.gcp.conftest import DEPLOYMENT, HOME_ID, T4, TEMPLATES, error_of, make_spec

PAGE = Path(__file__).parents[3] / "docs" / "clouds" / "gcp.md"
ROLE = frozenset(re.findall(r"^- (compute\.[A-Za-z.]+)$", PAGE.read_text(), re.MULTILINE))


def everything(sim: GcpSim, provider: GcpProvider) -> None:
    """Every verb and ability, a lost disk and a roll-back among them."""
    provider.identity()
    provider.quotas()
    provider.places(replace(T4, zone=""), {})
    spec = make_spec(sim.clock, nodes=2)
    first, second = provider.launch(spec)
    provider.allow(DEPLOYMENT, ("198.51.100.0/24",))
    provider.extend(first, spec.deadline_epoch_s + 60)
    provider.stop(first)
    provider.start(first, sim.clock() + 7200)
    sim.cloud.instance(second.id)["disks"][0]["autoDelete"] = False
    sim.cloud.script.capacity["us-central1-b"] = 0
    other = replace(spec, attempt=2, token="two", offer=replace(T4, zone="us-central1-b"))
    for machine in (first, second):
        provider.destroy(machine)
    error_of(lambda: provider.launch(other))
    for item in provider.find(None).resources:
        provider.destroy(item)
    assert not [name for name in sim.left() if "corp" not in name]


def run(tmp_path: Path, granted: frozenset[str]) -> set[str]:
    """Do everything in a project with a default network, in one without, and in a company's subnet; what was used."""
    used: set[str] = set()
    for default in (True, False):
        with GcpSim(tmp_path / str(default), default_network=default) as sim:
            sim.granted = set(granted)
            provider = GcpProvider(Site(tmp_path, HOME_ID, sim.environ, TEMPLATES), clock=sim.clock)
            everything(sim, provider)
            network = sim.cloud.add_network({"name": "corp", "autoCreateSubnetworks": False})
            sim.cloud.add_subnet("us-central1", "corp-subnet", network, "10.9.0.0/16")
            provider.launch(make_spec(sim.clock, options={"subnet": "corp-subnet"}, attempt=3, token="three"))
            used |= sim.used
    return used


def test_the_role_is_exactly_what_is_needed(tmp_path):
    assert run(tmp_path, ROLE) == ROLE


@pytest.mark.parametrize("word", ["compute.instances.create", "compute.firewalls.create", "compute.projects.get"])
def test_less_than_the_role_is_said(tmp_path, word):
    with GcpSim(tmp_path) as sim:
        sim.granted = set(ROLE - {word})
        provider = GcpProvider(Site(tmp_path, HOME_ID, sim.environ, TEMPLATES), clock=sim.clock)
        error = error_of(lambda: (provider.identity(), provider.launch(make_spec(sim.clock))))
    assert isinstance(error, errors.PermissionDenied) and word in error.message and "gcp.md" in error.hint
