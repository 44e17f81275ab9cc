"""The simulated Azure as a server: Entra ID, schema, permissions, then the subscription on paper.

    with AzureSim(tmp_path) as sim:
        provider = AzureProvider(Site(root, "home", sim.environ, templates), clock=sim.clock)

Every create request is checked against `schema.py`; what is wrong is in `problems`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.clouds.azure import compute, networks
from tests.clouds.azure.cloud import (
    DISK,
    LOCATIONS,
    NIC,
    NSG,
    SCHEDULE,
    SPELLED,
    SUBSCRIPTION,
    VM,
    Clock,
    Cloud,
    Operation,
    Refused,
    Thing,
)
from tests.clouds.azure.schema import problems_of
from tests.clouds.azure.tokens import CLIENT, SECRET, TENANT, Tokens
from tests.clouds.http import Answer, Request, SimServer
from tests.clouds.tls import certificates

_GROUP = r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups(?:/(?P<group>[^/]+))?"
_PROVIDER = r"/providers/(?P<provider>[^/]+)(?P<rest>(?:/[^/]+)*)"
_PATH = re.compile(f"{_GROUP}(?:{_PROVIDER}|(?P<inside>/resources))?", re.IGNORECASE)
_WIDE = re.compile(
    rf"/subscriptions(?:/(?P<subscription>[^/]+)(?:{_PROVIDER}|(?P<word>/locations|/resources))?)?", re.IGNORECASE
)
VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}


class AzureSim(SimServer):
    """One subscription. `granted` None means every action; `used` collects those that were needed."""

    slow_s = 0.1

    def __init__(self, folder: Path) -> None:
        self.certificates = certificates(folder / "tls")
        super().__init__(tls=self.certificates.pair)
        self.clock = Clock()
        self.cloud = Cloud(self.clock)
        self.tokens = Tokens()
        self.problems: list[str] = []
        self.granted: set[str] | None = None
        self.used: set[str] = set()
        self.retry_after = "0"  # what a long operation asks for between two looks
        self.page_size = 1000
        self.subscriptions = [SUBSCRIPTION]
        self.late_s = 0.0  # machines are not answered, and are made only after so long
        self._late: list[tuple[float, Request]] = []

    @property
    def environ(self) -> dict[str, str]:
        """What a command needs to speak to this cloud."""
        return {
            "AZURE_RESOURCE_MANAGER_ENDPOINT": self.url,
            "AZURE_AUTHORITY_HOST": self.url,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": SECRET,
            "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
            "REQUESTS_CA_BUNDLE": str(self.certificates.authority),
            "GPUCLOUD_WAIT_OPERATION": "0.01",
            "GPUCLOUD_WAIT_RETRY": "0.02",
        }

    def left(self) -> list[str]:
        """Everything that exists: groups, machines, disks, addresses, interfaces, firewalls, networks."""
        with self.lock:
            self._land()
            self.cloud.age()
            groups = [
                f"resourceGroup {group['name']}" for group in self.cloud.groups.values() if not group.get("_given")
            ]
            things = [thing for thing in self.cloud.things.values() if not thing.get("_given")]
            return groups + [f"{thing['type'].rpartition('/')[2][:-1]} {thing['name']}" for thing in things]

    def take_back(self, name: str) -> None:
        """The spot machine of that name is taken back."""
        with self.lock:
            self.cloud.take_back(name)

    def machine(self, name: str) -> Thing:
        """A machine by its name, as it is now."""
        with self.lock:
            self.cloud.age()
        return next(t for t in self.cloud.things.values() if t["type"] == SPELLED[VM] and t["name"] == name)

    # ---- SimServer

    def label(self, request: Request) -> str:
        """`PUT virtualMachines`, `GET operation`, `POST deallocate`; tokens are not counted."""
        if self.tokens.serves(request):
            return ""
        path = request.path.rstrip("/")
        if "/operations/" in path.lower():
            return f"{request.method} operation"
        words = path.split("/")
        if request.method == "POST":
            return f"POST {words[-1]}"
        group = _PATH.fullmatch(path)
        if group and group["provider"]:
            rest = group["rest"].strip("/").split("/")
            many = len(rest) % 2 == 1
            return f"{'LIST' if many and request.method == 'GET' else request.method} {rest[-1] if many else rest[-2]}"
        if group and group["inside"]:
            return "LIST resources of a group"
        if group:
            return f"{request.method if group['group'] else 'LIST'} resourceGroups"
        wide = _WIDE.fullmatch(path)
        if wide and wide["provider"] and wide["rest"]:
            rest = wide["rest"].strip("/").split("/")
            return f"{request.method} {rest[-1] if rest[0].lower() != 'locations' or len(rest) < 8 else 'image'}"
        name = words[-2] if wide and wide["provider"] else words[-1]
        return f"{request.method} {'subscription' if len(words) == 3 else name}"

    def trouble(self, kind: str, request: Request) -> Answer:
        """Azure's own error bodies."""
        if kind == "throttled":
            error = Refused(429, "TooManyRequests", "The request is being throttled.", Retry_After="1")
            return Answer(429, error.body(), error.headers)
        return Answer(500, Refused(500, "InternalServerError", "An internal server error occurred.").body())

    def handle(self, request: Request) -> Answer | None:
        """The answer, or none for a machine whose request lands late."""
        if self.late_s and self.label(request) == "PUT virtualMachines":
            with self.lock:
                self._late.append((self.clock() + self.late_s, request))
            return None
        return super().handle(request)

    def _land(self) -> None:
        """What was late arrives, whether it is still wanted or not."""
        due = [item for item in self._late if item[0] <= self.clock()]
        self._late = [item for item in self._late if item not in due]
        for _, request in due:
            with contextlib.suppress(Refused):
                self._route(request)

    def respond(self, request: Request) -> Answer:
        """One call."""
        if self.tokens.serves(request):
            return self.tokens.answer(request, self.url)
        self._land()
        self.cloud.age()
        try:
            return self._route(request)
        except Refused as error:
            return Answer(error.status, error.body(), error.headers)

    def _route(self, request: Request) -> Answer:
        if not self.tokens.good(request.headers):
            raise Refused(401, "ExpiredAuthenticationToken", "The access token expiry is in the past.")
        if "api-version" not in request.query:
            self.problems.append(f"{request.method} {request.path} has no api-version")
            raise Refused(400, "MissingApiVersionParameter")
        path = request.path.rstrip("/")
        operation = re.fullmatch(r"/subscriptions/[^/]+/operations/([^/]+)", path)
        if operation:
            return self._operation(operation[1], "location" in request.query)
        inside, wide = _PATH.fullmatch(path), _WIDE.fullmatch(path)
        found = inside or wide
        if found is None:
            raise Refused(404, "InvalidResourceType", f"Nothing is at {path}.")
        subscription = found["subscription"]
        if subscription and subscription not in self.subscriptions:
            raise Refused(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
        if inside:
            return self._in_groups(request, inside)
        return self._wide(request, wide)  # type: ignore[arg-type]

    # ---- the subscription as a whole

    def _wide(self, request: Request, found: re.Match[str]) -> Answer:
        if not found["subscription"]:
            known = [{"subscriptionId": item, "state": "Enabled"} for item in self.subscriptions]
            return Answer(200, {"value": known})
        if found["word"]:
            if found["word"].lower() == "/locations":
                self._need("Microsoft.Resources/subscriptions/locations/read")
                known = [{"name": item, "metadata": {"regionType": "Physical"}} for item in LOCATIONS]
                return Answer(200, {"value": [*known, {"name": "europe", "metadata": {"regionType": "Logical"}}]})
            self._need("Microsoft.Resources/subscriptions/resources/read")
            return self._page(request, self._tagged(request))
        if not found["provider"]:
            self._need("Microsoft.Resources/subscriptions/read")
            return Answer(200, {"subscriptionId": SUBSCRIPTION, "state": "Enabled", "displayName": "lab"})
        return self._provider(request, found["provider"], found["rest"].strip("/"))

    def _provider(self, request: Request, provider: str, rest: str) -> Answer:
        if not rest:
            self._need("Microsoft.Resources/subscriptions/providers/read")
            state = "Registered" if provider.lower() in self.cloud.registered else "NotRegistered"
            return Answer(200, {"namespace": provider, "registrationState": state, "resourceTypes": []})
        self._registered(provider)
        words = rest.split("/")
        if provider.lower() == "microsoft.computeschedule":
            self._need(f"Microsoft.ComputeSchedule/locations/{words[2]}/action")
            if words[2] == "virtualMachinesSubmitDeallocate":
                for identifier in request.json["resources"]["ids"]:
                    self._need("Microsoft.Compute/virtualMachines/deallocate/action", identifier)
                return Answer(200, compute.submit(self.cloud, words[1], request.json))
            return Answer(200, compute.cancel(self.cloud, request.json))
        if words[-1].lower() == "usages":
            self._need("Microsoft.Compute/locations/usages/read")
            return Answer(200, {"value": self._usages(words[1])})
        if "versions" in words:
            self._need("Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read")
            return self._image(words)
        raise Refused(404, "InvalidResourceType", f"{provider}/{rest} is not simulated.")

    def _usages(self, region: str) -> list[dict[str, Any]]:
        used = compute.usage(self.cloud, region)
        names = (
            {family for family, _ in compute.SIZES.values()} | {"cores", "lowPriorityCores"} | set(self.cloud.limits)
        )
        return [
            {
                "name": {"value": name, "localizedValue": f"{name} vCPUs"},
                "limit": self.cloud.limits.get(name, 100),
                "currentValue": used.get(name, 0),
                "unit": "Count",
            }
            for name in sorted(names)
        ]

    def _image(self, words: list[str]) -> Answer:
        region, publisher, offer, sku = words[1], words[3], words[7], words[9]
        version, least, plan = compute.find_image(region, publisher, offer, sku)
        base = {"name": version, "location": region, "id": "/" + "/".join([*words[:11], version])}
        if len(words) == 11:
            return Answer(200, [base])
        if words[11] != version:
            raise Refused(404, "NotFound", "There is no such version.")
        properties = {
            "osDiskImage": {"operatingSystem": "Linux", "sizeInGb": least},
            **({"plan": plan} if plan else {}),
        }
        return Answer(200, {**base, "properties": properties})

    def _tagged(self, request: Request) -> list[Thing]:
        """The index of tags: whole things only after a while."""
        things = [item for item in self.cloud.things.values() if item["_indexed"] <= self.clock()]
        return [_brief(item) for item in things if _matches(item, request.query.get("$filter", [""])[0])]

    def _page(self, request: Request, items: list[Any]) -> Answer:
        start = int(request.query.get("$skiptoken", ["0"])[0])
        page, rest = items[start : start + self.page_size], items[start + self.page_size :]
        body: dict[str, Any] = {"value": [_public(item) for item in page]}
        if rest:
            query = "&".join(f"{k}={v[0]}" for k, v in request.query.items() if k != "$skiptoken")
            body["nextLink"] = f"{self.url}{request.path}?{query}&$skiptoken={start + self.page_size}".replace(
                " ", "%20"
            )
        return Answer(200, body)

    # ---- inside groups

    def _in_groups(self, request: Request, found: re.Match[str]) -> Answer:
        if found["provider"]:
            return self._in_group(request, found["group"], found["provider"], found["rest"].strip("/").split("/"))
        name, method = found["group"], request.method
        if found["inside"]:
            self._need("Microsoft.Resources/subscriptions/resourceGroups/resources/read")
            self.cloud.group(name)
            inside = [t for t in self.cloud.things.values() if t["_group"] == name.lower()]
            return self._page(request, [_brief(item) for item in inside])
        self._need(f"Microsoft.Resources/subscriptions/resourceGroups/{VERBS[method]}")
        if not name:
            words = request.query.get("$filter", [""])[0]
            groups = [g for g in self.cloud.groups.values() if g["_indexed"] <= self.clock() and _matches(g, words)]
            return self._page(request, groups)
        if method == "PUT":
            self._check("microsoft.resources/resourcegroups", request.json)
            status, group = self.cloud.put_group(name, request.json)
            return Answer(status, _public(group))
        if method == "PATCH":
            group = self.cloud.group(name)
            group["tags"] = dict(request.json["tags"])
            return Answer(200, _public(group))
        if method == "DELETE":
            return self._accepted(self.cloud.delete_group(name), 202, by_location=True)
        return Answer(200, _public(self.cloud.group(name)))

    def _in_group(self, request: Request, group: str, provider: str, rest: list[str]) -> Answer:
        self._registered(provider)
        kind, method = f"{provider}/{rest[0]}".lower(), request.method
        if kind not in SPELLED:
            raise Refused(404, "InvalidResourceType", f"{kind} is not simulated.")
        if method == "POST":
            self._need(f"{SPELLED[kind]}/{rest[2]}/action")
            return self._accepted(compute.power(self.cloud, self._thing(group, kind, rest[1]), rest[2]), 202)
        if len(rest) == 4:
            return self._rule(request, group, kind, rest)
        self._need(f"{SPELLED[kind]}/{VERBS[method]}")
        if len(rest) == 1:
            self.cloud.group(group)
            inside = [
                t for t in self.cloud.things.values() if t["_group"] == group.lower() and t["type"] == SPELLED[kind]
            ]
            return self._page(request, [self._shown(item, "") for item in inside])
        if method == "PUT":
            return self._put(request, group, kind, rest[1])
        thing = self._thing(group, kind, rest[1])
        if method == "PATCH":
            thing["tags"] = dict(request.json["tags"])
            return Answer(200, self._shown(thing, ""))
        if method == "DELETE":
            return self._delete(thing, kind)
        return Answer(200, self._shown(thing, request.query.get("$expand", [""])[0]))

    def _rule(self, request: Request, group: str, kind: str, rest: list[str]) -> Answer:
        self._need(f"{SPELLED[kind]}/{rest[2]}/{VERBS[request.method]}")
        self._check(f"{kind}/{rest[2]}".lower(), request.json)
        made = networks.put_rule(self.cloud, self.cloud.identifier(group, kind, rest[1]), rest[3], request.json)
        return Answer(200, made)

    def _thing(self, group: str, kind: str, name: str) -> Thing:
        self.cloud.group(group)
        return self.cloud.thing(self.cloud.identifier(group, kind, name))

    def _shown(self, thing: Thing, expand: str) -> Any:
        if thing["type"] == SPELLED[VM]:
            return compute.shown(thing, expand)
        return _public(networks.shown(self.cloud, thing, expand))

    def _put(self, request: Request, group: str, kind: str, name: str) -> Answer:
        body = request.json
        self._check(kind, body)
        self._linked(kind, body)
        if kind == VM:
            unless = request.headers.get("if-none-match") == "*"
            thing, operation = compute.put_machine(self.cloud, group, name, body, unless)
            return self._accepted(operation, 201, self._shown(thing, ""))
        if kind == SCHEDULE:
            thing, new = compute.put_schedule(self.cloud, group, name, body)
            return Answer(201 if new else 200, _public(thing))
        thing, new = networks.put(self.cloud, group, kind, name, body)
        operation = self.cloud.begin(lambda: None, thing["id"])
        return self._accepted(operation, 201 if new else 200, self._shown(thing, ""))

    def _linked(self, kind: str, body: Mapping[str, Any]) -> None:
        """What a request needs beyond its own type."""
        properties = body["properties"]
        if kind == VM:
            self._need("Microsoft.Network/networkInterfaces/join/action")
            self._need("Microsoft.Compute/disks/write")
            if body.get("identity"):
                self._need("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action")
        if kind == NIC:
            self._need("Microsoft.Network/virtualNetworks/subnets/join/action")
            inner = properties["ipConfigurations"][0]["properties"]
            if inner.get("publicIPAddress"):
                self._need("Microsoft.Network/publicIPAddresses/join/action")
            if inner.get("applicationSecurityGroups"):
                self._need("Microsoft.Network/applicationSecurityGroups/joinIpConfiguration/action")
            if properties.get("networkSecurityGroup"):
                self._need("Microsoft.Network/networkSecurityGroups/join/action")
        rules = properties.get("securityRules") or () if kind == NSG else ()
        if any(rule["properties"].get("sourceApplicationSecurityGroups") for rule in rules):
            self._need("Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action")

    def _delete(self, thing: Thing, kind: str) -> Answer:
        if kind == VM:
            return self._accepted(compute.delete_machine(self.cloud, thing), 202)
        if kind == DISK and thing.get("managedBy"):
            raise Refused(409, "OperationNotAllowed", f"Disk {thing['name']} is attached to a machine.")
        networks.check_free(self.cloud, thing, kind)

        def effect() -> None:
            self.cloud.drop(thing)

        if kind == SCHEDULE:
            effect()
            return Answer(200)
        return self._accepted(self.cloud.begin(effect), 202)

    # ---- operations

    def _accepted(self, operation: Operation, status: int, body: Any = b"", by_location: bool = False) -> Answer:
        where = f"{self.url}/subscriptions/{SUBSCRIPTION}/operations/{operation.id}?api-version=2024-01-01"
        headers = {"Location": f"{where}&location=1"}
        if not by_location:
            headers["Azure-AsyncOperation"] = where
        return Answer(status, body, {**headers, "Retry-After": self.retry_after})

    def _operation(self, name: str, by_location: bool) -> Answer:
        operation = self.cloud.operations.get(name)
        if operation is None:
            raise Refused(404, "NotFound", f"There is no operation {name}.")
        if by_location:
            if operation.error:
                return Answer(operation.error.status, operation.error.body())
            return self._accepted(operation, 202, by_location=True) if operation.status == "InProgress" else Answer(200)
        body: dict[str, Any] = {"name": name, "status": operation.status}
        if operation.error:
            body |= operation.error.body()
        return Answer(200, body, {"Retry-After": self.retry_after} if operation.status == "InProgress" else {})

    # ---- who may what

    def _need(self, action: str, scope: str = "") -> None:
        self.used.add(action)
        if self.granted is not None and action not in self.granted:
            what = (
                f"The client '{CLIENT}' does not have authorization to perform action '{action}' over scope '{scope}'."
            )
            raise Refused(403, "AuthorizationFailed", what)

    def _registered(self, provider: str) -> None:
        if provider.lower() not in self.cloud.registered:
            what = f"The subscription is not registered to use namespace '{provider}'."
            raise Refused(409, "MissingSubscriptionRegistration", what)

    def _check(self, kind: str, body: Mapping[str, Any]) -> None:
        problems = problems_of(kind, body)
        if problems:
            self.problems += [f"{kind}{problem}" for problem in problems]
            raise Refused(400, "InvalidRequestContent", "; ".join(problems))


def _matches(item: Thing, words: str) -> bool:
    """`tagName eq 'a' and tagValue eq 'b'`, `resourceType eq 'x'`; nothing matches everything."""
    wanted = dict(re.findall(r"(\w+) eq '([^']*)'", words))
    tags = item["tags"]
    if "resourceType" in wanted and item["type"].lower() != wanted["resourceType"].lower():
        return False
    if "tagName" in wanted and wanted["tagName"] not in tags:
        return False
    return "tagValue" not in wanted or tags.get(wanted.get("tagName", "")) == wanted["tagValue"]


def _brief(item: Thing) -> Thing:
    """As the index shows it: without properties."""
    from datetime import datetime, timezone

    created = datetime.fromtimestamp(item["_created"], timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
    return {**{key: item[key] for key in ("id", "name", "type", "location", "tags")}, "createdTime": created}


def _public(value: Any) -> Any:
    """Without the simulator's own words."""
    if isinstance(value, dict):
        return {key: _public(item) for key, item in value.items() if not str(key).startswith("_")}
    return [_public(item) for item in value] if isinstance(value, (list, tuple)) else value


def open_sim(folder: Path) -> AzureSim:
    """A running simulator."""
    sim = AzureSim(folder)
    sim.__enter__()
    return sim
