"""All machines of an attempt, or none: group and network first, then every machine at once.

What was made before a refusal is removed again before the refusal is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gpucloud.core.boot import BootFacts
from gpucloud.core.cloud import LaunchSpec, Resource
from gpucloud.core.errors import (
    REFUSALS,
    AmbiguousError,
    BadRequest,
    CapacityError,
    GpucloudError,
    NotOffered,
    ThrottledError,
)
from gpucloud.providers.azure import bodies, existing, find, removal, schedule
from gpucloud.providers.azure.api import Api
from gpucloud.providers.azure.bodies import Wiring
from gpucloud.providers.azure.ending import ending
from gpucloud.providers.azure.errors import Exists, KeyRefused, Missing, build, meaning
from gpucloud.providers.azure.guards import backstop_epoch_s, check_horizon, idle_s, login_of
from gpucloud.providers.azure.images import Image, find_image
from gpucloud.providers.azure.machines import failure_of, state_of
from gpucloud.providers.azure.names import (
    TAG_BACKSTOP,
    Place,
    ip_name,
    nic_name,
    nodes_of,
    place_of,
    same_owner,
    tags_of,
)
from gpucloud.providers.boot import boot_data, ssh_port
from gpucloud.providers.in_parallel import in_parallel, outcomes
from gpucloud.providers.ingress import ipv4_networks
from gpucloud.providers.site import Site

CONFIDENTIAL = "Standard_NCC"
SETTLE_LOOKS = 600  # at a machine that an earlier request is still making


@dataclass(frozen=True)
class Prepared:
    """Everything that was found out before anything is made."""

    place: Place
    image: Image
    subnet: str  # the user's; empty: one of our own
    firewall: str  # the user's; empty: one of our own
    identity: str
    backstop: str


def launch(api: Api, site: Site, spec: LaunchSpec, now: float) -> Sequence[Resource]:
    """The machines. A refusal means that nothing of the attempt is left; all else is AmbiguousError."""
    ready = _prepared(api, site, spec, now)
    try:
        wiring = _make_surroundings(api, site, spec, ready)
        machines = _make_machines(api, site, spec, ready, wiring)
        _arm(api, spec, ready, machines, now)
        return _made(api, site, spec, ready)
    except (ThrottledError, Missing, Exists) as error:  # the token is sent again: what is there is kept for it
        raise AmbiguousError(error.message, "Try again.") from None
    except REFUSALS as error:
        _roll_back(api, spec, ready.place, error)
        raise
    except GpucloudError as error:
        raise error if isinstance(error, AmbiguousError) else AmbiguousError(error.message, error.hint) from None


def _prepared(api: Api, site: Site, spec: LaunchSpec, now: float) -> Prepared:
    """Everything that can be wrong without anything being made."""
    if not spec.offer.region:
        raise BadRequest(f"The offer of {spec.offer.instance_type} names no region.", "Refresh the catalog.")
    if spec.offer.instance_type.startswith(CONFIDENTIAL):
        raise NotOffered(f"{spec.offer.instance_type} is a confidential machine, which gpucloud does not make.")
    check_horizon(spec, now)
    bodies.tags(spec)
    place, asked = place_of(spec), spec.options
    if not asked.get("security-group"):
        ipv4_networks(spec.ssh_from)
    ssh_port(site)
    jobs: list[Callable[[], Any]] = [
        lambda: find_image(api, spec.image, spec.offer),
        lambda: existing.check_group(api, place, spec),
        lambda: existing.find_subnet(api, asked.get("subnet", ""), place, spec.offer.region),
        lambda: existing.find_firewall(api, asked.get("security-group", ""), place),
        lambda: existing.find_identity(api, asked.get("identity", "")),
        lambda: schedule.choose(api, spec, now),
    ]
    image, _, subnet, firewall, identity, backstop = in_parallel(jobs)
    return Prepared(place, image, subnet, firewall, identity, backstop)


# ---- what the machines lie in


def _make_surroundings(api: Api, site: Site, spec: LaunchSpec, ready: Prepared) -> Wiring:
    place = ready.place
    if place.own and api.get(api.resources.resource_groups.get, place.group) is None:
        api.call(api.resources.resource_groups.create_or_update, place.group, bodies.group_body(spec))
    jobs: list[Callable[[], Any]] = [
        lambda: ready.subnet or _make_network(api, spec, place),
        lambda: _make_firewall(api, site, spec, ready),
        *(partial(_make_address, api, spec, place, node) for node in nodes_of(spec)),
    ]
    subnet, (firewall, node_group), *addresses = in_parallel(jobs)
    return Wiring(subnet, firewall, node_group, dict(zip(nodes_of(spec), addresses, strict=True)))


def _make_address(api: Api, spec: LaunchSpec, place: Place, node: str) -> str:
    """The id of a machine's public address; empty when it is to have none."""
    if spec.options.get("private") == "yes":
        return ""
    kind = api.network.public_ip_addresses
    return str(_ensure(api, kind, place, spec, ip_name(node), bodies.address_body(spec))["id"])


