"""The simulated Compute Engine as a server: schema, credentials, permissions, then the cloud on paper.

    with GcpSim(tmp_path) as sim:
        provider = GcpProvider(Site(root, "home", sim.environ, templates), clock=sim.clock)

Every request and every answer is checked against the discovery document; what is wrong is in `problems`. With
`machines` every running instance is a real SSH server that obeys its boot data.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.clouds.gcp import instances
from tests.clouds.gcp.cloud import REGIONS, Clock, Cloud, Refused
from tests.clouds.gcp.schema import Method, answer_problems, method_of, request_problems
from tests.clouds.gcp.tokens import Tokens
from tests.clouds.http import Answer, Request, SimServer

PROJECT = "lab-project"
STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
# What a caller must be allowed (Compute Engine's reference of methods and their permissions, November 2026).
PERMISSIONS: Mapping[str, tuple[str, ...]] = {
    "instances.insert": (
        "compute.instances.create",
        "compute.instances.setLabels",
        "compute.instances.setMetadata",
        "compute.instances.setTags",
        "compute.disks.create",
        "compute.disks.setLabels",
        "compute.subnetworks.use",
    ),
    "instances.get": ("compute.instances.get",),
    "instances.aggregatedList": ("compute.instances.list",),
    "instances.delete": ("compute.instances.delete",),
    "instances.stop": ("compute.instances.stop",),
    "instances.start": ("compute.instances.start",),
    "instances.setLabels": ("compute.instances.setLabels",),
    "instances.setScheduling": ("compute.instances.setScheduling",),
    "disks.get": ("compute.disks.get",),
    "disks.delete": ("compute.disks.delete",),
    "disks.aggregatedList": ("compute.disks.list",),
    "firewalls.insert": ("compute.firewalls.create", "compute.networks.updatePolicy"),
    "firewalls.patch": ("compute.firewalls.get", "compute.firewalls.update", "compute.networks.updatePolicy"),
    "firewalls.delete": ("compute.firewalls.delete", "compute.networks.updatePolicy"),
    "firewalls.get": ("compute.firewalls.get",),
    "firewalls.list": ("compute.firewalls.list",),
    "networks.insert": ("compute.networks.create",),
    "networks.delete": ("compute.networks.delete",),
    "networks.get": ("compute.networks.get",),
    "networks.list": ("compute.networks.list",),
    "subnetworks.get": ("compute.subnetworks.get",),
    "machineTypes.aggregatedList": ("compute.machineTypes.list",),
    "regions.list": ("compute.regions.list",),
    "projects.get": ("compute.projects.get",),
    "zoneOperations.wait": ("compute.zoneOperations.get",),
    "globalOperations.wait": ("compute.globalOperations.get",),
    "images.getFromFamily": ("compute.images.getFromFamily",),
    "images.get": ("compute.images.get",),
    "images.list": ("compute.images.list",),
}
CHANGES = {
    "instances.insert": instances.insert,
    "instances.delete": instances.delete,
    "instances.stop": instances.stop,
    "instances.start": instances.start,
    "instances.setLabels": instances.set_labels,
    "instances.setScheduling": instances.set_scheduling,
    "disks.delete": instances.delete_disk,
    "firewalls.insert": Cloud.insert_firewall,
    "firewalls.patch": Cloud.patch_firewall,
    "firewalls.delete": Cloud.delete_firewall,
    "networks.insert": Cloud.insert_network,
    "networks.delete": Cloud.delete_network,
}


class GcpSim(SimServer):
    """One project. `granted` None means every permission; `used` collects those that were needed."""

    serial = False  # `wait` waits without the lock

    def __init__(self, folder: Path, *, default_network: bool = True, tls: tuple[str, str] | None = None) -> None:
        super().__init__(tls=tls)
        self.clock = Clock()
        self.cloud = Cloud(PROJECT, self.clock, default_network)
        self.tokens = Tokens(PROJECT)
        self.problems: list[str] = []
        self.granted: set[str] | None = None
        self.used: set[str] = set()
        self.enabled = True
        self.most_wait_s = 5.0
        folder.mkdir(parents=True, exist_ok=True)
        self.key_file = self.tokens.service_account_file(folder / "key.json", self.url)
        self.user_file = self.tokens.user_file(folder / "user.json", self.url)

    @property
    def environ(self) -> dict[str, str]:
        """What a command needs to speak to this cloud."""
        return {
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.key_file),
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{self.url}/compute/v1/",
            "NO_GCE_CHECK": "true",
            "GPUCLOUD_WAIT_RETRY": "0.02",
        }

    def left(self) -> list[str]:
        """Everything that exists and was not there in the beginning: machines, disks, rules, networks."""
        with self.lock:
            self.cloud.age()
            kinds = ("instances", "disks", "firewalls", "networks")
            return [f"{kind[:-1]} {name}" for kind, _, name in self.cloud.things if kind in kinds and not _old(name)]

    # ---- SimServer

    def label(self, request: Request) -> str:
        """The method's name; tokens are not counted."""
        found = method_of(request.method, request.path)
        return found[0].name if found else ""

    def trouble(self, kind: str, request: Request) -> Answer:
        """Google's own error bodies."""
        if kind == "throttled":
            error = Refused(403, "rateLimitExceeded", "Rate Limit Exceeded", "RATE_LIMIT_EXCEEDED")
            return Answer(403, _error_body(error), {"Retry-After": "1"})
        return Answer(503, _error_body(Refused(503, "backendError", "Internal error. Please try again.")))

    def respond(self, request: Request) -> Answer:
        """One call."""
        if request.path == "/token":
            return self.tokens.answer(request)
        found = method_of(request.method, request.path)
        try:
            if found is None:
                self.problems.append(f"no method: {request.method} {request.path}")
                raise Refused(404, "notFound", f"No method for {request.method} {request.path}")
            return self._answer(*found, request)
        except Refused as error:
            return Answer(error.status, _error_body(error))

    def _answer(self, method: Method, words: dict[str, str], request: Request) -> Answer:
        query = {name: values[0] for name, values in request.query.items()}
        self._admit(method, words, request)
        problems = request_problems(method, words, request.query, request.json)
        if problems:
            self.problems += [f"{method.name}: {problem}" for problem in problems]
            raise Refused(400, "invalid", "; ".join(problems))
        if method.name.endswith("Operations.wait"):
            self._wait(words["operation"])
        with self.lock:
            self.cloud.age()
            body = _public(self._call(method, words, query, request.json))
        problems = answer_problems(method, body)
        if problems:
            self.problems += [f"answer of {method.name}: {problem}" for problem in problems]
            raise Refused(500, "internalError", "; ".join(problems))
        return Answer(200, body)

    def _admit(self, method: Method, words: Mapping[str, str], request: Request) -> None:
        """Credentials, the service switched on, the project, permissions: in Google's order."""
        if not self.tokens.good(request.headers):
            raise Refused(401, "authError", "Request had invalid authentication credentials.", "ACCESS_TOKEN_EXPIRED")
        if not self.enabled:
            what = f"Compute Engine API has not been used in project {PROJECT} before or it is disabled."
            raise Refused(403, "accessNotConfigured", what, "SERVICE_DISABLED")
        public = method.name.startswith("images.") and method.verb == "GET"
        if words["project"] != PROJECT and not public:
            raise Refused(404, "notFound", f"The resource 'projects/{words['project']}' was not found")
        needed = set(PERMISSIONS.get(method.name, (f"compute.{method.name}",))) if not public else set()
        if method.name == "instances.insert":
            needed |= _for_body(request.json or {})
        self.used |= needed
        denied = sorted(needed - self.granted) if self.granted is not None else []
        if denied:
            what = f"Required '{denied[0]}' permission for '{request.path.partition('/v1/')[2]}'"
            raise Refused(403, "forbidden", what)

    def _wait(self, operation: str) -> None:
        """Until it is done, or the time is over."""
        end = time.monotonic() + self.most_wait_s
        while time.monotonic() < end:
            with self.lock:
                self.cloud.age()
                found = self.cloud.operations.get(operation)
                if found is None or found["status"] == "DONE":
                    return
                left = found["_due"] - self.clock()
            time.sleep(min(0.05, max(0.001, left)))

    def _call(self, method: Method, words: dict[str, str], query: dict[str, str], body: Any) -> dict[str, Any]:
        cloud, name = self.cloud, method.name
        kind, _, verb = name.partition(".")
        if name in CHANGES:
            return CHANGES[name](cloud, words, query, body)
        if kind.endswith("Operations"):
            return cloud.get_operation(words)
        if name == "machineTypes.aggregatedList":
            return cloud.machine_types(query)
        if verb == "aggregatedList":
            return cloud.aggregated(kind, query)
        if kind == "images":
            return self._images(verb, words, query)
        if name == "projects.get":
            return cloud.project_record()
        if name == "regions.list":
            return _list(kind, [cloud.region(region) for region in REGIONS], {})
        if name == "regions.get":
            return cloud.region(words["region"])
        if verb == "list" and kind in ("firewalls", "networks"):
            return _list(kind, *cloud.listed(kind, query))
        if verb == "get" and kind in ("instances", "disks", "firewalls", "networks", "subnetworks"):
            place = words.get("zone") or words.get("region") or "global"
            return cloud.get(kind, place, words[kind[:-1]])
        self.problems.append(f"{name} is not simulated")
        raise Refused(501, "notImplemented", f"{name} is not simulated")

    def _images(self, verb: str, words: Mapping[str, str], query: Mapping[str, str]) -> dict[str, Any]:
        if verb == "getFromFamily":
            return self.cloud.family(words["project"], words["family"])
        if verb == "get":
            return self.cloud.image(words["project"], words["image"])
        return _list("images", *self.cloud.listed_images(words["project"], query))


