"""Who reaches the machines: firewall rules of the deployment's own on its network tag; a network where none is.

The project's `default` network lets the whole world in on port 22, so our rules stand above every other: at
priority 0 SSH from the caller and everything among the deployment's nodes, at priority 1 nothing from anybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.errors import BadRequest, NotOffered
from gpucloud.providers.gcp.api import Api, Made, request_id
from gpucloud.providers.gcp.errors import Exists, Missing
from gpucloud.providers.gcp.marks import described, network_tag, read_description, rule_name, same_owner
from gpucloud.providers.in_parallel import in_parallel
from gpucloud.providers.ingress import ipv4_networks

SSH, MESH, DENY = "ssh", "mesh", "deny"
RULES = (DENY, SSH, MESH)
ALLOW_PRIORITY, DENY_PRIORITY = 0, 1
DEFAULT = "default"
WORDS = {"Firewalls": "firewall", "Networks": "network"}


@dataclass(frozen=True)
class Place:
    """Where a machine's interface goes. `network` is a link; `tag` is the network tag that it carries.

    `own_rules` is false where a company's own rules on that tag decide who comes in (`--security-group`).
    """

    network: str
    subnetwork: str = ""
    tag: str = ""
    own_network: bool = False
    own_rules: bool = True


def find_place(api: Api, spec: LaunchSpec) -> Place:
    """The subnet that was asked for, the project's default network, or one of our own; nothing is made."""
    group = spec.options.get("security-group", "")
    tag, own_rules = group or network_tag(spec.deployment_id), not group
    asked = spec.options.get("subnet", "")
    if asked:
        return _in_subnet(api, asked, spec.offer.region, tag, own_rules)
    network = api.get("Networks", network=DEFAULT)
    if network is not None and any(f"/regions/{spec.offer.region}/" in link for link in network.subnetworks):
        return Place(network.self_link, tag=tag, own_rules=own_rules)
    name = network_tag(spec.deployment_id)
    return Place(f"projects/{api.project}/global/networks/{name}", tag=tag, own_network=True, own_rules=own_rules)


def _in_subnet(api: Api, asked: str, region: str, tag: str, own_rules: bool) -> Place:
    """`NAME`, `REGION/NAME`, or a link, of a host project too."""
    match = re.fullmatch(r"(?:.*projects/([^/]+)/regions/)?(?:([^/]+)/(?:subnetworks/)?)?([^/]+)", asked)
    if match is None:
        raise BadRequest(f"'{asked}' is not the name of a subnet.", "Write --subnet NAME, REGION/NAME or its link.")
    project, there, name = match[1] or api.project, match[2] or region, match[3]
    if there != region:
        raise NotOffered(f"The subnet {asked} is not in {region}.", "Ask for its region with --region.")
    if project != api.project and own_rules:
        hint = "Name a network tag that the host project's firewall knows, with --security-group TAG."
        raise BadRequest(
            f"The subnet {asked} belongs to another project, whose firewall gpucloud does not change.", hint
        )
    found = api.get("Subnetworks", project=project, region=region, subnetwork=name)
    if found is None:
        raise NotOffered(
            f"There is no subnet {name} in {region}.", "`gcloud compute networks subnets list` shows them."
        )
    return Place(found.network, found.self_link, tag, own_rules=own_rules)


def prepare(api: Api, spec: LaunchSpec, place: Place, port: int, made: list[Made]) -> None:
    """Make what the place needs before a machine is there; safe to repeat."""
    if place.own_network:
        body = {"name": network_tag(spec.deployment_id), "auto_create_subnetworks": True}
        _ensure(
            api, "Networks", "network", {**body, "description": described(spec.tags, spec.offer.region)}, spec, made
        )
    if place.own_rules:
        in_parallel([partial(_ensure_rule, api, rule, spec, made) for rule in rules(spec, place, port)])