def _make_network(api: Api, spec: LaunchSpec, place: Place) -> str:
    made = _ensure(
        api, api.network.virtual_networks, place, spec, bodies.name_of_shared(spec), bodies.network_body(spec)
    )
    return str(made["properties"]["subnets"][0]["id"])


def _make_firewall(api: Api, site: Site, spec: LaunchSpec, ready: Prepared) -> tuple[str, str]:
    """The ids of the firewall and of the group by which nodes know each other, where there are several."""
    if ready.firewall:
        return ready.firewall, ""
    name, node_group = bodies.name_of_shared(spec), ""
    if spec.nodes > 1:
        groups = api.network.application_security_groups
        node_group = _ensure(api, groups, ready.place, spec, name, bodies.node_group_body(spec))["id"]
    body = bodies.firewall_body(spec, ssh_port(site), node_group)
    made = _ensure(api, api.network.network_security_groups, ready.place, spec, name, body)
    return str(made["id"]), node_group


def _ensure(api: Api, kind: Any, place: Place, spec: LaunchSpec, name: str, body: Mapping[str, Any]) -> Any:
    """Make it, or bring it to this form when it is the deployment's. Raises BadRequest when it is somebody else's."""
    if not place.own:  # our own group was looked at as a whole
        there = api.get(kind.get, place.group, name)
        if there is not None and not same_owner(there, spec.tags):
            raise BadRequest(
                f"{there['type']} {name} in {place.group} is not this deployment's.", "Choose another name."
            )
    return api.do(kind.begin_create_or_update, place.group, name, dict(body))


# ---- the machines


def _make_machines(api: Api, site: Site, spec: LaunchSpec, ready: Prepared, wiring: Wiring) -> list[dict[str, Any]]:
    """Every machine at once; doubt about any of them comes before a refusal of another."""
    found = outcomes([partial(_make_machine, api, site, spec, ready, wiring, node) for node in nodes_of(spec)])
    errors = [item for item in found if isinstance(item, GpucloudError)]
    for error in sorted(errors, key=lambda error: isinstance(error, REFUSALS)):
        raise error
    return found


def _make_machine(api: Api, site: Site, spec: LaunchSpec, ready: Prepared, wiring: Wiring, node: str) -> Any:
    interface = _make_interface(api, spec, ready.place, wiring, node)
    boot = boot_data(site, _facts(api, spec, ready, node), cloud_init=True)
    try:
        return _send(api, spec, ready, node, interface, boot, spec.public_key)
    except KeyRefused:  # ours is in the boot data
        return _send(api, spec, ready, node, interface, boot, bodies.throwaway_rsa_key())


def _make_interface(api: Api, spec: LaunchSpec, place: Place, wiring: Wiring, node: str) -> str:
    body = bodies.interface_body(spec, wiring, wiring.addresses[node])
    return str(_ensure(api, api.network.network_interfaces, place, spec, nic_name(node), body)["id"])


