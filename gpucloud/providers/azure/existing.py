"""What the user named of his own: resource group, subnet, security group, identity; looked up, never changed."""

from __future__ import annotations

from typing import Any

from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.errors import BadRequest, NotOffered
from gpucloud.providers.azure.api import Api
from gpucloud.providers.azure.names import Place, parse_id, same_owner


def check_group(api: Api, place: Place, spec: LaunchSpec) -> None:
    """Raise BadRequest for a user's group that is not there, and for our name on a group that is not ours."""
    there = api.get(api.resources.resource_groups.get, place.group)
    if place.own:
        if there is not None and not same_owner(there, spec.tags):
            raise BadRequest(f"The resource group {place.group} exists and is not ours.", "Choose another name.")
    elif there is None:
        raise BadRequest(f"There is no resource group {place.group}.", "`az group list` shows them.")


def find_subnet(api: Api, asked: str, place: Place, region: str) -> str:
    """The id of `NETWORK/SUBNET` in the resource group, or of an id; empty for none."""
    if not asked:
        return ""
    if asked.startswith("/"):
        words = parse_id(asked)
        group, network, subnet = words.group, words.name, asked.rstrip("/").rpartition("/")[2]
    else:
        network, slash, subnet = asked.partition("/")
        group = place.group
        if not slash or place.own:
            hint = "Give the subnet's id, or NETWORK/SUBNET together with --resource-group."
            raise BadRequest(f"'{asked}' does not say which subnet is meant.", hint)
    found = api.get(api.network.virtual_networks.get, group, network)
    subnets = [item for item in (found or {}).get("properties", {}).get("subnets", ()) if item.get("name") == subnet]
    if found is None or not subnets:
        raise BadRequest(f"There is no subnet {network}/{subnet} in {group}.", "`az network vnet list` shows them.")
    if found["location"] != region:
        raise NotOffered(f"The subnet {network}/{subnet} is not in {region}, but in {found['location']}.")
    return str(subnets[0]["id"])


def find_firewall(api: Api, asked: str, place: Place) -> str:
    """The id of a network security group by id, or by name in the resource group; empty for none."""
    if not asked:
        return ""
    group, name = _group_and_name(asked, place, "network security group")
    found = api.get(api.network.network_security_groups.get, group, name)
    if found is None:
        raise BadRequest(f"There is no network security group {name} in {group}.", "`az network nsg list` shows them.")
    return str(found["id"])


def _group_and_name(asked: str, place: Place, what: str) -> tuple[str, str]:
    if asked.startswith("/"):
        words = parse_id(asked)
        return words.group, words.name
    if place.own:
        raise BadRequest(f"'{asked}' does not say in which group that {what} is.", "Give its id, or --resource-group.")
    return place.group, asked


def find_identity(api: Api, asked: str) -> str:
    """The id of a user-assigned identity, by id or name; empty for none."""
    if not asked or asked.startswith("/"):
        if asked:
            parse_id(asked)
        return asked
    kind = "resourceType eq 'Microsoft.ManagedIdentity/userAssignedIdentities'"
    known: list[Any] = api.items(api.resources.resources.list, filter=kind)
    found = [str(item["id"]) for item in known if item.get("name") == asked]
    if len(found) != 1:
        what = "no identity" if not found else f"{len(found)} identities"
        raise BadRequest(f"There is {what} called {asked}.", "`az identity list` shows them; give its id.")
    return found[0]
