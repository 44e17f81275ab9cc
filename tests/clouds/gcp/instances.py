"""What the methods of instances and disks do: the rules that Compute Engine enforces, and the life of a machine."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from tests.clouds.gcp.cloud import BUILT_IN, LABEL_KEY, LABEL_VALUE, Cloud, Refused, gpus_of, stamp

NO_CAPACITY = "The zone '{zone}' does not have enough resources available to fulfill the request. Try a different zone."
MOST_METADATA_BYTES = 256 * 1024


def insert(cloud: Cloud, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
    """`instances.insert`: checked at once, made in an operation that can still fail."""
    if (known := cloud.known(query)) is not None:
        return known
    zone = words["zone"]
    if zone not in cloud.zones():
        raise Refused(400, "invalid", f"Invalid value for field 'zone': '{zone}'. Unknown zone.")
    _check(cloud, zone, body)
    instance = _make(cloud, zone, body)
    shortage = _quota_shortage(cloud, zone, instance)
    if shortage and cloud.script.quota_at_once:
        _unmake(cloud, zone, instance)
        raise Refused(403, "quotaExceeded", shortage)

    def effect(operation: dict[str, Any]) -> None:
        failure = _quota_failure(shortage) if shortage else _shortage(cloud, zone)
        if failure:
            _unmake(cloud, zone, instance)
            operation |= failure
        elif cloud.things.get(("instances", zone, instance["name"])) is instance:
            _turn_on(cloud, instance)

    return cloud.operation("insert", zone, f"instances/{instance['name']}", query, effect)


def _quota_failure(message: str) -> dict[str, Any]:
    errors = [{"code": "QUOTA_EXCEEDED", "message": message}]
    return {"error": {"errors": errors}, "httpErrorStatusCode": 403, "httpErrorMessage": "FORBIDDEN"}


def _shortage(cloud: Cloud, zone: str) -> dict[str, Any]:
    """Take one machine from the zone's stock; what the operation fails with when it is empty."""
    left = cloud.script.capacity.get(zone)
    if left is None or left > 0:
        if left is not None:
            cloud.script.capacity[zone] = left - 1
        return {}
    others = [name for name in cloud.zones() if name[:-2] == zone[:-2] and cloud.script.capacity.get(name, 1) > 0]
    info = {"reason": "resource_availability", "domain": "compute.googleapis.com"}
    info = {**info, "metadatas": {"zone": zone, "zonesAvailable": ",".join(others)}}
    code, message = cloud.script.stockout_code, NO_CAPACITY.format(zone=zone)
    error: dict[str, Any] = {"code": code, "message": message}
    if code.endswith("WITH_DETAILS"):
        error["errorDetails"] = [{"errorInfo": info}]
    return {
        "error": {"errors": [error]},
        "httpErrorStatusCode": 503,
        "httpErrorMessage": "SERVICE UNAVAILABLE",
    }


def _check(cloud: Cloud, zone: str, body: Any) -> None:
    if cloud.script.policy:
        what = f"Constraint {cloud.script.policy} violated for projects/{cloud.project}."
        raise Refused(412, "conditionNotMet", what)
    machine_type = body["machineType"].rpartition("/")[2]
    if f"zones/{zone}/" not in body["machineType"] or (zone, machine_type) in cloud.script.unsold:
        what = f"Machine type with name '{machine_type}' does not exist in zone '{zone}'."
        raise Refused(
            400, "invalid", f"Invalid value for field 'resource.machineType': '{body['machineType']}'. {what}"
        )
    check_labels(body.get("labels", {}))
    _check_metadata(body.get("metadata", {}).get("items", []))
    _check_scheduling(body, machine_type)
    if body.get("guestAccelerators") and not machine_type.startswith("n1-"):
        raise Refused(400, "badRequest", f"[{machine_type}] machine type does not support GPU accelerators.")
    for disk in body["disks"]:
        check_labels(disk["initializeParams"].get("labels", {}))


def check_labels(labels: Mapping[str, str]) -> None:
    """The syntax of labels."""
    for key, value in labels.items():
        if not (LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(value)):
            raise Refused(400, "invalid", f"Invalid value for field 'resource.labels': '{key}={value}'.")


def _check_metadata(items: list[dict[str, str]]) -> None:
    keys = [item["key"] for item in items]
    if len(keys) != len(set(keys)):
        raise Refused(400, "invalid", "Metadata has duplicate key.")
    if sum(len(item["value"].encode()) for item in items) > MOST_METADATA_BYTES:
        raise Refused(413, "uploadTooLarge", "Metadata is too large.")