def rules(spec: LaunchSpec, place: Place, port: int) -> list[dict[str, Any]]:
    """The firewall rules of a launch. Raises BadRequest when nobody could come in: an empty range means everybody."""
    common = {
        "network": place.network,
        "direction": "INGRESS",
        "target_tags": [place.tag],
        "description": described(spec.tags, spec.offer.region),
    }
    ssh = {
        "priority": ALLOW_PRIORITY,
        "source_ranges": ipv4_networks(spec.ssh_from),
        "allowed": [{"I_p_protocol": "tcp", "ports": [str(port)]}],
    }
    mesh = {"priority": ALLOW_PRIORITY, "source_tags": [place.tag], "allowed": [{"I_p_protocol": "all"}]}
    deny = {"priority": DENY_PRIORITY, "source_ranges": ["0.0.0.0/0"], "denied": [{"I_p_protocol": "all"}]}
    wanted = {DENY: deny, SSH: ssh, **({MESH: mesh} if spec.nodes > 1 else {})}
    return [{"name": rule_name(spec.deployment_id, what), **common, **rule} for what, rule in wanted.items()]


def _ensure_rule(api: Api, rule: Mapping[str, Any], spec: LaunchSpec, made: list[Made]) -> None:
    there = _ensure(api, "Firewalls", "firewall", rule, spec, made)
    if there is not None and "source_ranges" in rule and list(there.source_ranges) != list(rule["source_ranges"]):
        _set_ranges(api, rule["name"], rule["source_ranges"])


def _ensure(
    api: Api, service: str, word: str, body: Mapping[str, Any], spec: LaunchSpec, made: list[Made]
) -> Any | None:
    """Make it; what was there before when its name is taken by us. Raises BadRequest when it is somebody else's."""
    name = body["name"]
    try:
        api.create(service, word, body, spec.token, made)
    except Exists:
        there = api.get(service, **{word: name})
        if there is not None and same_owner(read_description(there.description), spec.tags):
            made.append((service, name))
            return there
        raise BadRequest(f"The {word} {name} exists and is not this deployment's.", "Choose another name.") from None
    return None


def allow(api: Api, deployment_id: str, home_id: str, cidrs: Sequence[str]) -> None:
    """Let these networks, and no others, reach SSH. Raises BadRequest where the rule is not ours to change."""
    name = rule_name(deployment_id, SSH)
    there = api.get("Firewalls", firewall=name)
    wanted = {"gpucloud-deployment": deployment_id, "gpucloud-home": home_id}
    if there is None or not same_owner(read_description(there.description), wanted):
        raise BadRequest(f"There is no firewall rule {name} of this deployment.", "Its machines use rules of others.")
    _set_ranges(api, name, ipv4_networks(cidrs))


def _set_ranges(api: Api, name: str, cidrs: Sequence[str]) -> None:
    body = {"source_ranges": list(cidrs)}
    api.finish(api.call("Firewalls", "patch_unary", firewall=name, firewall_resource=body))


def remove_all(api: Api, deployment_id: str, tags: Mapping[str, str]) -> None:
    """Rules, then the own network, of a deployment; what is not ours is left alone. Returns when they are gone."""
    names = [rule_name(deployment_id, what) for what in RULES]
    in_parallel([partial(remove, api, "Firewalls", name, tags) for name in names])
    remove(api, "Networks", network_tag(deployment_id), tags)


def remove(api: Api, service: str, name: str, tags: Mapping[str, str]) -> None:
    """Remove a rule or network where it is the deployment's."""
    there = api.get(service, **{WORDS[service]: name})
    if there is not None and same_owner(read_description(there.description), tags):
        erase(api, service, there)


def erase(api: Api, service: str, there: Any) -> None:
    """Remove what was just fetched; returns when it is gone."""
    word = WORDS[service]
    try:
        gone = api.call(
            service, "delete_unary", **{word: there.name}, request_id=request_id("delete", word, str(there.id))
        )
        api.finish(gone)
    except Missing:
        return
