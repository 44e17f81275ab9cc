"""Effective ingress: who reaches a port of an instance, by every rule of its network, priorities included."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any


def reaches(
    instance: Mapping[str, Any],
    rules: Iterable[Mapping[str, Any]],
    port: int,
    address: str,
    source_tags: Iterable[str] = (),
    source_network: str = "",
) -> bool:
    """Whether TCP from `address` (of an instance with those tags in that network, for tags to count) comes in.

    A lower number is the stronger rule; at equal numbers a deny wins; without any rule nothing comes in.
    """
    network = instance["networkInterfaces"][0]["network"]
    inner = set(source_tags) if source_network == network else set()
    fitting = [
        rule
        for rule in rules
        if rule["network"] == network
        and rule.get("direction", "INGRESS") == "INGRESS"
        and not rule.get("disabled")
        and _aims_at(rule, instance)
        and _comes_from(rule, address, inner)
        and _is_about(rule, port)
    ]
    strongest = min(fitting, key=lambda rule: (rule.get("priority", 1000), "denied" not in rule), default=None)
    return strongest is not None and "denied" not in strongest


def _aims_at(rule: Mapping[str, Any], instance: Mapping[str, Any]) -> bool:
    tags = set(instance.get("tags", {}).get("items", ()))
    return not rule.get("targetTags") or bool(tags & set(rule["targetTags"]))


def _comes_from(rule: Mapping[str, Any], address: str, tags: set[str]) -> bool:
    ranges, wanted = rule.get("sourceRanges", []), set(rule.get("sourceTags", ()))
    if not ranges and not wanted:
        return True
    inside = any(ipaddress.ip_address(address) in ipaddress.ip_network(item) for item in ranges)
    return inside or bool(wanted & tags)


def _is_about(rule: Mapping[str, Any], port: int) -> bool:
    for item in (*rule.get("allowed", ()), *rule.get("denied", ())):
        protocol = item["IPProtocol"]
        if protocol == "all" or (protocol in ("tcp", "6") and _in_ports(item.get("ports"), port)):
            return True
    return False


def _in_ports(ports: list[str] | None, port: int) -> bool:
    if not ports:
        return True
    spans = [text.partition("-") for text in ports]
    return any(int(first) <= port <= int(final or first) for first, _, final in spans)
