"""The network resources of the simulated subscription: what refers to what, and what cannot go while it is used."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from tests.clouds.azure.cloud import ASG, IP, NIC, NSG, SPELLED, VNET, Cloud, Refused, Thing

IN_USE = {
    IP: (
        "PublicIPAddressCannotBeDeleted",
        "Public IP address {name} can not be deleted since it is still allocated to {who}.",
    ),
    NSG: ("InUseNetworkSecurityGroupCannotBeDeleted", "Network security group {name} is in use by {who}."),
    ASG: ("ApplicationSecurityGroupInUse", "Application security group {name} is in use by {who}."),
    VNET: ("InUseSubnetCannotBeDeleted", "A subnet of {name} is in use by {who}."),
}


def put(cloud: Cloud, group: str, kind: str, name: str, body: Mapping[str, Any]) -> tuple[Thing, bool]:
    """Make it, or change it to this."""
    if kind == NIC:
        _check_nic(cloud, body)
    thing, new = cloud.make(group, kind, name, body)
    was = thing["properties"]
    thing["properties"] = {**copy.deepcopy(dict(body["properties"])), "provisioningState": "Succeeded"}
    thing["tags"] = dict(body.get("tags") or {})
    FILL[kind](cloud, thing, was)
    return thing, new


def _check_nic(cloud: Cloud, body: Mapping[str, Any]) -> None:
    """Everything that an interface names exists, in its own region."""
    firewall = body["properties"].get("networkSecurityGroup")
    named = [firewall["id"]] if firewall else []
    for configuration in body["properties"]["ipConfigurations"]:
        inner = configuration["properties"]
        named += [one["id"] for one in inner.get("applicationSecurityGroups") or ()]
        named += [inner["publicIPAddress"]["id"]] if inner.get("publicIPAddress") else []
        network, _, subnet = inner["subnet"]["id"].partition("/subnets/")
        found = cloud.thing(network, "InvalidResourceReference")
        if subnet not in [item["name"] for item in found["properties"]["subnets"]]:
            raise Refused(400, "InvalidResourceReference", f"There is no subnet {subnet}.")
        named.append(network)
    for identifier in named:
        if cloud.thing(identifier, "InvalidResourceReference")["location"] != body["location"]:
            raise Refused(400, "InvalidResourceReference", f"{identifier} is in another region.")


def _network(cloud: Cloud, thing: Thing, was: Mapping[str, Any]) -> None:
    for subnet in thing["properties"].get("subnets") or ():
        subnet["id"] = f"{thing['id']}/subnets/{subnet['name']}"
        subnet["properties"]["provisioningState"] = "Succeeded"


def _address(cloud: Cloud, thing: Thing, was: Mapping[str, Any]) -> None:
    thing["properties"]["ipAddress"] = was.get("ipAddress") or cloud.new_address()


def _interface(cloud: Cloud, thing: Thing, was: Mapping[str, Any]) -> None:
    if "virtualMachine" in was:
        thing["properties"]["virtualMachine"] = was["virtualMachine"]
    for number, configuration in enumerate(thing["properties"]["ipConfigurations"]):
        before = (was.get("ipConfigurations") or [{}])[0].get("properties") or {}
        inner = configuration["properties"]
        inner["privateIPAddress"] = before.get("privateIPAddress") or f"10.83.0.{4 + len(cloud.things) + number}"


def _firewall(cloud: Cloud, thing: Thing, was: Mapping[str, Any]) -> None:
    priorities = [rule["properties"]["priority"] for rule in thing["properties"].get("securityRules") or ()]
    if len(set(priorities)) != len(priorities):
        raise Refused(400, "SecurityRuleConflict", "Two rules have the same priority.")
    for rule in thing["properties"].get("securityRules") or ():
        rule["id"] = f"{thing['id']}/securityRules/{rule['name']}"


def _nothing(cloud: Cloud, thing: Thing, was: Mapping[str, Any]) -> None:
    """Nothing to fill in."""


FILL: Mapping[str, Callable[[Cloud, Thing, Mapping[str, Any]], None]] = {
    VNET: _network,
    IP: _address,
    NIC: _interface,
    NSG: _firewall,
    ASG: _nothing,
}


def put_rule(cloud: Cloud, firewall: str, name: str, body: Mapping[str, Any]) -> Thing:
    """One rule of a firewall."""
    thing = cloud.thing(firewall)
    rules = [rule for rule in thing["properties"]["securityRules"] if rule["name"] != name]
    made = {"name": name, "id": f"{thing['id']}/securityRules/{name}", "properties": dict(body["properties"])}
    thing["properties"]["securityRules"] = [*rules, made]
    return made


def check_free(cloud: Cloud, thing: Thing, kind: str) -> None:
    """Refuse to remove what is used."""
    if kind == NIC and thing["properties"].get("virtualMachine"):
        raise Refused(400, "NicInUse", f"Network Interface {thing['name']} is used by a virtual machine.")
    if kind in IN_USE:
        users = cloud.users(thing["id"])
        if users:
            code, words = IN_USE[kind]
            raise Refused(400, code, words.format(name=thing["name"], who=users[0]))


def shown(cloud: Cloud, thing: Thing, expand: str) -> Thing:
    """An interface with the addresses that it names, when asked for."""
    if thing["type"] != SPELLED[NIC] or "publicipaddress" not in expand.lower():
        return thing
    copied = copy.deepcopy(thing)
    for configuration in copied["properties"]["ipConfigurations"]:
        reference = configuration["properties"].get("publicIPAddress")
        if reference:
            found = cloud.things.get(reference["id"].lower())
            inner = {**(found["properties"] if found else {}), **(reference.get("properties") or {})}
            reference["properties"] = inner
    return copied


def lets_in(cloud: Cloud, firewall: str, source: str, port: int) -> bool:
    """Whether a connection from outside is let in: the first rule by priority that fits decides."""
    import ipaddress

    rules = sorted(
        cloud.thing(firewall)["properties"]["securityRules"], key=lambda rule: rule["properties"]["priority"]
    )
    for rule in rules:
        words = rule["properties"]
        if words.get("sourceApplicationSecurityGroups") or words["destinationPortRange"] not in ("*", str(port)):
            continue
        sources = words.get("sourceAddressPrefixes") or [words["sourceAddressPrefix"]]
        if any(one == "*" or ipaddress.ip_address(source) in ipaddress.ip_network(one) for one in sources):
            return bool(words["access"] == "Allow")
    return False
