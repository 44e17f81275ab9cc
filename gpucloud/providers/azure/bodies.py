"""The create requests, as JSON and as pure functions of the launch."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpucloud.core.cloud import LaunchSpec
from gpucloud.providers.azure.guards import login_of
from gpucloud.providers.azure.images import Image, disk_gib
from gpucloud.providers.azure.names import TAG_BACKSTOP, TAG_LOGIN, check_tags, disk_name, shared_name
from gpucloud.providers.ingress import ipv4_networks

ADDRESS_SPACE, SUBNET_SPACE, SUBNET = "10.83.0.0/16", "10.83.0.0/20", "nodes"
SSH_RULE, MESH_RULE, DENY_RULE = "ssh", "mesh", "deny"
# Names that Resource Manager does not let an administrator have; the boot script lets them in all the same.
NOT_ADMIN = ("root", "admin", "administrator", "user", "test", "guest", "support", "owner", "sys", "sql", "console")


@dataclass(frozen=True)
class Wiring:
    """The ids that the machines' interfaces are wired to; empty where there is none."""

    subnet: str
    firewall: str = ""
    node_group: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)  # by machine


def tags(spec: LaunchSpec, **more: str) -> dict[str, str]:
    """The tags of everything that a launch makes."""
    return check_tags({**spec.tags, **more})


def group_body(spec: LaunchSpec) -> dict[str, Any]:
    """The deployment's own resource group."""
    return {"location": spec.offer.region, "tags": tags(spec)}


def network_body(spec: LaunchSpec) -> dict[str, Any]:
    """A network that nothing else is in."""
    subnet = {"name": SUBNET, "properties": {"addressPrefix": SUBNET_SPACE, "defaultOutboundAccess": True}}
    properties = {"addressSpace": {"addressPrefixes": [ADDRESS_SPACE]}, "subnets": [subnet]}
    return {"location": spec.offer.region, "tags": tags(spec), "properties": properties}


def node_group_body(spec: LaunchSpec) -> dict[str, Any]:
    """The application security group by which the nodes know each other."""
    return {"location": spec.offer.region, "tags": tags(spec), "properties": {}}


def firewall_body(spec: LaunchSpec, port: int, node_group: str) -> dict[str, Any]:
    """SSH from the caller, everything among the nodes, nothing else: not even from the network it lies in."""
    rules = [ssh_rule(ipv4_networks(spec.ssh_from), port)]
    if node_group:
        who = [{"id": node_group}]
        mesh = {"sourceApplicationSecurityGroups": who, "destinationApplicationSecurityGroups": who}
        rules.append(_rule(MESH_RULE, 110, "Allow", "*", "*", mesh))
    rules.append(
        _rule(DENY_RULE, 4096, "Deny", "*", "*", {"sourceAddressPrefix": "*", "destinationAddressPrefix": "*"})
    )
    return {"location": spec.offer.region, "tags": tags(spec), "properties": {"securityRules": rules}}


def ssh_rule(cidrs: Sequence[str], port: int) -> dict[str, Any]:
    """SSH from these networks."""
    return _rule(
        SSH_RULE,
        100,
        "Allow",
        "Tcp",
        str(port),
        {"sourceAddressPrefixes": list(cidrs), "destinationAddressPrefix": "*"},
    )


def _rule(name: str, priority: int, access: str, protocol: str, port: str, who: Mapping[str, Any]) -> dict[str, Any]:
    common = {"priority": priority, "direction": "Inbound", "access": access, "protocol": protocol}
    return {"name": name, "properties": {**common, "sourcePortRange": "*", "destinationPortRange": port, **who}}


def address_body(spec: LaunchSpec) -> dict[str, Any]:
    """A public address that goes with its machine."""
    body: dict[str, Any] = {"location": spec.offer.region, "tags": tags(spec), "sku": {"name": "Standard"}}
    if zone_of(spec):
        body["zones"] = [zone_of(spec)]
    return {**body, "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"}}


