"""The machines of the simulated subscription: checks at once, allocation later, power, and who ends them when."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.clouds.azure.cloud import (
    ADMIN_FORBIDDEN,
    DISK,
    FOURTEEN_DAYS_S,
    IMAGES,
    NIC,
    SCHEDULE,
    SIZES,
    SPELLED,
    VM,
    Cloud,
    Operation,
    Refused,
    Thing,
)


def put_machine(
    cloud: Cloud, group: str, name: str, body: Mapping[str, Any], unless_there: bool
) -> tuple[Thing, Operation]:
    """Make it; what cannot be is refused at once, what there is no room for fails later."""
    identifier = cloud.identifier(group, VM, name)
    if unless_there and identifier.lower() in cloud.things:
        raise Refused(412, "PreconditionFailed", f"The machine {name} exists.")
    _check(cloud, group, body)
    thing, new = cloud.make(group, VM, name, body)
    if not new:
        raise Refused(409, "PropertyChangeNotAllowed", "Changing property 'osProfile' is not allowed.")
    thing["properties"] = {**copy.deepcopy(dict(body["properties"])), "provisioningState": "Creating"}
    thing["properties"] |= {"vmId": str(uuid.uuid4()), "timeCreated": _iso(cloud.clock())}
    thing |= {key: body[key] for key in ("zones", "identity", "plan") if key in body}
    thing |= {"_power": "", "_failure": None, "_disk": cloud.identifier(group, DISK, _disk_name(body))}
    for reference in thing["properties"]["networkProfile"]["networkInterfaces"]:
        nic = cloud.thing(reference["id"], "InvalidResourceReference")
        nic["properties"]["virtualMachine"] = {"id": thing["id"]}
    return thing, cloud.begin(lambda: _allocated(cloud, thing), thing["id"])


def _disk_name(body: Mapping[str, Any]) -> str:
    return str(body["properties"]["storageProfile"]["osDisk"]["name"])


def _check(cloud: Cloud, group: str, body: Mapping[str, Any]) -> None:
    properties, region = body["properties"], body["location"]
    size = properties["hardwareProfile"]["vmSize"]
    if size not in SIZES:
        raise Refused(400, "InvalidParameter", f"The value {size} provided for the VM size is not valid.", "vmSize")
    _check_login(cloud, properties["osProfile"])
    reference = properties["storageProfile"]["imageReference"]
    if "publisher" in reference:
        version, least, plan = find_image(region, reference["publisher"], reference["offer"], reference["sku"])
        if reference["version"] not in ("latest", version):
            raise Refused(404, "PlatformImageNotFound", "The platform image is not available.", "imageReference")
        if plan and body.get("plan") != plan:
            raise Refused(400, "VMMarketplaceInvalidInput", "Creating a virtual machine from this image needs a plan.")
        if properties["storageProfile"]["osDisk"]["diskSizeGB"] < least:
            raise Refused(400, "InvalidParameter", "The specified disk size is smaller than the image.", "diskSizeGB")
    for reference in properties["networkProfile"]["networkInterfaces"]:
        nic = cloud.thing(reference["id"], "InvalidResourceReference")
        if nic["type"] != SPELLED[NIC] or nic["location"] != region:
            raise Refused(400, "InvalidResourceReference", "The interface is in another region.")
        if nic["properties"].get("virtualMachine"):
            raise Refused(409, "NicInUse", f"{nic['name']} is used already.")
    _refuse(cloud, body, late=False)
    _check_quota(cloud, body)


def _check_login(cloud: Cloud, profile: Mapping[str, Any]) -> None:
    import base64

    if profile["adminUsername"] in ADMIN_FORBIDDEN:
        raise Refused(400, "InvalidParameter", "The Admin Username specified is not allowed.", "adminUsername")
    if len(base64.b64decode(profile["customData"], validate=True)) > 65535:
        raise Refused(400, "InvalidParameter", "Custom data is too long.", "customData")
    for key in profile["linuxConfiguration"]["ssh"]["publicKeys"]:
        if key["path"] != f"/home/{profile['adminUsername']}/.ssh/authorized_keys":
            raise Refused(400, "InvalidParameter", "Destination path for SSH public keys is wrong.", "path")
        kinds = ("ssh-rsa ",) if cloud.rsa_only else ("ssh-rsa ", "ssh-ed25519 ")
        if not key["keyData"].startswith(kinds):
            where = "linuxConfiguration.ssh.publicKeys.keyData"
            raise Refused(400, "InvalidParameter", f"The value of parameter {where} is invalid.", where)


def _refuse(cloud: Cloud, body: Mapping[str, Any], late: bool) -> None:
    for refusal in cloud.refusals:
        if refusal.strikes(body, late):
            refusal.times -= 1
            raise Refused(refusal.status, refusal.code, refusal.message, Retry_After="1")


def _check_quota(cloud: Cloud, body: Mapping[str, Any]) -> None:
    family, cores = SIZES[body["properties"]["hardwareProfile"]["vmSize"]]
    spot = body["properties"].get("priority") == "Spot"
    name = "lowPriorityCores" if spot else family
    limit, used = cloud.limits.get(name, 100), usage(cloud, body["location"]).get(name, 0)
    if used + cores > limit:
        what = f"Operation could not be completed as it results in exceeding approved {name} Cores quota."
        raise Refused(
            409, "OperationNotAllowed", f"{what} Current Limit: {limit}, Current Usage: {used}, needed: {cores}."
        )


def usage(cloud: Cloud, region: str) -> dict[str, int]:
    """vCPUs in use by family."""
    found: dict[str, int] = {}
    for machine in [
        item for item in cloud.things.values() if item["type"] == SPELLED[VM] and item["location"] == region
    ]:
        family, cores = SIZES[machine["properties"]["hardwareProfile"]["vmSize"]]
        spot = machine["properties"].get("priority") == "Spot"
        for name in ("lowPriorityCores",) if spot else (family, "cores"):
            found[name] = found.get(name, 0) + cores
    return found


def find_image(region: str, publisher: str, offer: str, sku: str) -> tuple[str, int, dict[str, str]]:
    """Version, least disk and plan of an image; the hpc image is not sold in japaneast here."""
    found = IMAGES.get((publisher.lower(), offer.lower(), sku.lower()))
    if found is None or (region == "japaneast" and publisher == "microsoft-dsvm"):
        raise Refused(404, "NotFound", f"Artifact: VMImage {publisher}:{offer}:{sku} was not found.")
    return found


def _allocated(cloud: Cloud, thing: Thing) -> Refused | None:
    """The operation's end: it runs, or there was no room and a failed machine stays."""
    if thing["id"].lower() not in cloud.things:
        return Refused(404, "ResourceNotFound", "The machine went meanwhile.")
    try:
        _refuse(cloud, thing, late=True)
    except Refused as error:
        thing["properties"]["provisioningState"], thing["_failure"] = "Failed", error
        return error
    if cloud.evicts and thing["properties"].get("priority") == "Spot":
        cloud.drop(thing)
        return None
    thing["properties"]["provisioningState"], thing["_power"] = "Succeeded", "running"
    disk, _ = cloud.make(thing["_group"], DISK, thing["_disk"].rpartition("/")[2], {"location": thing["location"]})
    disk["managedBy"] = thing["id"]
    disk["properties"] = {"provisioningState": "Succeeded", "diskState": "Attached"}
    cloud.switched_on(thing)
    return None


