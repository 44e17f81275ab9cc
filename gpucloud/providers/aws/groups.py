"""Security groups: one of its own per attempt, open to SSH from the caller only, and to its own machines."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.errors import AmbiguousError, BadRequest, CloudError, GpucloudError
from gpucloud.providers.aws import marks
from gpucloud.providers.aws.errors import code_of
from gpucloud.providers.aws.session import Clients

KIND = "security-group"
SOON_S, SOON_TRIES = 0.5, 10  # a new group may be unknown to other parts of EC2 for some seconds


def group_name(spec: LaunchSpec) -> str:
    """The name of an attempt's group."""
    return f"gpucloud-{spec.deployment_id or spec.name}-{spec.attempt}"


def given(spec: LaunchSpec) -> list[str]:
    """The user's own groups."""
    return [word.strip() for word in spec.options.get("security-group", "").split(",") if word.strip()]


def ensure(clients: Clients, spec: LaunchSpec, vpc: str, port: int, now: float) -> str:
    """The attempt's group with its rules, made where it is not there yet. Raises BadRequest for a foreign one."""
    region, name = spec.offer.region, group_name(spec)
    identifier = _make(clients, spec, vpc, name, now)
    try:
        _allow(clients, region, identifier, ssh_rules(spec.ssh_from, port), patient=True)
        if spec.nodes > 1:
            _allow(clients, region, identifier, [_among_itself(identifier)], patient=True)
    except GpucloudError as error:
        if not isinstance(error, AmbiguousError):
            discard(clients, region, identifier, error)
        raise
    return identifier


def _make(clients: Clients, spec: LaunchSpec, vpc: str, name: str, now: float) -> str:
    region = spec.offer.region
    tags = {**spec.tags, marks.TAG_ATTEMPT: str(spec.attempt), marks.TAG_CREATED: str(round(now))}
    try:
        answer = clients.call(
            "ec2",
            region,
            "CreateSecurityGroup",
            GroupName=name,
            Description=f"SSH to the machines of the gpucloud deployment {spec.deployment_id}",
            VpcId=vpc,
            TagSpecifications=marks.specifications([KIND], {"Name": name, **tags}),
        )
        return str(answer["GroupId"])
    except BadRequest as error:
        if code_of(error) != "InvalidGroup.Duplicate":
            raise
    return _known(clients, spec, vpc, name)


def _known(clients: Clients, spec: LaunchSpec, vpc: str, name: str) -> str:
    """The group of that name, when it is this deployment's."""
    by_name = [{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}]
    found = clients.call("ec2", spec.offer.region, "DescribeSecurityGroups", Filters=by_name).get("SecurityGroups")
    if not found:
        raise AmbiguousError(f"EC2 knows of a security group {name}, but does not show it yet.")
    tags = marks.tags_of(found[0].get("Tags"))
    ours = (spec.tags.get(key) == tags.get(key) for key in ("gpucloud-deployment", "gpucloud-home"))
    if not all(ours):
        raise BadRequest(
            f"A security group called {name} exists in {vpc} and is not of this deployment; it was not touched.",
            "Remove it yourself, or choose another name.",
        )
    return str(found[0]["GroupId"])


def _among_itself(identifier: str) -> dict[str, Any]:
    return {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": identifier, "Description": "nodes of one deployment"}]}


def ssh_rules(cidrs: Sequence[str], port: int) -> list[dict[str, Any]]:
    """One rule for SSH from those networks; IPv4 and IPv6 are different lists to EC2."""
    networks = [ipaddress.ip_network(cidr, strict=False) for cidr in cidrs]
    four = [{"CidrIp": str(network)} for network in networks if network.version == 4]
    six = [{"CidrIpv6": str(network)} for network in networks if network.version == 6]
    if not networks:
        return []
    rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
    return [{**rule, **({"IpRanges": four} if four else {}), **({"Ipv6Ranges": six} if six else {})}]


def _allow(
    clients: Clients, region: str, identifier: str, rules: Sequence[dict[str, Any]], patient: bool = False
) -> None:
    """Add rules; one that is there already is what we want."""
    for rule in rules:
        for number in range(SOON_TRIES):
            try:
                clients.call("ec2", region, "AuthorizeSecurityGroupIngress", GroupId=identifier, IpPermissions=[rule])
                break
            except BadRequest as error:
                if code_of(error) == "InvalidPermission.Duplicate":
                    break
                if not (patient and code_of(error) == "InvalidGroup.NotFound" and number < SOON_TRIES - 1):
                    raise
                clients.sleep(SOON_S)


def set_ssh(clients: Clients, region: str, group: dict[str, Any], cidrs: Sequence[str], port: int) -> None:
    """SSH from these networks and no others: the new rules first, so that nobody is locked out in between."""
    present = _single_rules(group, port)
    wanted = [single for rule in ssh_rules(cidrs, port) for single in _singles(rule)]
    for rule in wanted:
        if rule not in present:
            _allow(clients, region, group["GroupId"], [rule])
    for rule in present:
        if rule not in wanted:
            revoke = {"GroupId": group["GroupId"], "IpPermissions": [rule]}
            clients.call("ec2", region, "RevokeSecurityGroupIngress", **revoke)


def _single_rules(group: dict[str, Any], port: int) -> list[dict[str, Any]]:
    rules = [r for r in group.get("IpPermissions", ()) if r.get("FromPort") == port and r.get("IpProtocol") == "tcp"]
    return [single for rule in rules for single in _singles(rule)]


def _singles(rule: dict[str, Any]) -> list[dict[str, Any]]:
    """One rule per network, without descriptions, so that they can be compared."""
    base = {key: rule[key] for key in ("IpProtocol", "FromPort", "ToPort")}
    four = [{**base, "IpRanges": [{"CidrIp": item["CidrIp"]}]} for item in rule.get("IpRanges", ())]
    six = [{**base, "Ipv6Ranges": [{"CidrIpv6": item["CidrIpv6"]}]} for item in rule.get("Ipv6Ranges", ())]
    return four + six


def discard(clients: Clients, region: str, identifier: str, why: GpucloudError) -> None:
    """Remove the group of a refused attempt. When that is not certain, the refusal is none: AmbiguousError."""
    try:
        delete(clients, region, identifier)
    except GpucloudError as error:
        raise AmbiguousError(
            f"{why.message} Its security group {identifier} could not be removed yet: {error.message}", why.hint
        ) from error


def delete(clients: Clients, region: str, identifier: str) -> None:
    """Remove a group; gone is success. Raises CloudError while a machine that is ending still uses it."""
    try:
        clients.call("ec2", region, "DeleteSecurityGroup", GroupId=identifier)
    except BadRequest as error:
        if code_of(error) in ("InvalidGroup.NotFound", "InvalidGroupId.NotFound"):
            return
        if code_of(error) == "DependencyViolation":
            raise CloudError(f"The security group {identifier} is still used by a machine that is ending.") from error
        raise