def _check_scheduling(body: Any, machine_type: str) -> None:
    scheduling = body.get("scheduling", {})
    has_gpu = bool(body.get("guestAccelerators")) or BUILT_IN.match(machine_type) is not None
    terminates = scheduling.get("onHostMaintenance") == "TERMINATE"
    if has_gpu and not terminates:
        what = "Instances with guest accelerators do not support live migration. Please set instance host maintenance"
        raise Refused(400, "badRequest", f"{what} policy to TERMINATE.")
    if scheduling.get("provisioningModel") == "SPOT" and (scheduling.get("automaticRestart") or not terminates):
        raise Refused(400, "badRequest", "Scheduling must have preemptible semantics: no restart, no migration.")
    check_limit(scheduling)


def check_limit(scheduling: Mapping[str, Any]) -> None:
    """A limit of 30 s to 120 days, and what is done then."""
    seconds = scheduling.get("maxRunDuration", {}).get("seconds")
    if seconds is None:
        return
    if not 30 <= int(seconds) <= 120 * 86400:
        raise Refused(400, "invalid", "Invalid value for field 'resource.scheduling.maxRunDuration'.")
    if scheduling.get("instanceTerminationAction") not in ("DELETE", "STOP"):
        raise Refused(400, "badRequest", "Instance termination action must be specified with max run duration.")


def _make(cloud: Cloud, zone: str, body: Any) -> dict[str, Any]:
    interfaces = [_interface(cloud, zone, item) for item in body["networkInterfaces"]]
    if ("instances", zone, body["name"]) in cloud.things:
        cloud.add("instances", zone, body)  # says that it exists
    disks = [_disk(cloud, zone, body["name"], item) for item in body["disks"]]
    extra = {"status": "PROVISIONING", "networkInterfaces": interfaces, "disks": disks, "_started": cloud.clock()}
    host = f"projects/{cloud.project}/zones/{zone}/machineTypes/"
    link = f"https://www.googleapis.com/compute/v1/{host}{body['machineType'].rpartition('/')[2]}"
    return cloud.add("instances", zone, {**body, **extra, "machineType": link, "labelFingerprint": _fingerprint()})


def _interface(cloud: Cloud, zone: str, asked: Any) -> dict[str, Any]:
    region = zone[:-2]
    if asked.get("subnetwork"):
        subnet = cloud.resolved(asked["subnetwork"])
        if f"/regions/{region}/" not in subnet["selfLink"]:
            raise Refused(400, "invalid", "Subnetwork is in another region.")
    else:
        network = cloud.resolved(asked.get("network", "global/networks/default"))
        links = [link for link in network["subnetworks"] if f"/regions/{region}/" in link]
        if not links:
            raise Refused(400, "invalid", f"Network {network['name']} has no subnetwork in {region}.")
        subnet = cloud.resolved(links[0])
    access = [{"kind": "compute#accessConfig", **item} for item in asked.get("accessConfigs", ())]
    words = {"network": subnet["network"], "subnetwork": subnet["selfLink"]}
    return {**asked, **words, "networkIP": cloud.new_private_address(subnet), "accessConfigs": access}


def _disk(cloud: Cloud, zone: str, instance: str, asked: Any) -> dict[str, Any]:
    params = asked["initializeParams"]
    image = _image(cloud, params["sourceImage"])
    size = params.get("diskSizeGb") or image["diskSizeGb"]
    if int(size) < int(image["diskSizeGb"]):
        raise Refused(400, "invalid", "Requested disk size cannot be smaller than the image size.")
    user = cloud.link("instances", zone, instance)
    body = {"name": params.get("diskName") or instance, "sizeGb": size, "labels": params.get("labels", {})}
    disk = cloud.add("disks", zone, {**body, "status": "READY", "type": params["diskType"], "users": [user]})
    words = {key: value for key, value in asked.items() if key != "initializeParams"}
    return {**words, "source": disk["selfLink"], "type": "PERSISTENT", "mode": "READ_WRITE", "diskSizeGb": size}


def _image(cloud: Cloud, link: str) -> dict[str, Any]:
    match = re.search(r"projects/([^/]+)/global/images/(family/)?([^/]+)$", link)
    if match is None:
        raise Refused(400, "invalid", f"Invalid value for field 'sourceImage': '{link}'.")
    return cloud.family(match[1], match[3]) if match[2] else cloud.image(match[1], match[3])