def delete_machine(cloud: Cloud, thing: Thing) -> Operation:
    """It bills until it is gone."""
    thing["properties"]["provisioningState"] = "Deleting"

    def effect() -> None:
        if cloud.things.get(thing["id"].lower()) is thing:
            cloud.drop(thing)

    return cloud.begin(effect)


def power(cloud: Cloud, thing: Thing, verb: str) -> Operation:
    """`deallocate`, `start` or `powerOff`."""
    if thing["properties"]["provisioningState"] in ("Creating", "Deleting"):
        raise Refused(409, "OperationNotAllowed", f"The machine {thing['name']} is being made or removed.")
    going = {"deallocate": "deallocating", "start": "starting", "powerOff": "stopping"}[verb]
    thing["_power"] = going

    def effect() -> None:
        if thing["_power"] != going:
            return
        if verb == "start":
            thing["_power"] = "running"
            cloud.switched_on(thing)
        else:
            thing["_power"] = "deallocated" if verb == "deallocate" else "stopped"
            cloud.switched_off(thing, False)

    return cloud.begin(effect)


def guest_off(cloud: Cloud, thing: Thing) -> None:
    """The guest has switched itself off: the machine stays allocated, and bills."""
    if thing["_power"] == "running":
        thing["_power"] = "stopped"


