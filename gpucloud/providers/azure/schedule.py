"""The deallocation that Azure itself carries out at the deadline: ComputeSchedule, else a DevTest Labs schedule.

ComputeSchedule takes one moment up to 14 days ahead and needs nothing on the machine; its operation id, by which
it is cancelled, is kept in a tag of the machine. DevTest Labs knows a time of day only, so it can hold a deadline
within a day.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.errors import GpucloudError, NotRegistered, PermissionDenied
from gpucloud.providers.azure.api import Api
from gpucloud.providers.azure.errors import Missing, build, meaning
from gpucloud.providers.azure.guards import DAILY_S, SHORTEST_DAILY_S, backstop_epoch_s, has_identity, no_guard
from gpucloud.providers.azure.names import parse_id, schedule_name

ONCE, DAILY, NONE = "computeschedule", "devtestlab", ""
SERVICES = {ONCE: "Microsoft.ComputeSchedule", DAILY: "Microsoft.DevTestLab"}
ONCE_VERSION, DAILY_VERSION = "2024-10-01", "2018-09-15"


def choose(api: Api, spec: LaunchSpec, now: float) -> str:
    """Which of them this subscription allows. Raises NotRegistered when the bill would have no end."""
    when = backstop_epoch_s(spec.deadline_epoch_s)
    if when is None or no_guard(spec):
        return NONE
    for kind in (ONCE, DAILY):
        if (kind == ONCE or fits_a_day(when, now)) and registered(api, SERVICES[kind]):
            return kind
    if has_identity(spec):
        return NONE
    raise NotRegistered(
        "Nothing in this subscription ends the bill at the deadline: Microsoft.ComputeSchedule is not registered.",
        "Run `az provider register --namespace Microsoft.ComputeSchedule`, wait, and repeat;"
        " or use --identity, or --no-guard.",
    )


def fits_a_day(when: float, now: float) -> bool:
    """Whether a time of day means that moment and no earlier one."""
    return SHORTEST_DAILY_S <= when - now <= DAILY_S


def registered(api: Api, service: str) -> bool:
    """Whether the subscription has switched that service on; who may not ask, tries."""
    try:
        found = api.get(api.resources.providers.get, service)
    except PermissionDenied:
        return True
    return found is not None and found["registrationState"] in ("Registered", "Registering")


def submit(api: Api, region: str, machine_ids: Sequence[str], when: float) -> dict[str, str]:
    """Have ComputeSchedule deallocate these machines; machine id in lower case → operation id."""
    body = {
        "schedule": {"deadline": _iso(when), "timezone": "UTC", "deadlineType": "InitiateAt"},
        "executionParameters": {"retryPolicy": {"retryCount": 7, "retryWindowInMinutes": 60}},
        "resources": {"ids": list(machine_ids)},
        "correlationid": _correlation(*machine_ids, str(round(when))),
    }
    answer = api.ask("POST", _path(api, region, "virtualMachinesSubmitDeallocate"), ONCE_VERSION, body)
    return {str(item["resourceId"]).lower(): _operation(item) for item in answer.get("results") or ()}


def _operation(item: Mapping[str, Any]) -> str:
    operation = item.get("operation") or {}
    trouble = operation.get("resourceOperationError") or item
    if trouble.get("errorCode"):
        code, message = str(trouble["errorCode"]), str(trouble.get("errorDetails") or trouble["errorCode"])
        raise build(meaning(code, message), f"ComputeSchedule: {message}")
    return str(operation["operationId"])


def cancel(api: Api, region: str, operation: str) -> None:
    """Call off a deallocation; one that is over, or unknown, is as good as called off."""
    body = {"operationIds": [operation], "correlationid": _correlation("cancel", operation)}
    try:
        api.ask("POST", _path(api, region, "virtualMachinesCancelOperations"), ONCE_VERSION, body)
    except Missing:
        return


def _path(api: Api, region: str, verb: str) -> str:
    return api.scope(f"/providers/{SERVICES[ONCE]}/locations/{region}/{verb}")


def _correlation(*words: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "gpucloud:" + "/".join(words)))


def _iso(when: float) -> str:
    return datetime.fromtimestamp(when, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def set_daily(api: Api, machine_id: str, region: str, when: float, tags: Mapping[str, str]) -> None:
    """Have DevTest Labs deallocate a machine at that time of day; a schedule that is there is changed."""
    moment = datetime.fromtimestamp(when, timezone.utc)
    properties = {
        "status": "Enabled",
        "taskType": "ComputeVmShutdownTask",
        "dailyRecurrence": {"time": moment.strftime("%H%M")},
        "timeZoneId": "UTC",
        "targetResourceId": machine_id,
        "notificationSettings": {"status": "Disabled"},
    }
    body = {"location": region, "tags": dict(tags), "properties": properties}
    put = api.resources.resources.begin_create_or_update_by_id
    api.do(put, daily_id(machine_id), body, api_version=DAILY_VERSION)


def unset_daily(api: Api, machine_id: str) -> None:
    """Remove a machine's daily schedule."""
    try:
        api.do(api.resources.resources.begin_delete_by_id, daily_id(machine_id), api_version=DAILY_VERSION)
    except Missing:
        return


def daily_id(machine_id: str) -> str:
    """The id of a machine's daily schedule: beside it, in a name that DevTest Labs lays down."""
    words = parse_id(machine_id)
    group = f"/subscriptions/{words.subscription}/resourceGroups/{words.group}"
    return f"{group}/providers/Microsoft.DevTestLab/schedules/{schedule_name(words.name)}"


def arm(
    api: Api, kind: str, region: str, machines: Mapping[str, Mapping[str, str]], when: float, now: float
) -> dict[str, str]:
    """Set the deallocation of machines (id → tags); what their tag should say, by machine id.

    Where ComputeSchedule refuses, DevTest Labs is asked if the time allows it; else the refusal is raised.
    """
    if kind == ONCE:
        try:
            known = submit(api, region, list(machines), when)
            return {machine: f"{ONCE}:{known[machine.lower()]}" for machine in machines}
        except (PermissionDenied, NotRegistered) as error:
            if not (fits_a_day(when, now) and registered(api, SERVICES[DAILY])):
                raise
            refused: GpucloudError = error
        except KeyError:
            raise build(meaning("", ""), "ComputeSchedule does not say what it will do") from None
        try:
            return arm(api, DAILY, region, machines, when, now)
        except GpucloudError:
            raise refused from None
    for machine, tags in machines.items():
        set_daily(api, machine, region, when, tags)
    return dict.fromkeys(machines, DAILY)


def operation_in(tag: str) -> str:
    """The operation id that a tag holds; empty where it holds none."""
    kind, _, operation = tag.partition(":")
    return operation if kind == ONCE else ""
