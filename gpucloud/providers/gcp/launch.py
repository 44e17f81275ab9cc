"""All machines of an attempt, or none: rules first, then every machine at once; what was made before a refusal goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from gpucloud.core.cloud import LaunchSpec, Resource
from gpucloud.core.errors import REFUSALS, AmbiguousError, BadRequest, GpucloudError, NotOffered
from gpucloud.core.names import node_name
from gpucloud.providers.boot import ssh_port
from gpucloud.providers.gcp import network
from gpucloud.providers.gcp.api import Api, Made, request_id
from gpucloud.providers.gcp.errors import Exists, Missing
from gpucloud.providers.gcp.images import find_image
from gpucloud.providers.gcp.machines import machine_of
from gpucloud.providers.gcp.marks import same_owner
from gpucloud.providers.gcp.request import instance_body
from gpucloud.providers.gcp.shapes import shape_of
from gpucloud.providers.in_parallel import in_parallel
from gpucloud.providers.site import Site


def launch(api: Api, site: Site, spec: LaunchSpec, now: float) -> Sequence[Resource]:
    """The machines. A refusal means that nothing of the attempt is left; all else is AmbiguousError."""
    bodies, place = _requests(api, site, spec, now)
    made: list[Made] = []
    try:
        network.prepare(api, spec, place, ssh_port(site), made)
        _all_of([partial(_insert, api, spec, body, made) for body in bodies])
    except REFUSALS as error:
        roll_back(api, spec, made, error)
        raise
    try:
        return _made(api, site, spec)
    except REFUSALS as error:  # they exist, and may not be seen now
        raise AmbiguousError(error.message, error.hint) from None


def _requests(api: Api, site: Site, spec: LaunchSpec, now: float) -> tuple[list[dict[str, Any]], network.Place]:
    """Everything that can be wrong without anything being made."""
    if not spec.offer.zone:
        raise NotOffered(f"The offer of {spec.offer.instance_type} names no zone.", "Refresh the catalog.")
    shape = shape_of(spec.offer)
    image, place = in_parallel(
        [lambda: find_image(api, spec.image, shape.has_gpu), lambda: network.find_place(api, spec)]
    )
    bodies = [instance_body(site, spec, rank, image, place, now) for rank in range(spec.nodes)]
    if place.own_rules:
        network.rules(spec, place, ssh_port(site))
    return bodies, place


def _all_of(jobs: Sequence[Any]) -> None:
    """Every job's outcome, then one error: doubt about any of them comes before a refusal of another."""
    outcomes = in_parallel([partial(_outcome, job) for job in jobs])
    errors = [outcome for outcome in outcomes if outcome is not None]
    doubts = [error for error in errors if not isinstance(error, REFUSALS)]
    for error in (*doubts, *errors):
        raise error


def _outcome(job: Any) -> GpucloudError | None:
    try:
        job()
    except GpucloudError as error:
        return error
    return None


def _insert(api: Api, spec: LaunchSpec, body: Mapping[str, Any], made: list[Made]) -> None:
    """Make one machine; that it is there already is as good, when it is ours."""
    zone, name = spec.offer.zone, body["name"]
    try:
        api.create("Instances", "instance", body, spec.token, made, zone=zone)
    except Exists:
        there = api.get("Instances", zone=zone, instance=name)
        if there is None:  # its disk's name, or it went meanwhile
            raise AmbiguousError(f"The name {name} is taken, but there is no such machine in {zone}.") from None
        if not same_owner(there.labels, spec.tags):
            raise BadRequest(f"The machine {name} exists and is not ours.", "Choose another name.") from None
        made.append(("Instances", name))


def _made(api: Api, site: Site, spec: LaunchSpec) -> list[Resource]:
    port = ssh_port(site)
    found = in_parallel([partial(_fetch, api, spec, rank) for rank in range(spec.nodes)])
    # Not "running" before a list has shown them: only then does their absence mean that they are gone.
    return [replace(machine_of(item, api.project, port), state="pending") for item in found]


def _fetch(api: Api, spec: LaunchSpec, rank: int) -> Any:
    name = node_name(spec.deployment_id, spec.attempt, rank)
    found = api.get("Instances", zone=spec.offer.zone, instance=name)
    if found is None:  # made and taken back at once, or not shown yet: a look decides
        raise AmbiguousError(f"The machine {name} was made, and is not there.")
    return found


def roll_back(api: Api, spec: LaunchSpec, made: Sequence[Made], refused: GpucloudError) -> None:
    """Remove what this launch has made, machines first. Raises AmbiguousError when that is not certain."""
    try:
        in_parallel([partial(_remove, api, spec, name) for service, name in made if service == "Instances"])
        for service in ("Firewalls", "Networks"):
            names = [name for kind, name in made if kind == service]
            in_parallel([partial(network.remove, api, service, name, spec.tags) for name in names])
    except GpucloudError as error:
        words = f"{refused.message} What was made before that could not be removed: {error.message}"
        raise AmbiguousError(words, error.hint) from None


def _remove(api: Api, spec: LaunchSpec, name: str) -> None:
    there = api.get("Instances", zone=spec.offer.zone, instance=name)
    if there is None or not same_owner(there.labels, spec.tags):
        return
    words = {"zone": spec.offer.zone, "instance": name, "request_id": request_id("delete", "machine", str(there.id))}
    try:
        api.finish(api.call("Instances", "delete_unary", **words))
    except Missing:
        return