def bills(thing: Thing) -> bool:
    """Whether a machine costs anything but its disk."""
    return thing["_power"] not in ("deallocated",)


def shown(thing: Thing, expand: str) -> Thing:
    """With the instance view when asked for, and never with its boot data."""
    copied = copy.deepcopy({key: value for key, value in thing.items() if not key.startswith("_")})
    copied["properties"]["osProfile"].pop("customData", None)
    if expand.lower() == "instanceview":
        state = thing["properties"]["provisioningState"]
        status: dict[str, Any] = {"code": f"ProvisioningState/{state.lower()}", "level": "Info"}
        if thing["_failure"] is not None:
            status = {
                "code": f"ProvisioningState/failed/{thing['_failure'].code}",
                "message": thing["_failure"].message,
            }
        statuses = [status, *([{"code": f"PowerState/{thing['_power']}"}] if thing["_power"] else [])]
        copied["properties"]["instanceView"] = {"statuses": statuses}
    return copied


# ---- who ends them when


def submit(cloud: Cloud, region: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """ComputeSchedule: one deallocation for each machine."""
    wanted = {"schedule", "executionParameters", "resources", "correlationid"}
    if set(body) != wanted or body["schedule"].get("deadlineType") != "InitiateAt":
        raise Refused(400, "BadRequest", "The request is not valid.")
    when = datetime.fromisoformat(body["schedule"]["deadline"].replace("Z", "+00:00")).timestamp()
    results = [_plan(cloud, region, identifier, when) for identifier in body["resources"]["ids"]]
    return {
        "description": "Deallocate Resource request",
        "type": "VirtualMachines",
        "location": region,
        "results": results,
    }


def _plan(cloud: Cloud, region: str, identifier: str, when: float) -> dict[str, Any]:
    machine = cloud.things.get(identifier.lower())
    if machine is None or machine["location"] != region:
        return {
            "resourceId": identifier,
            "errorCode": "ResourceNotFound",
            "errorDetails": "The resource was not found.",
        }
    if not cloud.clock() - 60 < when <= cloud.clock() + FOURTEEN_DAYS_S:
        return {
            "resourceId": identifier,
            "errorCode": "InvalidDeadline",
            "errorDetails": "The deadline is too far away.",
        }
    operation = str(uuid.uuid4())
    cloud.planned[operation] = {"machine": identifier.lower(), "when": when, "state": "Scheduled"}
    told = {"operationId": operation, "resourceId": identifier, "opType": "Deallocate", "state": "PendingScheduling"}
    return {"resourceId": identifier, "operation": {**told, "subscriptionId": identifier.split("/")[2]}}


def cancel(cloud: Cloud, body: Mapping[str, Any]) -> dict[str, Any]:
    """Call off."""
    results = []
    for operation in body["operationIds"]:
        plan = cloud.planned.get(operation)
        if plan is None:
            results.append({"errorCode": "OperationNotFound", "errorDetails": "There is no such operation."})
            continue
        plan["state"] = "Cancelled" if plan["state"] == "Scheduled" else plan["state"]
        results.append({"operation": {"operationId": operation, "state": plan["state"]}})
    return {"results": results}


def put_schedule(cloud: Cloud, group: str, name: str, body: Mapping[str, Any]) -> tuple[Thing, bool]:
    """DevTest Labs: a time of day, every day."""
    target = body["properties"]["targetResourceId"]
    cloud.thing(target, "InvalidResourceReference")
    if name != f"shutdown-computevm-{target.rpartition('/')[2]}":
        raise Refused(400, "InvalidScheduleName", "The name of the schedule must be shutdown-computevm-<machine>.")
    thing, new = cloud.make(group, SCHEDULE, name, body)
    thing["properties"] = {**body["properties"], "provisioningState": "Succeeded"}
    now = datetime.fromtimestamp(cloud.clock(), timezone.utc)
    clock = body["properties"]["dailyRecurrence"]["time"]
    moment = now.replace(hour=int(clock[:2]), minute=int(clock[2:]), second=0, microsecond=0)
    thing["_next"] = (moment if moment > now else moment + timedelta(days=1)).timestamp()
    return thing, new


def _iso(when: float) -> str:
    return datetime.fromtimestamp(when, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