def _quota_shortage(cloud: Cloud, zone: str, instance: Mapping[str, Any]) -> str:
    """Which quota this instance breaks, the others counted in; empty when none."""
    region = zone[:-2]
    for metric in gpus_of(instance):
        if cloud.used(region, metric) > cloud.limit(region, metric):
            return f"Quota '{metric}' exceeded.  Limit: {cloud.limit(region, metric)} in region {region}."
    record = cloud.project_record()["quotas"][0]
    if gpus_of(instance) and record["usage"] > record["limit"]:
        return f"Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: {record['limit']} globally."
    return ""


def _unmake(cloud: Cloud, zone: str, instance: Mapping[str, Any]) -> None:
    cloud.things.pop(("instances", zone, instance["name"]), None)
    for disk in instance["disks"]:
        cloud.things.pop(("disks", zone, disk["source"].rpartition("/")[2]), None)


def _turn_on(cloud: Cloud, instance: dict[str, Any]) -> None:
    now = cloud.clock()
    instance |= {"status": "RUNNING", "lastStartTimestamp": stamp(now), "_started": now}
    for access in instance["networkInterfaces"][0].get("accessConfigs", ()):
        access["natIP"] = cloud.new_address()
    cloud.switched_on(instance)


def delete(cloud: Cloud, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
    """`instances.delete`."""
    if (known := cloud.known(query)) is not None:
        return known
    instance = cloud.get("instances", words["zone"], words["instance"])
    instance["status"] = "STOPPING"
    return cloud.operation(
        "delete", words["zone"], f"instances/{instance['name']}", query, lambda _: cloud._drop_instance(instance)
    )


def stop(cloud: Cloud, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
    """`instances.stop`."""
    instance = cloud.get("instances", words["zone"], words["instance"])
    if instance["status"] == "RUNNING":
        instance["status"] = "STOPPING"

    def effect(operation: dict[str, Any]) -> None:
        if instance["status"] == "STOPPING":
            cloud._turn_off(instance)

    return cloud.operation("stop", words["zone"], f"instances/{instance['name']}", query, effect)


def start(cloud: Cloud, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
    """`instances.start`: it may find no capacity, as a new machine may."""
    zone = words["zone"]
    instance = cloud.get("instances", zone, words["instance"])
    if instance["status"] == "STOPPING":
        raise Refused(400, "resourceNotReady", f"The resource '{instance['name']}' is not ready")

    def effect(operation: dict[str, Any]) -> None:
        failure = _shortage(cloud, zone) if instance["status"] == "TERMINATED" else {}
        if failure:
            operation |= failure
        elif instance["status"] == "TERMINATED":
            _turn_on(cloud, instance)

    return cloud.operation("start", zone, f"instances/{instance['name']}", query, effect)


def set_labels(cloud: Cloud, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
    """`instances.setLabels`: only with the newest fingerprint."""
    instance = cloud.get("instances", words["zone"], words["instance"])
    check_labels(body.get("labels", {}))
    if body.get("labelFingerprint") != instance["labelFingerprint"]:
        raise Refused(412, "conditionNotMet", "Labels fingerprint either invalid or resource labels have changed")
    instance |= {"labels": dict(body.get("labels", {})), "labelFingerprint": _fingerprint()}
    return cloud.operation("setLabels", words["zone"], f"instances/{instance['name']}", query, lambda _: None)


def set_scheduling(cloud: Cloud, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
    """`instances.setScheduling`: a limit can only be set on a machine that is switched off."""
    instance = cloud.get("instances", words["zone"], words["instance"])
    if instance["status"] != "TERMINATED":
        raise Refused(400, "badRequest", f"Instance {instance['name']} must be in TERMINATED state.")
    check_limit(body)
    if body.get("provisioningModel") != instance["scheduling"].get("provisioningModel"):
        raise Refused(400, "badRequest", "The provisioning model cannot be changed.")
    instance["scheduling"] = dict(body)
    return cloud.operation("setScheduling", words["zone"], f"instances/{instance['name']}", query, lambda _: None)


def delete_disk(cloud: Cloud, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
    """`disks.delete`: not while an instance has it."""
    if (known := cloud.known(query)) is not None:
        return known
    disk = cloud.get("disks", words["zone"], words["disk"])
    if disk.get("users"):
        what = f"The disk resource '{disk['name']}' is already being used by '{disk['users'][0]}'"
        raise Refused(400, "resourceInUseByAnotherResource", what)
    key = ("disks", words["zone"], disk["name"])
    return cloud.operation(
        "delete", words["zone"], f"disks/{disk['name']}", query, lambda _: cloud.things.pop(key, None)
    )


def _fingerprint() -> str:
    return secrets.token_urlsafe(8) + "="
