"""The role in docs/clouds/azure.md: enough for every verb, and nothing in it that none of them needs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from gpucloud.core.errors import CapacityError
from tests.clouds.azure import networks
from tests.clouds.azure.cloud import DISK, NSG, Refusal
from tests.providers.azure.conftest import DEPLOYMENT, NODE, T4, error_of, open_driver
from tests.providers.azure.test_guards import IDENTITY

PAGE = Path(__file__).parents[3] / "docs" / "clouds" / "azure.md"


def roles():
    """The actions of the first role on the page, and those of the table of additions."""
    text = PAGE.read_text()
    role = json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])
    more = set(re.findall(r"`(Microsoft\.[^`]+)`", text.partition("## Additions")[2]))
    return set(role["Actions"]), more


def everyday(sim, provider, spec):
    """Every verb, in the deployment's own group."""
    provider.identity()
    provider.quotas()
    sim.cloud.refusals = [Refusal("AllocationFailed", late=True, times=1)]
    assert isinstance(error_of(lambda: provider.launch(replace(spec, nodes=2))), CapacityError)
    machine, _ = provider.launch(replace(spec, nodes=2, offer=replace(T4, market="spot", zone="1")))
    provider.find(None)
    provider.allow(DEPLOYMENT, ["198.51.100.1/32"])
    provider.extend(machine, spec.deadline_epoch_s + 60)
    provider.stop(machine)
    provider.start(machine, spec.deadline_epoch_s)
    remove(provider)


def remove(provider):
    order = (
        "machine",
        "schedule",
        "interface",
        "address",
        "disk",
        "firewall",
        "network",
        "node-group",
        "resource-group",
    )
    for kind in order:
        for item in provider.find(DEPLOYMENT, ("eastus",)).resources:
            if item.kind == kind:
                provider.destroy(item)
    assert provider.find(DEPLOYMENT, ("eastus",)).resources == ()


def in_a_users_group(sim, provider, spec):
    """Everything again, in a group of the company's, with a firewall and an identity of theirs too."""
    sim.cloud.put_group("team", {"location": "eastus"})
    options = {"resource-group": "team"}
    sim.cloud.refusals = [Refusal("AllocationFailed", late=True, times=1)]
    assert isinstance(error_of(lambda: provider.launch(replace(spec, options=options, nodes=2))), CapacityError)
    sim.cloud.refusals = [Refusal("SkuNotAvailable", times=1)]
    sim.cloud.make("team", DISK, f"{NODE}-disk", {"location": "eastus"})  # what a removed machine may leave
    assert isinstance(error_of(lambda: provider.launch(replace(spec, options=options))), CapacityError)
    sim.cloud.registered.discard("microsoft.computeschedule")
    provider.launch(replace(spec, options=options, nodes=2))
    remove(provider)
    sim.cloud.registered.add("microsoft.computeschedule")
    networks.put(sim.cloud, "team", NSG, "theirs", {"location": "eastus", "properties": {"securityRules": []}})
    provider.launch(replace(spec, options={**options, "security-group": "theirs", "identity": IDENTITY}))
    remove(provider)


def with_a_stranger(sim, provider, spec):
    """A group of ours that somebody else uses too is emptied and left."""
    provider.launch(replace(spec, nodes=2))
    body = {"location": "eastus", "tags": {"team": "x"}, "properties": {"publicIPAllocationMethod": "Static"}}
    networks.put(sim.cloud, f"gpucloud-{DEPLOYMENT}", "microsoft.network/publicipaddresses", "theirs", body)
    remove(provider)


def test_the_role_is_enough_for_every_day(sim, tmp_path, spec):
    actions, _ = roles()
    sim.granted = actions
    everyday(sim, open_driver(sim, tmp_path), spec)
    assert sim.used == actions and sim.left() == []


def test_nothing_is_in_it_that_nothing_needs(sim, tmp_path, spec):
    actions, more = roles()
    sim.granted = actions | more
    driver = open_driver(sim, tmp_path)
    everyday(sim, driver, spec)
    in_a_users_group(sim, driver, spec)
    with_a_stranger(sim, driver, spec)
    sim.cloud.groups.pop(f"gpucloud-{DEPLOYMENT}")
    sim.cloud.things = {key: thing for key, thing in sim.cloud.things.items() if thing["name"] != "theirs"}
    sim.cloud.registered.discard("microsoft.computeschedule")
    (machine,) = driver.launch(spec)
    driver.extend(machine, None)
    remove(driver)
    assert sim.used == actions | more
