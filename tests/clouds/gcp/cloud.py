"""Compute Engine on paper: what exists, what each method does to it, and how time changes it.

Things are the API's own JSON; words that begin with `_` are the simulator's and never leave it.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from tests.clouds.gcp import filters, firewall

WWW = "https://www.googleapis.com/compute/v1/"
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_KEY, LABEL_VALUE = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}")
REGIONS = {
    "us-central1": ("a", "b", "c", "f"),
    "us-east1": ("b", "c", "d"),
    "europe-west4": ("a", "b", "c"),
}
BUILT_IN = re.compile(r"(a2|a3|a4|a4x|g2|g4)-")
METRICS = {
    "nvidia-tesla-t4": "NVIDIA_T4_GPUS",
    "nvidia-tesla-v100": "NVIDIA_V100_GPUS",
    "nvidia-tesla-p100": "NVIDIA_P100_GPUS",
    "nvidia-tesla-p4": "NVIDIA_P4_GPUS",
    "g2": "NVIDIA_L4_GPUS",
    "a2-highgpu": "NVIDIA_A100_GPUS",
    "a2-ultragpu": "NVIDIA_A100_80GB_GPUS",
}
GPU_METRICS = sorted({*METRICS.values(), *(f"PREEMPTIBLE_{name}" for name in METRICS.values())})
GONE_AFTER_S = 3600.0  # how long a request id is known


class Refused(Exception):
    """An answer that is an error: status, the old-style reason, and ErrorInfo's reason where there is one."""

    def __init__(self, status: int, reason: str, message: str, info: str = "") -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.info = status, reason, message, info