def _old(name: str) -> bool:
    return name == "default" or name.startswith("default-allow-")


def _for_body(body: Mapping[str, Any]) -> set[str]:
    """What an instance needs beyond the usual."""
    interfaces = body.get("networkInterfaces", [])
    outside = {"compute.subnetworks.useExternalIp"} if any(i.get("accessConfigs") for i in interfaces) else set()
    return outside | ({"iam.serviceAccounts.actAs"} if body.get("serviceAccounts") else set())


def _list(kind: str, items: list[dict[str, Any]], more: Mapping[str, str]) -> dict[str, Any]:
    return {"kind": f"compute#{kind[:-1]}List", "id": f"projects/{PROJECT}/{kind}", "items": items, **more}


def _public(value: Any) -> Any:
    """Without the simulator's own words."""
    if isinstance(value, dict):
        return {key: _public(item) for key, item in value.items() if not key.startswith("_")}
    return [_public(item) for item in value] if isinstance(value, (list, tuple)) else value


def _error_body(error: Refused) -> dict[str, Any]:
    body: dict[str, Any] = {
        "code": error.status,
        "message": error.message,
        "errors": [{"message": error.message, "domain": "global", "reason": error.reason}],
    }
    if error.status in STATUS:
        body["status"] = STATUS[error.status]
    if error.info:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        body["details"] = [{"@type": kind, "reason": error.info, "domain": "googleapis.com", "metadata": {}}]
    return {"error": body}
