"""The simulated subscription tells right from wrong: requests, order, what is used, what takes time."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request

import pytest

from tests.clouds.azure import compute, networks, schema
from tests.clouds.azure.cloud import IP, NIC, NSG, SUBSCRIPTION, VM, VNET
from tests.clouds.azure.sim import AzureSim

ROOT = f"/subscriptions/{SUBSCRIPTION}"


class Client:
    """Plain HTTPS, so that the simulator is tested without the library that it is there for."""

    def __init__(self, sim):
        self.sim, self.token = sim, sim.tokens.new()
        self.context = ssl.create_default_context(cafile=sim.environ["REQUESTS_CA_BUNDLE"])

    def __call__(self, method, path, body=None, **headers):
        mark = "&" if "?" in path else "?"
        url = path if path.startswith("https") else f"{self.sim.url}{ROOT}{path}{mark}api-version=2026-01-01"
        data = None if body is None else json.dumps(body).encode()
        all_headers = {"Authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        request = urllib.request.Request(url, data, all_headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=10) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None, dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())["error"]["code"], dict(error.headers)


@pytest.fixture
def sim(tmp_path):
    with AzureSim(tmp_path) as made:
        yield made


@pytest.fixture
def client(sim):
    return Client(sim)


def of(kind, name, group="g"):
    provider, what = kind.split("/")
    return f"/resourceGroups/{group}/providers/{provider}/{what}/{name}"


PLACE = {"location": "eastus", "tags": {"a": "b"}}
NETWORK = {
    **PLACE,
    "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}],
    },
}
ADDRESS = {**PLACE, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
LIST = "/resources?$filter=tagName%20eq%20'a'"


def interface(sim, **more):
    subnet = {"id": sim.cloud.identifier("g", VNET, "v") + "/subnets/s"}
    inner = {"subnet": subnet, "publicIPAddress": {"id": sim.cloud.identifier("g", IP, "i")}}
    return {**PLACE, **more, "properties": {"ipConfigurations": [{"name": "main", "properties": inner}]}}


def machine(sim, **more):
    nic = {"id": sim.cloud.identifier("g", NIC, "n"), "properties": {"deleteOption": "Delete"}}
    key = {"path": "/home/me/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA"}
    image = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}
    properties = {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": {
            "imageReference": image,
            "osDisk": {"name": "d", "createOption": "FromImage", "deleteOption": "Delete", "diskSizeGB": 30},
        },
        "osProfile": {
            "computerName": "m",
            "adminUsername": "me",
            "customData": "IyEvYmluL3No",
            "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}},
        },
        "networkProfile": {"networkInterfaces": [nic]},
    }
    return {**PLACE, "properties": {**properties, **more}}


@pytest.fixture
def made(sim, client):
    """A group with a network, an address, an interface and a machine."""
    assert client("PUT", "/resourceGroups/g", PLACE)[0] == 201
    for kind, name, body in ((VNET, "v", NETWORK), (IP, "i", ADDRESS), (NIC, "n", interface(sim))):
        assert client("PUT", of(kind, name), body)[0] == 201
    assert client("PUT", of(VM, "m"), machine(sim))[0] == 201
    sim.cloud.age()
    return client


def test_who_has_no_token(sim):
    client = Client(sim)
    client.token = "nobody"
    assert client("GET", "/resourceGroups")[:2] == (401, "ExpiredAuthenticationToken")


def test_a_version_must_be_named(sim, client):
    assert client("GET", f"{sim.url}{ROOT}/resourceGroups")[:2] == (400, "MissingApiVersionParameter")
    assert sim.problems


def test_the_order_of_things(sim, client):
    assert client("PUT", of(NIC, "n"), interface(sim))[:2] == (400, "InvalidResourceReference")
    assert client("PUT", of(IP, "i"), ADDRESS)[:2] == (404, "ResourceGroupNotFound")
    client("PUT", "/resourceGroups/g", PLACE)
    assert client("PUT", of(VM, "m"), machine(sim))[:2] == (400, "InvalidResourceReference")
    nowhere = {**ADDRESS, "location": "mars"}
    assert client("PUT", of(IP, "i"), nowhere)[:2] == (400, "LocationNotAvailableForResourceType")
    assert client("PUT", "/resourceGroups/g", {**PLACE, "location": "westus2"})[1] == "InvalidResourceGroupLocation"


def test_what_is_used_cannot_go(sim, made):
    assert made("DELETE", of(NIC, "n"))[:2] == (400, "NicInUse")
    assert made("DELETE", of(IP, "i"))[:2] == (400, "PublicIPAddressCannotBeDeleted")
    assert made("DELETE", of(VNET, "v"))[:2] == (400, "InUseSubnetCannotBeDeleted")
    assert made("PUT", of(VM, "m2"), machine(sim))[:2] == (409, "NicInUse")
    assert made("PUT", of(VM, "m"), machine(sim), If_None_Match="*")[:2] == (412, "PreconditionFailed")


def test_deleting_a_machine_takes_what_goes_with_it(sim, made):
    assert sorted(sim.left()) == [
        "disk d",
        "networkInterface n",
        "publicIPAddresse i",
        "resourceGroup g",
        "virtualMachine m",
        "virtualNetwork v",
    ]
    assert made("DELETE", of(VM, "m"))[0] == 202
    assert sorted(sim.left()) == [
        "publicIPAddresse i",
        "resourceGroup g",
        "virtualNetwork v",
    ]  # its address was not to go


def test_operations_take_their_time(sim, client):
    sim.cloud.operation_s, sim.retry_after = 60, "7"
    client("PUT", "/resourceGroups/g", PLACE)
    status, _, headers = client("PUT", of(IP, "i"), ADDRESS)
    assert (status, headers["Retry-After"]) == (201, "7")
    assert client("GET", headers["Azure-AsyncOperation"])[1]["status"] == "InProgress"
    status, _, gone = client("DELETE", "/resourceGroups/g")
    assert status == 202 and client("GET", gone["Location"])[0] == 202
    assert client("PUT", of(IP, "j"), ADDRESS)[1] == "ResourceGroupBeingDeleted"
    sim.clock.advance(61)
    assert client("GET", headers["Azure-AsyncOperation"])[1]["status"] == "Succeeded"
    assert client("GET", gone["Location"])[0] == 200 and sim.left() == []


def test_a_failed_removal_of_a_group(sim, made):
    sim.cloud.stuck = {"g"}
    _, _, headers = made("DELETE", "/resourceGroups/g")
    assert made("GET", headers["Location"])[:2] == (409, "ResourceGroupDeletionBlocked")
    assert "virtualMachine m" in sim.left()


def test_states_of_a_machine(sim, made):
    def codes():
        found = made("GET", f"{of(VM, 'm')}?$expand=instanceView")[1]["properties"]
        assert "customData" not in found["osProfile"]
        return [status["code"] for status in found["instanceView"]["statuses"]]

    assert codes() == ["ProvisioningState/succeeded", "PowerState/running"]
    compute.guest_off(sim.cloud, sim.machine("m"))
    assert codes()[1] == "PowerState/stopped" and compute.bills(sim.machine("m"))
    made("POST", f"{of(VM, 'm')}/deallocate")
    assert codes()[1] == "PowerState/deallocated" and not compute.bills(sim.machine("m"))
    made("POST", f"{of(VM, 'm')}/start")
    assert codes()[1] == "PowerState/running"


def test_the_index_lags_and_has_pages(sim, client):
    sim.cloud.index_lag_s, sim.page_size = 60, 1
    client("PUT", "/resourceGroups/g", PLACE)
    for name in ("i", "j"):
        client("PUT", of(IP, name), ADDRESS)
    assert client("GET", LIST)[1] == {"value": []}
    sim.clock.advance(61)
    first = client("GET", LIST)[1]
    second = client("GET", first["nextLink"])[1]
    assert [first["value"][0]["name"], second["value"][0]["name"]] == ["i", "j"] and "nextLink" not in second


def test_a_policy_and_a_service_that_is_off(sim, client):
    sim.cloud.required_tags = {"team"}
    assert client("PUT", "/resourceGroups/g", PLACE)[:2] == (403, "RequestDisallowedByPolicy")
    sim.cloud.required_tags = set()
    client("PUT", "/resourceGroups/g", PLACE)
    sim.cloud.registered.discard("microsoft.network")
    assert client("PUT", of(IP, "i"), ADDRESS)[:2] == (409, "MissingSubscriptionRegistration")
    sim.granted = set()
    assert client("GET", "/resourceGroups")[:2] == (403, "AuthorizationFailed")


def test_a_plan_to_deallocate(sim, made):
    def submit(identifier, deadline):
        schedule = {"deadline": deadline, "timezone": "UTC", "deadlineType": "InitiateAt"}
        body = {
            "schedule": schedule,
            "executionParameters": {},
            "resources": {"ids": [identifier]},
            "correlationid": "x",
        }
        verb = "virtualMachinesSubmitDeallocate"
        answer = made("POST", f"/providers/Microsoft.ComputeSchedule/locations/eastus/{verb}", body)
        return answer[1]["results"][0]

    identifier = sim.cloud.identifier("g", VM, "m")
    assert submit(identifier + "x", "2026-01-01T00:00:00Z")["errorCode"] == "ResourceNotFound"
    assert submit(identifier, "2099-01-01T00:00:00Z")["errorCode"] == "InvalidDeadline"
    soon = compute._iso(sim.clock() + 3600)
    operation = submit(identifier, soon)["operation"]["operationId"]
    verb = "/providers/Microsoft.ComputeSchedule/locations/eastus/virtualMachinesCancelOperations"
    answer = made("POST", verb, {"operationIds": [operation, "no"], "correlationid": "y"})[1]["results"]
    assert answer[0]["operation"]["state"] == "Cancelled" and answer[1]["errorCode"] == "OperationNotFound"
    submit(identifier, soon)
    sim.clock.advance(3700)
    sim.cloud.age()
    assert sim.machine("m")["_power"] == "deallocated"


def test_rules_decide_by_priority(sim, client):
    client("PUT", "/resourceGroups/g", PLACE)

    def rule(name, priority, access, source, port):
        words = {"priority": priority, "access": access, "sourceAddressPrefix": source, "destinationPortRange": port}
        more = {"direction": "Inbound", "protocol": "Tcp", "sourcePortRange": "*", "destinationAddressPrefix": "*"}
        return {"name": name, "properties": {**words, **more}}

    rules = [rule("deny", 300, "Deny", "*", "*"), rule("ssh", 200, "Allow", "192.0.2.0/24", "22")]
    assert client("PUT", of(NSG, "f"), {**PLACE, "properties": {"securityRules": rules}})[0] == 201
    firewall = sim.cloud.identifier("g", NSG, "f")
    assert networks.lets_in(sim.cloud, firewall, "192.0.2.1", 22)
    assert not networks.lets_in(sim.cloud, firewall, "192.0.2.1", 23)
    assert not networks.lets_in(sim.cloud, firewall, "198.51.100.1", 22)


WRONG = [
    ("microsoft.compute/virtualmachines", {"location": "eastus", "properties": {"hardwareprofile": {}}}),
    ("microsoft.compute/virtualmachines", {"location": "eastus", "properties": {"osProfile": {"adminUserName": "x"}}}),
    ("microsoft.network/publicipaddresses", {"location": "eastus", "properties": {"allocation": "Static"}}),
    ("microsoft.network/networkinterfaces", {"location": "eastus", "properties": {"ipConfigurations": [{"nam": "x"}]}}),
]
BY_TYPES_ONLY = [
    ("microsoft.compute/virtualmachines", {"location": "eastus", "properties": {"provisioningState": "Succeeded"}}),
    ("microsoft.compute/virtualmachines", {"properties": {}}),
    (
        "microsoft.compute/virtualmachines",
        {"location": "eastus", "properties": {"storageProfile": {"osDisk": {"diskSizeGB": "30"}}}},
    ),
]


@pytest.mark.parametrize(("kind", "body"), WRONG)
def test_wrong_requests_are_known_with_and_without_the_published_types(monkeypatch, kind, body):
    assert schema.problems_of(kind, body)
    monkeypatch.setattr(schema, "AT_START", "")
    assert schema.problems_of(kind, body)


@pytest.mark.skipif(schema.specs_folder() is None, reason=f"{schema.VARIABLE} names no published types")
@pytest.mark.parametrize(("kind", "body"), BY_TYPES_ONLY)
def test_what_only_the_published_types_know(kind, body):
    assert schema.problems_of(kind, body)


def test_a_right_request_is_right(sim, monkeypatch):
    assert schema.problems_of(VM, machine(sim)) == []
    monkeypatch.setattr(schema, "AT_START", "")
    assert schema.problems_of(VM, machine(sim)) == [] and schema.problems_of(VNET, NETWORK) == []