class Clock:
    """Time that goes on by itself and can be moved."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset_s

    def advance(self, seconds: float) -> None:
        self.offset_s += seconds


@dataclass
class Script:
    """What is wrong with this cloud."""

    capacity: dict[str, int] = field(default_factory=dict)  # zone → machines left; absent = endless
    stockout_code: str = "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
    unsold: set[tuple[str, str]] = field(default_factory=set)  # (zone, machine type)
    limits: dict[tuple[str, str], float] = field(default_factory=dict)  # (region, metric) → quota, else 16
    all_regions: float = 64.0
    quota_at_once: bool = False  # 403 instead of a failed operation
    operation_s: float = 0.0
    hidden_s: float = 0.0  # how long lists do not show a new instance
    silent_zones: set[str] = field(default_factory=set)
    all_or_nothing: bool = False  # a silent zone spoils the whole list, as it did before partial success
    page_size: int = 500
    taken_in_s: float | None = None  # spot machines are taken back after this time
    policy: str = ""  # an organisation's constraint that every instance violates


class Cloud:
    """One project's things. Not thread-safe: the server holds its lock around every method."""

    def __init__(self, project: str, clock: Clock, default_network: bool = True) -> None:
        self.project, self.clock, self.script = project, clock, Script()
        self.things: dict[tuple[str, str, str], dict[str, Any]] = {}  # (kind, zone or "global", name)
        self.operations: dict[str, dict[str, Any]] = {}
        self.requests: dict[str, tuple[str, float]] = {}
        self.deleted: list[str] = []  # by the cloud itself: limits and preemptions
        self.switched_on: Callable[[dict[str, Any]], None] = lambda instance: None
        self.switched_off: Callable[[dict[str, Any], bool], None] = lambda instance, for_ever: None
        self._serial, self._ids = itertools.count(2), itertools.count(4000000000000000001)
        self.images = _images()
        if default_network:
            self._add_default_network()

    # ---- what tests ask

    def all_of(self, kind: str) -> list[dict[str, Any]]:
        """Everything of one kind."""
        self.age()
        return [thing for (word, _, _), thing in self.things.items() if word == kind]

    def instance(self, name: str) -> dict[str, Any]:
        """One instance, whatever its zone."""
        return next(item for item in self.all_of("instances") if item["name"] == name)

    def reaches(self, name: str, port: int, address: str, *, from_instance: str = "") -> bool:
        """Whether a TCP connection from an address, or from another instance, gets to a port."""
        tags, network = (), ""
        if from_instance:
            other = self.instance(from_instance)
            tags, network = other["tags"]["items"], other["networkInterfaces"][0]["network"]
            address = other["networkInterfaces"][0]["networkIP"]
        return firewall.reaches(self.instance(name), self.all_of("firewalls"), port, address, tags, network)

    def preempt(self, name: str) -> None:
        """Take a spot machine back."""
        self._end(self.instance(name))

    # ---- time

    def age(self) -> None:
        """Finish operations that are due; end machines whose limit is reached."""
        now = self.clock()
        for operation in list(self.operations.values()):
            if operation["status"] != "DONE" and operation["_due"] <= now:
                operation |= {"status": "DONE", "progress": 100, "endTime": stamp(now)}
                operation["_effect"](operation)
        for (kind, _, _), thing in list(self.things.items()):
            if kind == "instances" and thing["status"] == "RUNNING" and now >= self._ends_at(thing):
                self._end(thing)

    def _ends_at(self, instance: Mapping[str, Any]) -> float:
        scheduling = instance["scheduling"]
        seconds = scheduling.get("maxRunDuration", {}).get("seconds")
        ends = [instance["_started"] + float(seconds)] if seconds else []
        if self.script.taken_in_s is not None and scheduling.get("provisioningModel") == "SPOT":
            ends.append(instance["_started"] + self.script.taken_in_s)
        return min(ends, default=float("inf"))

    def _end(self, instance: dict[str, Any]) -> None:
        """What the termination action says; it comes from the cloud itself, not from a request."""
        if instance["scheduling"].get("instanceTerminationAction") == "DELETE":
            self.deleted.append(instance["name"])
            self._drop_instance(instance)
        else:
            self._turn_off(instance)

    # ---- operations

    def operation(
        self, kind: str, zone: str, target: str, query: Mapping[str, str], effect: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Begin something; the same request id again gives the operation of before."""
        known = self.known(query)
        if known is not None:
            return known
        now, name = self.clock(), f"operation-{secrets.token_hex(8)}"
        scope = f"zones/{zone}" if zone != "global" else "global"
        operation: dict[str, Any] = {
            "kind": "compute#operation",
            "id": str(next(self._ids)),
            "name": name,
            "operationType": kind,
            "status": "RUNNING",
            "progress": 0,
            "targetLink": f"{WWW}projects/{self.project}/{scope}/{target}",
            "insertTime": stamp(now),
            "startTime": stamp(now),
            "selfLink": f"{WWW}projects/{self.project}/{scope}/operations/{name}",
            "_due": now + self.script.operation_s,
            "_effect": effect,
        }
        if zone != "global":
            operation["zone"] = f"{WWW}projects/{self.project}/zones/{zone}"
        self.operations[name] = operation
        if query.get("requestId"):
            self.requests[query["requestId"]] = (name, now)
        return operation

    def known(self, query: Mapping[str, str]) -> dict[str, Any] | None:
        """The operation of a request id that was seen within the hour."""
        name, at = self.requests.get(query.get("requestId", ""), ("", 0.0))
        return self.operations[name] if name and self.clock() - at < GONE_AFTER_S else None

    def get_operation(self, words: Mapping[str, str]) -> dict[str, Any]:
        """`get` and `wait`; the server does the waiting."""
        self.age()
        found = self.operations.get(words["operation"])
        if found is None:
            raise Refused(404, "notFound", f"The resource operations/{words['operation']} was not found")
        return found

    # ---- common to all kinds

    def link(self, kind: str, zone: str, name: str) -> str:
        """A thing's URL."""
        scope = "global" if zone == "global" else (f"regions/{zone}" if kind == "subnetworks" else f"zones/{zone}")
        return f"{WWW}projects/{self.project}/{scope}/{kind}/{name}"

    def get(self, kind: str, zone: str, name: str) -> dict[str, Any]:
        """One thing, or 404."""
        self.age()
        thing = self.things.get((kind, zone, name))
        if thing is None:
            path = self.link(kind, zone, name).removeprefix(WWW)
            raise Refused(404, "notFound", f"The resource '{path}' was not found")
        return thing

    def add(self, kind: str, zone: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new thing under a free name."""
        name = body.get("name", "")
        if not NAME.fullmatch(name):
            raise Refused(400, "invalid", f"Invalid value for field 'resource.name': '{name}'.")
        if (kind, zone, name) in self.things:
            path = self.link(kind, zone, name).removeprefix(WWW)
            raise Refused(409, "alreadyExists", f"The resource '{path}' already exists")
        now = self.clock()
        scope = {"zone": f"{WWW}projects/{self.project}/zones/{zone}"} if kind in ("instances", "disks") else {}
        thing = {
            **body,
            **scope,
            "kind": f"compute#{kind[:-1]}",
            "id": str(next(self._ids)),
            "creationTimestamp": stamp(now),
            "selfLink": self.link(kind, zone, name),
            "_made": now,
        }
        self.things[kind, zone, name] = thing
        return thing

    def listed(self, kind: str, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """A page of a global list."""
        self.age()
        return self._page([t for t in self.all_of(kind) if self._matches(query, t)], query)

    def aggregated(self, kind: str, query: Mapping[str, str]) -> dict[str, Any]:
        """A page over all zones; silent ones are told of."""
        silent = sorted(self.script.silent_zones)
        if silent and self.script.all_or_nothing:
            raise Refused(503, "backendError", f"Zone {silent[0]} is unreachable")
        found = sorted(self.all_of(kind), key=lambda item: (item["zone"], item["name"]))
        shown = [item for item in found if self._shows(kind, item, silent) and self._matches(query, item)]
        page, more = self._page(shown, query)
        items: dict[str, Any] = {}
        for zone in self.zones():
            here = [item for item in page if item["zone"].endswith(f"/{zone}")]
            items[f"zones/{zone}"] = {kind: here} if here else {"warning": _warning(zone, silent)}
        answer = {"kind": f"compute#{kind[:-1]}AggregatedList", "id": f"projects/{self.project}/aggregated/{kind}"}
        return {**answer, "items": items, "unreachables": [f"zones/{zone}" for zone in silent], **more}

    def _shows(self, kind: str, item: Mapping[str, Any], silent: list[str]) -> bool:
        hidden = kind == "instances" and self.clock() - item["_made"] < self.script.hidden_s
        return not hidden and item["zone"].rpartition("/")[2] not in silent

    def _matches(self, query: Mapping[str, str], item: Mapping[str, Any]) -> bool:
        try:
            return filters.matcher(query.get("filter", ""))(item)
        except ValueError as error:
            raise Refused(400, "invalid", str(error)) from None

    def _page(
        self, items: list[dict[str, Any]], query: Mapping[str, str]
    ) -> tuple[list[dict[str, Any]], dict[str, str]]:
        begin = int(query.get("pageToken") or 0)
        end = begin + min(int(query.get("maxResults") or 500), self.script.page_size)
        return items[begin:end], ({"nextPageToken": str(end)} if end < len(items) else {})

    def zones(self) -> list[str]:
        """All zones by name."""
        return [f"{region}-{letter}" for region, letters in REGIONS.items() for letter in letters]

    # ---- networks

    def _add_default_network(self) -> None:
        """As a new project has it: open to the world on port 22, and to itself on all."""
        network = self.add_network({"name": "default", "autoCreateSubnetworks": True})
        common = {"network": network["selfLink"], "direction": "INGRESS", "priority": 65534}
        inner = {**common, "sourceRanges": ["10.128.0.0/9"], "allowed": [{"IPProtocol": "all"}]}
        world = {**common, "sourceRanges": ["0.0.0.0/0"], "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}]}
        self.add("firewalls", "global", {"name": "default-allow-internal", **inner})
        self.add("firewalls", "global", {"name": "default-allow-ssh", **world})

    def add_network(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A network; in auto mode with a subnet in every region."""
        network = self.add("networks", "global", body)
        network["subnetworks"] = []
        if body.get("autoCreateSubnetworks"):
            for number, region in enumerate(REGIONS):
                self.add_subnet(region, body["name"], network, f"10.{128 + number}.0.0/20")
        return network

    def add_subnet(self, region: str, name: str, network: dict[str, Any], cidr: str) -> dict[str, Any]:
        """A subnet of a network."""
        words = {"name": name, "network": network["selfLink"], "ipCidrRange": cidr}
        subnet = self.add("subnetworks", region, {**words, "region": f"{WWW}projects/{self.project}/regions/{region}"})
        network["subnetworks"].append(subnet["selfLink"])
        return subnet

    def insert_network(self, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
        """`networks.insert`."""
        if (known := self.known(query)) is not None:
            return known
        self.add_network(body)
        return self.operation("insert", "global", f"networks/{body['name']}", query, _nothing)

    def delete_network(self, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
        """`networks.delete`: only when nothing uses it; subnets of auto mode go with it."""
        if (known := self.known(query)) is not None:
            return known
        network = self.get("networks", "global", words["network"])
        users = [t for kind in ("firewalls", "instances") for t in self.all_of(kind) if _uses(t, network["selfLink"])]
        if users:
            what = f"The network resource '{network['name']}' is already being used by '{users[0]['name']}'"
            raise Refused(400, "resourceInUseByAnotherResource", what)

        def effect(operation: dict[str, Any]) -> None:
            self.things.pop(("networks", "global", network["name"]), None)
            for key, item in list(self.things.items()):
                if key[0] == "subnetworks" and item["network"] == network["selfLink"]:
                    del self.things[key]

        return self.operation("delete", "global", f"networks/{network['name']}", query, effect)

    def insert_firewall(self, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
        """`firewalls.insert`. Without sources a rule is about everybody, as at Google."""
        if (known := self.known(query)) is not None:
            return known
        network = self.resolved(body.get("network", "global/networks/default"))
        if ("allowed" in body) == ("denied" in body):
            raise Refused(400, "invalid", "A rule either allows or denies.")
        if not (body.get("sourceRanges") or body.get("sourceTags")):
            body = {**body, "sourceRanges": ["0.0.0.0/0"]}
        defaults = {"priority": 1000, "direction": "INGRESS", "disabled": False}
        self.add("firewalls", "global", {**defaults, **body, "network": network["selfLink"]})
        return self.operation("insert", "global", f"firewalls/{body['name']}", query, _nothing)

    def patch_firewall(self, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
        """`firewalls.patch`."""
        rule = self.get("firewalls", "global", words["firewall"])

        def effect(operation: dict[str, Any]) -> None:
            rule.update(body)

        return self.operation("patch", "global", f"firewalls/{rule['name']}", query, effect)

    def delete_firewall(self, words: Mapping[str, str], query: Mapping[str, str], body: Any) -> dict[str, Any]:
        """`firewalls.delete`."""
        if (known := self.known(query)) is not None:
            return known
        rule = self.get("firewalls", "global", words["firewall"])

        def effect(operation: dict[str, Any]) -> None:
            self.things.pop(("firewalls", "global", rule["name"]), None)

        return self.operation("delete", "global", f"firewalls/{rule['name']}", query, effect)

    def resolved(self, link: str) -> dict[str, Any]:
        """The thing that a link of any length means; 404 for none."""
        path = link.removeprefix("https://compute.googleapis.com/compute/v1/").removeprefix(WWW)
        path = path.removeprefix(f"projects/{self.project}/")
        parts = path.split("/")
        if parts[0] == "global" and len(parts) == 3:
            return self.get(parts[1], "global", parts[2])
        if len(parts) == 4:
            return self.get(parts[2], parts[1], parts[3])
        raise Refused(400, "invalid", f"The URL '{link}' is malformed.")

    # ---- images, places, quotas

    def image(self, project: str, name: str) -> dict[str, Any]:
        """`images.get`."""
        found = next((i for i in self.images if i["name"] == name and _project(i) == project), None)
        if found is None:
            raise Refused(404, "notFound", f"The resource 'projects/{project}/global/images/{name}' was not found")
        return found

    def family(self, project: str, family: str) -> dict[str, Any]:
        """`images.getFromFamily`: the newest that is not deprecated."""
        found = [i for i in self.images if i["family"] == family and _project(i) == project and "deprecated" not in i]
        if not found:
            path = f"projects/{project}/global/images/family/{family}"
            raise Refused(404, "notFound", f"The resource '{path}' was not found")
        return max(found, key=lambda item: str(item["creationTimestamp"]))

    def listed_images(self, project: str, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """`images.list`."""
        found = [i for i in self.images if _project(i) == project and self._matches(query, i)]
        newest = query.get("orderBy") == "creationTimestamp desc"
        return self._page(sorted(found, key=lambda i: i["creationTimestamp"], reverse=newest), query)

    def machine_types(self, query: Mapping[str, str]) -> dict[str, Any]:
        """`machineTypes.aggregatedList`, for a filter on one name: every zone has every type, less what is unsold."""
        wanted = query.get("filter", "").removeprefix("name eq ")
        items = {
            f"zones/{zone}": {"machineTypes": [{"name": wanted, "zone": zone}]}
            if (zone, wanted) not in self.script.unsold
            else {"warning": _warning(zone, [])}
            for zone in self.zones()
        }
        return {"kind": "compute#machineTypeAggregatedList", "items": items}

    def region(self, name: str) -> dict[str, Any]:
        """A region with its quotas."""
        rows = [
            {"metric": metric, "limit": self.limit(name, metric), "usage": self.used(name, metric)}
            for metric in (*GPU_METRICS, "CPUS")
        ]
        zones = [f"{WWW}projects/{self.project}/zones/{name}-{letter}" for letter in REGIONS[name]]
        link = f"{WWW}projects/{self.project}/regions/{name}"
        return {
            "kind": "compute#region",
            "name": name,
            "status": "UP",
            "zones": zones,
            "quotas": rows,
            "selfLink": link,
        }

    def limit(self, region: str, metric: str) -> float:
        """The quota of a metric."""
        return self.script.limits.get((region, metric), 500.0 if metric == "CPUS" else 16.0)

    def used(self, region: str, metric: str) -> float:
        """What instances use of it; stopped ones use none."""
        return sum(
            count
            for item in self.things.values()
            if item["kind"] == "compute#instance" and item["status"] != "TERMINATED"
            for name, count in gpus_of(item).items()
            if name == metric and f"/zones/{region}-" in item["zone"]
        )

    def project_record(self) -> dict[str, Any]:
        """`projects.get`."""
        used = sum(self.used(region, metric) for region in REGIONS for metric in GPU_METRICS)
        rows = [{"metric": "GPUS_ALL_REGIONS", "limit": self.script.all_regions, "usage": used}]
        rows.append({"metric": "NETWORKS", "limit": 15.0, "usage": 1.0})
        return {"kind": "compute#project", "name": self.project, "id": "77", "quotas": rows}

    # ---- what instances need (see instances.py)

    def _drop_instance(self, instance: dict[str, Any]) -> None:
        zone = instance["zone"].rpartition("/")[2]
        if self.things.get(("instances", zone, instance["name"])) is not instance:
            return
        del self.things["instances", zone, instance["name"]]
        for disk in instance["disks"]:
            name = disk["source"].rpartition("/")[2]
            if disk.get("autoDelete"):
                self.things.pop(("disks", zone, name), None)
            elif ("disks", zone, name) in self.things:
                self.things["disks", zone, name]["users"] = []
        self.switched_off(instance, True)

    def _turn_off(self, instance: dict[str, Any]) -> None:
        instance |= {"status": "TERMINATED", "lastStopTimestamp": stamp(self.clock())}
        for access in instance["networkInterfaces"][0].get("accessConfigs", ()):
            access.pop("natIP", None)
        self.switched_off(instance, False)

    def new_address(self) -> str:
        """A loopback address of its own for every start."""
        number = next(self._serial)
        return f"127.77.{number // 250}.{number % 250 + 2}"

    def new_private_address(self, subnet: Mapping[str, Any]) -> str:
        """An address in a subnet."""
        head = subnet["ipCidrRange"].rsplit(".", 2)[0]
        return f"{head}.{next(self._serial) % 15}.{next(self._serial) % 250 + 2}"


def _nothing(operation: dict[str, Any]) -> None:
    """Done when asked for."""


def _uses(thing: Mapping[str, Any], network: str) -> bool:
    if thing.get("network") == network:
        return True
    return any(item.get("network") == network for item in thing.get("networkInterfaces", ()))


def _warning(zone: str, silent: list[str]) -> dict[str, Any]:
    if zone in silent:
        return {"code": "UNREACHABLE", "message": f"Zone '{zone}' is unreachable."}
    return {"code": "NO_RESULTS_ON_PAGE", "message": f"There are no results for scope 'zones/{zone}' on this page."}


def _project(image: Mapping[str, Any]) -> str:
    return str(image["selfLink"]).removeprefix(f"{WWW}projects/").partition("/")[0]


def gpus_of(instance: Mapping[str, Any]) -> dict[str, int]:
    """Quota metric → how many GPUs an instance takes of it."""
    machine_type = instance["machineType"].rpartition("/")[2]
    spot = "PREEMPTIBLE_" if instance["scheduling"].get("provisioningModel") == "SPOT" else ""
    found = {
        spot + METRICS[card["acceleratorType"].rpartition("/")[2]]: card["acceleratorCount"]
        for card in instance.get("guestAccelerators", ())
    }
    for prefix, metric in METRICS.items():
        if machine_type.startswith(f"{prefix}-"):
            count = re.search(r"-(\d+)g$", machine_type)
            found[spot + metric] = int(count[1]) if count else 1
    return found


def _images() -> list[dict[str, Any]]:
    deep, ubuntu = "deeplearning-platform-release", "ubuntu-os-cloud"
    rows = (
        (deep, "common-cu128-ubuntu-2204-nvidia-570", "2026-09-01", 50, ""),
        (deep, "common-cu129-ubuntu-2404-nvidia-580", "2026-10-01", 50, ""),
        (deep, "common-cu129-ubuntu-2404-nvidia-580", "2026-11-01", 50, ""),
        (deep, "common-cu130-debian-12", "2026-11-02", 50, ""),
        (deep, "common-cu131-ubuntu-2404-nvidia-590", "2026-11-03", 50, "DEPRECATED"),
        (deep, "common-cpu", "2026-11-03", 50, ""),
        (ubuntu, "ubuntu-2404-lts-amd64", "2026-11-05", 10, ""),
        (ubuntu, "ubuntu-2404-lts-amd64", "2026-10-05", 10, ""),
        (ubuntu, "ubuntu-2204-lts", "2026-11-05", 10, ""),
    )
    return [_an_image(*row) for row in rows]


def _an_image(project: str, family: str, day: str, gib: int, deprecated: str) -> dict[str, Any]:
    name = f"{family}-v{day.replace('-', '')}"
    return {
        "kind": "compute#image",
        "name": name,
        "family": family,
        "status": "READY",
        "architecture": "X86_64",
        "diskSizeGb": str(gib),
        "creationTimestamp": f"{day}T00:00:00.000-07:00",
        "selfLink": f"{WWW}projects/{project}/global/images/{name}",
        **({"deprecated": {"state": deprecated}} if deprecated else {}),
    }


def stamp(epoch_s: float) -> str:
    """A time as Compute Engine writes it."""
    return datetime.fromtimestamp(epoch_s, timezone.utc).isoformat(timespec="milliseconds")
