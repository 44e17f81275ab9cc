"""Removing, stopping, starting and extending one thing, fetched again first: nothing of anybody else is touched."""

from __future__ import annotations

from typing import Any

from gpucloud.core.cloud import TAG_DEADLINE, TAG_DEPLOYMENT, Resource
from gpucloud.core.errors import BadRequest, StateConflict
from gpucloud.core.guards import BACKSTOP_S
from gpucloud.core.tags import is_of
from gpucloud.providers.gcp import network
from gpucloud.providers.gcp.api import Api, request_id
from gpucloud.providers.gcp.errors import InUse, Missing
from gpucloud.providers.gcp.guards import LONGEST_S, SHORTEST_S
from gpucloud.providers.gcp.machines import disk_of, machine_of, shared_of
from gpucloud.providers.gcp.marks import LABEL_LIMIT, rule_name
from gpucloud.providers.gcp.request import scheduling

SERVICES = {"machine": ("Instances", "instance"), "disk": ("Disks", "disk")}
SHARED = {"firewall": "Firewalls", "network": "Networks"}
ON_THE_WAY = ("STOPPING", "PENDING_STOP", "DEPROVISIONING")


def destroy(api: Api, resource: Resource) -> None:
    """Ask the cloud to remove it; already gone is success. Raises BadRequest for what is not ours."""
    if resource.kind in SHARED:
        return _destroy_shared(api, resource)
    if resource.kind not in SERVICES:
        raise BadRequest(f"gcp has no {resource.kind} of gpucloud.")
    service, word = SERVICES[resource.kind]
    there = api.get(service, zone=resource.zone, **{word: resource.id})
    if there is None:
        return None
    now = machine_of(there, api.project, 22) if resource.kind == "machine" else disk_of(there, api.project)
    _refuse_foreign(now, resource)
    words = {"zone": resource.zone, word: resource.id, "request_id": _delete_id(resource.kind, there)}
    try:
        operation = api.call(service, "delete_unary", **words)
    except Missing:
        return None
    if operation.status.name == "DONE":
        api.finish(operation)
    return None


def _destroy_shared(api: Api, resource: Resource) -> None:
    service = SHARED[resource.kind]
    there = api.get(service, **{resource.kind: resource.id})
    if there is None:
        return
    _refuse_foreign(shared_of(resource.kind, there, api.project), resource)
    if resource.kind == "network":  # it cannot go before its rules
        network.remove_all(api, resource.deployment_id, resource.tags)
        return
    if resource.id == rule_name(resource.deployment_id, network.DENY):
        _refuse_while_machines(api, resource)
    network.erase(api, service, there)


def _refuse_while_machines(api: Api, resource: Resource) -> None:
    """What keeps the world out goes last: the network behind it may let anybody in."""
    labelled = f"labels.{TAG_DEPLOYMENT}={resource.deployment_id}"
    for page in api.pages("Instances", "aggregated_list", filter=labelled):
        if any(part.instances for part in page.items.values()):
            raise InUse(f"The rule {resource.id} still protects machines.", "It goes when they are gone.")


def _delete_id(kind: str, there: Any) -> str:
    """The numeric id is of this very thing, not of a later one with its name."""
    return request_id("delete", kind, str(there.id))


def _refuse_foreign(now: Resource, chosen: Resource) -> None:
    if not is_of(now, chosen.deployment_id, chosen.home_id):
        raise BadRequest(f"The {now.kind} {now.id} in {now.region} does not carry our tags; it is not touched.")


def _ours(api: Api, resource: Resource) -> Any:
    there = api.get("Instances", zone=resource.zone, instance=resource.id)
    if there is None:
        raise StateConflict(f"The machine {resource.id} is gone.", "See `gpucloud ls --refresh`.")
    _refuse_foreign(machine_of(there, api.project, 22), resource)
    return there


def stop(api: Api, resource: Resource) -> None:
    """Switch off, boot disk kept; the contents of local SSDs are lost, as they are with every stop."""
    there = _ours(api, resource)
    if there.status in (*ON_THE_WAY, "TERMINATED"):
        return
    words: dict[str, Any] = {"zone": resource.zone, "instance": resource.id}
    if any(disk.type_ == "SCRATCH" for disk in there.disks):
        words["discard_local_ssd"] = True
    api.call("Instances", "stop_unary", **words)


def start(api: Api, resource: Resource, deadline: float | None, now: float) -> None:
    """Switch on. The cloud's limit counts anew from every start, so it is set first, as is the tag."""
    there = _ours(api, resource)
    if there.status in ("RUNNING", "PROVISIONING", "STAGING"):
        return
    if there.status in ON_THE_WAY:
        raise StateConflict(f"The machine {resource.id} is still being switched off.", "Try again in a minute.")
    limit = _new_limit(there, deadline)
    if limit is not None or there.scheduling.max_run_duration.seconds:
        seconds = None if limit is None else round(min(LONGEST_S, max(SHORTEST_S, limit - now)))
        has_gpu = there.scheduling.on_host_maintenance == "TERMINATE"
        market = "spot" if there.scheduling.provisioning_model == "SPOT" else "on-demand"
        body = scheduling(has_gpu, market, seconds)
        words = {"zone": resource.zone, "instance": resource.id, "scheduling_resource": body}
        api.finish(api.call("Instances", "set_scheduling_unary", **words))
    _set_times(api, resource, there, deadline, limit)
    # Waited for: that there is no capacity for it now is only told by the operation.
    api.finish(api.call("Instances", "start_unary", zone=resource.zone, instance=resource.id))


def _new_limit(there: Any, deadline: float | None) -> float | None:
    """The limit of before where the new deadline lies within, else a day behind it; machines that were to be
    deleted at their deadline still are; one that never had a limit gets none."""
    known = there.labels.get(LABEL_LIMIT, "")
    if deadline is None or not known.isdigit():
        return None
    if known == there.labels.get(TAG_DEADLINE):
        return deadline
    return max(float(known), deadline) if deadline <= float(known) else deadline + BACKSTOP_S


def extend(api: Api, resource: Resource, deadline: float | None) -> None:
    """A new deadline in the tag. Raises StateConflict where the cloud's own limit, which cannot move, is sooner."""
    there = _ours(api, resource)
    limit = there.labels.get(LABEL_LIMIT, "")
    if limit.isdigit() and (deadline is None or deadline > float(limit)):
        raise StateConflict(
            f"Compute Engine deletes {resource.id} before that, and its limit cannot move while the machine runs.",
            "`gpucloud stop` it, then `gpucloud start` it with a new limit.",
        )
    _set_times(api, resource, there, deadline, float(limit) if limit.isdigit() else None)


def _set_times(api: Api, resource: Resource, there: Any, deadline: float | None, limit: float | None) -> None:
    times = {TAG_DEADLINE: deadline, LABEL_LIMIT: limit}
    labels = {key: value for key, value in there.labels.items() if key not in times}
    labels.update({key: str(round(value)) for key, value in times.items() if value is not None})
    if labels == dict(there.labels):
        return
    body = {"labels": labels, "label_fingerprint": there.label_fingerprint}
    words = {"zone": resource.zone, "instance": resource.id, "instances_set_labels_request_resource": body}
    api.finish(api.call("Instances", "set_labels_unary", **words))
