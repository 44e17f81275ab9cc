"""A subscription on paper: resource groups, networks, machines, what they cost, and operations that take their time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SUBSCRIPTION = "aaaaaaaa-0000-0000-0000-000000000001"
LOCATIONS = ("eastus", "westus2", "westeurope", "japaneast")
VM, DISK = "microsoft.compute/virtualmachines", "microsoft.compute/disks"
NIC, IP = "microsoft.network/networkinterfaces", "microsoft.network/publicipaddresses"
NSG, ASG = "microsoft.network/networksecuritygroups", "microsoft.network/applicationsecuritygroups"
VNET, SCHEDULE = "microsoft.network/virtualnetworks", "microsoft.devtestlab/schedules"
SPELLED = {
    VM: "Microsoft.Compute/virtualMachines",
    DISK: "Microsoft.Compute/disks",
    NIC: "Microsoft.Network/networkInterfaces",
    IP: "Microsoft.Network/publicIPAddresses",
    NSG: "Microsoft.Network/networkSecurityGroups",
    ASG: "Microsoft.Network/applicationSecurityGroups",
    VNET: "Microsoft.Network/virtualNetworks",
    SCHEDULE: "Microsoft.DevTestLab/schedules",
}
# size → (family as Azure spells it, vCPUs)
SIZES = {
    "Standard_NC4as_T4_v3": ("Standard NCASv3_T4 Family", 4),
    "Standard_NC8as_T4_v3": ("Standard NCASv3_T4 Family", 8),
    "Standard_NC24ads_A100_v4": ("standardNCADSA100v4Family", 24),
    "Standard_D2s_v5": ("standardDSv5Family", 2),
}
IMAGES = {
    ("microsoft-dsvm", "ubuntu-hpc", "2204"): ("22.04.2026010100", 64, {}),
    ("canonical", "ubuntu-24_04-lts", "server"): ("24.04.202601010", 30, {}),
    ("nvidia", "ngc-base", "gen2"): ("1.0.0", 200, {"name": "gen2", "publisher": "nvidia", "product": "ngc-base"}),
}
ADMIN_FORBIDDEN = ("root", "admin", "administrator", "user", "test")
FOURTEEN_DAYS_S = 14 * 24 * 3600
Thing = dict[str, Any]


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str = "", target: str = "", **headers: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.target = status, code, message or code, target
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return {"error": {**error, **({"target": self.target} if self.target else {})}}


@dataclass
class Refusal:
    """Refuse to make machines: at once, or (`late`) inside the operation, which leaves a failed machine behind."""

    code: str
    region: str = ""
    size: str = ""
    market: str = ""
    late: bool = False
    status: int = 409
    message: str = "Not enough of everything."
    times: int = 1 << 30

    def strikes(self, body: Mapping[str, Any], late: bool) -> bool:
        market = "spot" if body["properties"].get("priority") == "Spot" else "on-demand"
        size = body["properties"]["hardwareProfile"]["vmSize"]
        return (
            self.late == late
            and self.times > 0
            and self.region in ("", body["location"])
            and self.size in ("", size)
            and self.market in ("", market)
        )


@dataclass
class Operation:
    """Something that is under way: `effect` happens when it is due, and may end it with an error."""

    id: str
    due: float
    effect: Callable[[], Refused | None]
    target: str = ""
    status: str = "InProgress"
    error: Refused | None = None


@dataclass
class Clock:
    """Real seconds, plus those that a test has moved it."""

    offset: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        self.offset += seconds


@dataclass
class Cloud:
    """The attributes are the knobs of tests."""

    clock: Clock = field(default_factory=Clock)
    groups: dict[str, Thing] = field(default_factory=dict)
    things: dict[str, Thing] = field(default_factory=dict)  # by id in lower case
    operations: dict[str, Operation] = field(default_factory=dict)
    planned: dict[str, Thing] = field(default_factory=dict)  # ComputeSchedule's, by operation id
    refusals: list[Refusal] = field(default_factory=list)
    registered: set[str] = field(
        default_factory=lambda: {
            "microsoft.compute",
            "microsoft.network",
            "microsoft.computeschedule",
            "microsoft.devtestlab",
        }
    )
    required_tags: set[str] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)  # groups that cannot be removed
    stuck: set[str] = field(default_factory=set)  # groups whose removal fails after a while
    limits: dict[str, int] = field(default_factory=dict)  # family → vCPUs; 100 where it is not said
    rsa_only: bool = False
    evicts: bool = False  # spot machines are taken back while they are made
    operation_s: float = 0.0
    index_lag_s: float = 0.0  # until a new thing is in the index of tags
    switched_on: Callable[[Thing], None] = lambda machine: None
    switched_off: Callable[[Thing, bool], None] = lambda machine, for_ever: None

    def __post_init__(self) -> None:
        self._serial, self._hosts = itertools.count(1), itertools.count(2)

    # ---- time

    def age(self) -> None:
        """Let everything happen that is due."""
        now = self.clock()
        for operation in [item for item in self.operations.values() if item.status == "InProgress" and item.due <= now]:
            operation.error = operation.effect()
            operation.status = "Failed" if operation.error else "Succeeded"
        for plan in [item for item in self.planned.values() if item["state"] == "Scheduled" and item["when"] <= now]:
            plan["state"] = "Succeeded"
            self._deallocated(plan["machine"])
        for schedule in [item for item in self.things.values() if item["type"] == SPELLED[SCHEDULE]]:
            if schedule["_next"] <= now:
                schedule["_next"] += 24 * 3600
                self._deallocated(schedule["properties"]["targetResourceId"].lower())

    def begin(self, effect: Callable[[], Refused | None], target: str = "") -> Operation:
        """An operation that takes its time."""
        operation = Operation(f"op-{next(self._serial):05d}", self.clock() + self.operation_s, effect, target)
        self.operations[operation.id] = operation
        return operation

    def _deallocated(self, identifier: str) -> None:
        machine = self.things.get(identifier)
        if machine is not None and machine["_power"] not in ("deallocated", ""):
            machine["_power"] = "deallocated"
            self.switched_off(machine, False)

    # ---- groups

    def group(self, name: str) -> Thing:
        """A group that is there."""
        found = self.groups.get(name.lower())
        if found is None:
            raise Refused(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
        return found

    def put_group(self, name: str, body: Mapping[str, Any]) -> tuple[int, Thing]:
        """Make it, or change its tags."""
        self.check_place(body["location"], "LocationNotAvailableForResourceGroup")
        self.check_policy(name, body.get("tags") or {})
        known = self.groups.get(name.lower())
        if known is not None:
            if known["properties"]["provisioningState"] == "Deleting":
                raise Refused(409, "ResourceGroupBeingDeleted", f"The resource group '{name}' is being deleted.")
            if known["location"] != body["location"]:
                raise Refused(409, "InvalidResourceGroupLocation", f"'{name}' already exists in {known['location']}.")
            known["tags"] = dict(body.get("tags") or {})
            return 200, known
        made = {
            "id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}",
            "name": name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": body["location"],
            "tags": dict(body.get("tags") or {}),
            "properties": {"provisioningState": "Succeeded"},
            "_indexed": self.clock() + self.index_lag_s,
        }
        self.groups[name.lower()] = made
        return 201, made

    def delete_group(self, name: str) -> Operation:
        """Everything in it, then itself."""
        group = self.group(name)
        if name.lower() in self.locked:
            raise Refused(409, "ScopeLocked", f"The scope '{name}' cannot perform delete operation because of a lock.")
        group["properties"]["provisioningState"] = "Deleting"

        def effect() -> Refused | None:
            if name.lower() in self.stuck:
                group["properties"]["provisioningState"] = "Succeeded"
                return Refused(409, "ResourceGroupDeletionBlocked", "Deletion of the resource group failed.")
            for thing in [item for item in self.things.values() if item["_group"] == name.lower()]:
                self.drop(thing)
            self.groups.pop(name.lower(), None)
            return None

        return self.begin(effect)

    # ---- things in general

    def check_place(self, region: str, code: str = "LocationNotAvailableForResourceType") -> None:
        """A region that exists."""
        if region not in LOCATIONS:
            raise Refused(400, code, f"The provided location '{region}' is not available.")

    def check_policy(self, name: str, tags: Mapping[str, str]) -> None:
        """The tags that a policy demands."""
        missing = sorted(self.required_tags - set(tags))
        if missing:
            what = f"Resource '{name}' was disallowed by policy: it needs the tag {missing[0]}."
            raise Refused(403, "RequestDisallowedByPolicy", what)

    def identifier(self, group: str, kind: str, name: str) -> str:
        """`/subscriptions/…`, spelled as Azure does."""
        return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{SPELLED[kind]}/{name}"

    def thing(self, identifier: str, code: str = "ResourceNotFound") -> Thing:
        """A thing that is there."""
        found = self.things.get(identifier.lower())
        if found is None:
            status = 404 if code == "ResourceNotFound" else 400
            raise Refused(status, code, f"The resource {identifier} was not found.")
        return found

    def make(self, group: str, kind: str, name: str, body: Mapping[str, Any]) -> tuple[Thing, bool]:
        """The record of a new thing, or the old one; whether it is new."""
        known = self.groups.get(group.lower())
        if known is None:
            raise Refused(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        if known["properties"]["provisioningState"] == "Deleting":
            raise Refused(409, "ResourceGroupBeingDeleted", f"The resource group '{group}' is being deleted.")
        self.check_place(body["location"])
        if kind != DISK:  # Azure's own create request, which no policy sees
            self.check_policy(name, body.get("tags") or {})
        identifier = self.identifier(known["name"], kind, name)
        old = self.things.get(identifier.lower())
        if old is not None:
            if old["location"] != body["location"]:
                raise Refused(409, "InvalidResourceLocation", f"{name} already exists in {old['location']}.")
            return old, False
        made: Thing = {
            "id": identifier,
            "name": name,
            "type": SPELLED[kind],
            "location": body["location"],
            "tags": dict(body.get("tags") or {}),
            "properties": {},
            "_group": group.lower(),
            "_created": self.clock(),
            "_indexed": self.clock() + self.index_lag_s,
        }
        self.things[identifier.lower()] = made
        return made, True

    def drop(self, thing: Thing) -> None:
        """It is gone, and with a machine what goes with it."""
        self.things.pop(thing["id"].lower(), None)
        if thing["type"] != SPELLED[VM]:
            return
        self.switched_off(thing, True)
        for reference in thing["properties"]["networkProfile"]["networkInterfaces"]:
            nic = self.things.get(reference["id"].lower())
            if nic is None:
                continue
            nic["properties"].pop("virtualMachine", None)
            if (reference.get("properties") or {}).get("deleteOption") == "Delete":
                self._drop_nic(nic)
        disk = self.things.get(thing["_disk"].lower())
        if disk is not None:
            disk.pop("managedBy", None)
            if thing["properties"]["storageProfile"]["osDisk"].get("deleteOption") == "Delete":
                self.drop(disk)

    def _drop_nic(self, nic: Thing) -> None:
        self.drop(nic)
        for configuration in nic["properties"]["ipConfigurations"]:
            address = configuration["properties"].get("publicIPAddress")
            if address and (address.get("properties") or {}).get("deleteOption") == "Delete":
                found = self.things.get(address["id"].lower())
                if found is not None:
                    self.drop(found)

    def take_back(self, name: str) -> None:
        """What Azure does to a spot machine: it is gone, with what goes with it."""
        for thing in [item for item in self.things.values() if item["type"] == SPELLED[VM] and item["name"] == name]:
            self.drop(thing)

    def users(self, identifier: str) -> list[str]:
        """Interfaces that use an address, a firewall, a group of nodes or a subnet."""
        folded = identifier.lower()
        found = []
        for nic in [item for item in self.things.values() if item["type"] == SPELLED[NIC]]:
            inner = [item["properties"] for item in nic["properties"]["ipConfigurations"]]
            used = [nic["properties"].get("networkSecurityGroup") or {}]
            used += [part.get("publicIPAddress") or {} for part in inner]
            used += [part["subnet"] for part in inner]
            used += [one for part in inner for one in part.get("applicationSecurityGroups") or ()]
            ids = [str(one.get("id", "")).lower() for one in used]
            if any(one == folded or one.startswith(f"{folded}/") for one in ids):
                found.append(nic["name"])
        return found

    def new_address(self) -> str:
        """A loopback address that no other machine of this cloud has."""
        number = next(self._hosts)
        return f"127.61.{number // 250}.{number % 250 + 2}"