def _facts(api: Api, spec: LaunchSpec, ready: Prepared, node: str) -> BootFacts:
    vm = api.scope(f"/resourceGroups/{ready.place.group}/providers/Microsoft.Compute/virtualMachines/{node}")
    return BootFacts(
        deployment_id=spec.deployment_id,
        instance_id=node,
        user=login_of(spec),
        public_key=spec.public_key,
        proof_token=spec.proof_token,
        deadline_epoch_s=spec.deadline_epoch_s,
        idle_s=idle_s(spec),
        ending=ending(api.session.endpoint, vm) if ready.identity else "",
        at_end=spec.at_end,
        nodes=spec.nodes,
    )


def _send(api: Api, spec: LaunchSpec, ready: Prepared, node: str, interface: str, boot: str, key: str) -> Any:
    """Make one machine; that it is there already is as good, when it is ours."""
    body = bodies.machine_body(
        spec, node, ready.image, interface, boot, key=key, identity=ready.identity, backstop=ready.backstop
    )
    machines, group = api.compute.virtual_machines, ready.place.group
    try:
        operation = api.begin(machines.begin_create_or_update, group, node, body, headers={"If-None-Match": "*"})
    except Exists:
        return _settled(api, spec, group, node)
    try:
        return api.finish(operation)
    except Missing:  # the operation has ended, and there is no machine
        return _settled(api, spec, group, node)


def _settled(api: Api, spec: LaunchSpec, group: str, node: str) -> Any:
    """A machine that an earlier sending of this request made, or is still making."""
    for _ in range(SETTLE_LOOKS):
        there = api.get(api.compute.virtual_machines.get, group, node, expand="instanceView")
        if there is None:
            raise _vanished(spec, node)
        if not same_owner(there, spec.tags):
            raise BadRequest(f"The machine {node} in {group} exists and is not ours.", "Choose another name.")
        if state_of(there) == "failed":
            code, message = failure_of(there)
            raise build(meaning(code, message), message or f"The machine {node} could not be made ({code}).")
        if there["properties"]["provisioningState"] != "Creating":
            return there
        api.pause()
    raise AmbiguousError(f"The machine {node} is still being made.")


def _vanished(spec: LaunchSpec, node: str) -> GpucloudError:
    """A machine that was made and is not there: taken back, or not shown yet."""
    if spec.offer.market == "spot":
        return CapacityError(f"Azure took the spot machine {node} back while it was being made.")
    return AmbiguousError(f"Azure has made the machine {node}, but does not show it.")


def _arm(api: Api, spec: LaunchSpec, ready: Prepared, machines: Sequence[Mapping[str, Any]], now: float) -> None:
    """Have Azure deallocate the machines at the deadline, and note on each by what."""
    when = backstop_epoch_s(spec.deadline_epoch_s)
    bare = {
        str(item["id"]): bodies.tags(spec)
        for item in machines
        if not schedule.operation_in(tags_of(item).get(TAG_BACKSTOP, ""))
    }
    if not ready.backstop or when is None or not bare:
        return
    marks = schedule.arm(api, ready.backstop, spec.offer.region, bare, when, now)
    jobs: list[Callable[[], Any]] = [
        partial(removal.set_tags, api, item, {**tags_of(item), TAG_BACKSTOP: marks[str(item["id"])]})
        for item in machines
        if str(item["id"]) in marks and marks[str(item["id"])] != tags_of(item).get(TAG_BACKSTOP)
    ]
    in_parallel(jobs)


def _made(api: Api, site: Site, spec: LaunchSpec, ready: Prepared) -> list[Resource]:
    port, group = ssh_port(site), ready.place.group
    found = in_parallel([partial(find.machine, api, group, node, port) for node in nodes_of(spec)])
    for node, resource in zip(nodes_of(spec), found, strict=True):
        if resource is None:
            raise _vanished(spec, node)
    return [resource for resource in found if resource is not None]


def _roll_back(api: Api, spec: LaunchSpec, place: Place, refused: GpucloudError) -> None:
    """Remove what the attempt has made so far. Raises AmbiguousError when that is not certain."""
    try:
        if place.own:
            removal.remove_group(api, place.group, spec.deployment_id, spec.tags, wait=True)
        else:
            removal.remove_pieces(api, spec, place)
    except GpucloudError as error:
        words = f"{refused.message} What was made before that could not be removed: {error.message}"
        raise AmbiguousError(words, error.hint) from None