def interface_body(spec: LaunchSpec, wiring: Wiring, address: str) -> dict[str, Any]:
    """A network interface, with a public address or without."""
    inner: dict[str, Any] = {"subnet": {"id": wiring.subnet}, "privateIPAllocationMethod": "Dynamic"}
    if address:
        inner["publicIPAddress"] = {"id": address, "properties": {"deleteOption": "Delete"}}
    if wiring.node_group:
        inner["applicationSecurityGroups"] = [{"id": wiring.node_group}]
    properties: dict[str, Any] = {"ipConfigurations": [{"name": "main", "properties": inner}]}
    if wiring.firewall:
        properties["networkSecurityGroup"] = {"id": wiring.firewall}
    return {"location": spec.offer.region, "tags": tags(spec), "properties": properties}


def zone_of(spec: LaunchSpec) -> str:
    """The number of the zone: `1` of `1`, `eastus-1` or `/zones/1`; empty when none was asked for."""
    return spec.offer.zone[-1:] if spec.offer.zone else ""


def machine_body(
    spec: LaunchSpec, node: str, image: Image, interface: str, boot: str, *, key: str, identity: str, backstop: str
) -> dict[str, Any]:
    """A machine whose disk and interface go with it. `boot` is its boot data, `key` the public key for Azure."""
    size = disk_gib(image, spec.disk_gib, bool(spec.offer.accelerator))
    mine = tags(spec, **{TAG_LOGIN: login_of(spec), **({TAG_BACKSTOP: backstop} if backstop else {})})
    body: dict[str, Any] = {"location": spec.offer.region, "tags": mine}
    if zone_of(spec):
        body["zones"] = [zone_of(spec)]
    if image.plan:
        body["plan"] = dict(image.plan)
    if identity:
        body["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}
    properties: dict[str, Any] = {
        "hardwareProfile": {"vmSize": spec.offer.instance_type},
        "storageProfile": {
            "imageReference": dict(image.reference),
            "osDisk": _disk(node, size, spec.offer.instance_type),
        },
        "osProfile": _login(spec, node, boot, key),
        "networkProfile": {
            "networkInterfaces": [{"id": interface, "properties": {"primary": True, "deleteOption": "Delete"}}]
        },
    }
    if spec.offer.market == "spot":
        properties |= {"priority": "Spot", "evictionPolicy": "Delete", "billingProfile": {"maxPrice": -1}}
    return {**body, "properties": properties}


def storage_of(instance_type: str) -> str:
    """Premium disks only where the size takes them: it has an `s` among its letters."""
    match = re.match(r"Standard_[A-Z]+[0-9]+(?:-[0-9]+)?([a-z]*)", instance_type)
    return "Premium_LRS" if match and "s" in match[1] else "StandardSSD_LRS"


def _disk(node: str, size_gib: int, instance_type: str) -> dict[str, Any]:
    return {
        "name": disk_name(node),
        "createOption": "FromImage",
        "deleteOption": "Delete",
        "diskSizeGB": size_gib,
        "caching": "ReadWrite",
        "managedDisk": {"storageAccountType": storage_of(instance_type)},
    }


def _login(spec: LaunchSpec, node: str, boot: str, key: str) -> dict[str, Any]:
    user = admin_of(login_of(spec))
    keys = [{"path": f"/home/{user}/.ssh/authorized_keys", "keyData": key}]
    return {
        "computerName": node,
        "adminUsername": user,
        "customData": base64.b64encode(boot.encode()).decode(),
        "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
    }


def admin_of(login: str) -> str:
    """The user that Azure makes; where it does not allow the login's name, another one stands in."""
    return "azureuser" if login.casefold() in NOT_ADMIN else login


def throwaway_rsa_key() -> str:
    """A public key whose private half is gone already, for a service that takes no ed25519."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    form = serialization.PublicFormat.OpenSSH
    return public.public_bytes(serialization.Encoding.OpenSSH, form).decode()


def name_of_shared(spec: LaunchSpec) -> str:
    """What the attempt's network, firewall and node group are called."""
    return shared_name(spec.deployment_id, spec.attempt)
