"""The simulated Compute Engine itself: as strict as the discovery document, and as slow, full and forgetful as told."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid

import pytest

from tests.clouds.gcp import filters, firewall
from tests.clouds.gcp.schema import answer_problems, check, method_of, methods, request_problems
from tests.clouds.gcp.sim import CHANGES, PERMISSIONS, PROJECT, GcpSim

ZONE = "us-central1-a"
AT = f"projects/{PROJECT}/zones/{ZONE}"
IMAGE = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"


@pytest.fixture
def sim(tmp_path):
    with GcpSim(tmp_path) as made:
        made.tokens.given.add("good")
        yield made


def call(sim, method, path, body=None, token="good", **query):
    """Status and body of one request."""
    words = "&".join(f"{key}={value}" for key, value in query.items())
    request = urllib.request.Request(f"{sim.url}/compute/v1/{path}?{words}", method=method)
    request.add_header("Authorization", f"Bearer {token}")
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def instance(name="one", **more):
    disk = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": IMAGE, "diskType": "pd-balanced"}}
    machine_type = f"zones/{ZONE}/machineTypes/e2-small"
    interface = {"network": "global/networks/default", "accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}
    return {
        "name": name,
        "machineType": machine_type,
        "disks": [disk],
        "networkInterfaces": [interface],
        "scheduling": {},
    } | more


def insert(sim, body, **query):
    return call(sim, "POST", f"{AT}/instances", body, **query)


def finished(sim, operation):
    status, body = call(sim, "POST", f"{AT}/operations/{operation['name']}/wait")
    assert status == 200
    return body


def reason(answer):
    status, body = answer
    return status, body["error"]["errors"][0]["reason"]


# ---- the document


def test_every_method_that_is_simulated_is_in_the_document():
    known = {method.name for method in methods()}
    assert set(PERMISSIONS) <= known and set(CHANGES) <= set(PERMISSIONS)


def test_a_path_means_one_method():
    method, words = method_of("POST", f"/compute/v1/{AT}/instances/a/stop")
    assert (method.name, words["instance"]) == ("instances.stop", "a")
    assert method_of("POST", f"/compute/v1/{AT}/instances/a") is None
    assert method_of("GET", "/elsewhere") is None


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"name": "x", "nmae": "y"}, ".nmae is unknown"),
        ({"name": 5}, ".name is no string"),
        ({"disks": {"boot": True}}, ".disks is no list"),
        ({"disks": [{"boot": "yes"}]}, ".disks[0].boot is no boolean"),
        ({"disks": [{"diskSizeGb": "many"}]}, "is no whole number"),
        ({"scheduling": {"provisioningModel": "CHEAP"}}, "is none of its values"),
        ({"labels": {"a": 1}}, ".labels.a is no string"),
        ({"labelFingerprint": "%%%"}, "is not base64"),
    ],
)
def test_the_schema_sees_what_is_wrong(value, wrong):
    (found,) = check({"$ref": "Instance"}, value, "")
    assert wrong in found


def test_words_of_a_request():
    method, words = method_of("POST", f"/compute/v1/{AT}/instances")
    assert request_problems(method, words, {}, {"name": "x"}) == []
    assert "no parameter" in request_problems(method, words, {"dryRun": ["1"]}, {})[0]
    assert "no UUID" in request_problems(method, words, {"requestId": ["again"]}, {})[0]
    assert "does not match" in request_problems(method, {**words, "zone": "US"}, {}, {})[0]
    found, words = method_of("GET", f"/compute/v1/projects/{PROJECT}/aggregated/instances")
    assert "no number" in request_problems(found, words, {"maxResults": ["all"]}, None)[0]
    assert answer_problems(found, {"items": {"zones/a": {"instances": [{"status": "FINE"}]}}})


def test_what_is_illegal_is_refused_and_remembered(sim):
    assert reason(insert(sim, instance(nmae="x"))) == (400, "invalid")
    assert "nmae" in sim.problems[0]
    status, _ = call(sim, "POST", f"{AT}/instances/x/suspend")
    assert status == 501 and "not simulated" in sim.problems[-1]


# ---- who may


def test_credentials_service_project_permission(sim):
    path = f"projects/{PROJECT}"
    assert reason(call(sim, "GET", path, token="bad")) == (401, "authError")
    assert reason(call(sim, "GET", "projects/other")) == (404, "notFound")
    sim.granted = set()
    status, body = call(sim, "GET", path)
    assert status == 403 and "compute.projects.get" in body["error"]["message"]
    sim.enabled = False
    status, body = call(sim, "GET", path)
    assert body["error"]["details"][0]["reason"] == "SERVICE_DISABLED"


def test_images_of_google_are_everybodys(sim):
    sim.granted = set()
    status, body = call(sim, "GET", "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64")
    assert (status, body["name"]) == (200, "ubuntu-2404-lts-amd64-v20261105")


# ---- machines


def test_the_life_of_a_machine(sim):
    status, operation = insert(sim, instance())
    assert (status, operation["status"]) == (200, "RUNNING") and "_due" not in operation
    assert finished(sim, operation)["status"] == "DONE"
    status, made = call(sim, "GET", f"{AT}/instances/one")
    assert made["status"] == "RUNNING" and made["networkInterfaces"][0]["accessConfigs"][0]["natIP"].startswith("127.")
    finished(sim, call(sim, "POST", f"{AT}/instances/one/stop")[1])
    assert call(sim, "GET", f"{AT}/instances/one")[1]["status"] == "TERMINATED"
    finished(sim, call(sim, "POST", f"{AT}/instances/one/start")[1])
    finished(sim, call(sim, "DELETE", f"{AT}/instances/one")[1])
    assert reason(call(sim, "GET", f"{AT}/instances/one")) == (404, "notFound")
    assert sim.left() == [] and sim.problems == []


def test_the_same_request_id_makes_nothing_twice(sim):
    key = str(uuid.uuid4())
    first, again = (insert(sim, instance(), requestId=key)[1]["name"] for _ in range(2))
    assert first == again
    assert reason(insert(sim, instance(), requestId=str(uuid.uuid4()))) == (409, "alreadyExists")
    sim.clock.advance(4000)
    assert reason(insert(sim, instance(), requestId=key)) == (409, "alreadyExists")


def test_a_request_id_outlives_what_it_made(sim):
    """The trap: made, removed, and asked for again under the same id, there is nothing."""
    key = str(uuid.uuid4())
    finished(sim, insert(sim, instance(), requestId=key)[1])
    finished(sim, call(sim, "DELETE", f"{AT}/instances/one")[1])
    assert insert(sim, instance(), requestId=key)[1]["status"] == "DONE" and sim.left() == []


GPU = {
    "guestAccelerators": [{"acceleratorType": f"zones/{ZONE}/acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 1}]
}
N1 = {"machineType": f"zones/{ZONE}/machineTypes/n1-standard-8"}
STAYS = {"scheduling": {"onHostMaintenance": "TERMINATE"}}


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"name": "Upper"}, 400),
        ({"labels": {"Team": "x"}}, 400),
        ({"labels": {"team": "X"}}, 400),
        ({"machineType": "zones/us-east1-b/machineTypes/e2-small"}, 400),
        ({**N1, **GPU}, 400),
        ({**GPU, **STAYS}, 400),
        ({**N1, **GPU, **STAYS}, 200),
        (
            {"scheduling": {"provisioningModel": "SPOT", "automaticRestart": True, "onHostMaintenance": "TERMINATE"}},
            400,
        ),
        ({"scheduling": {"maxRunDuration": {"seconds": "3600"}}}, 400),
        ({"scheduling": {"maxRunDuration": {"seconds": "20"}, "instanceTerminationAction": "DELETE"}}, 400),
        ({"scheduling": {"maxRunDuration": {"seconds": "3600"}, "instanceTerminationAction": "DELETE"}}, 200),
        ({"metadata": {"items": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}}, 400),
        ({"networkInterfaces": [{"network": "global/networks/none"}]}, 404),
    ],
)
def test_rules_of_machines(sim, more, status):
    assert insert(sim, instance(**more))[0] == status
    assert (sim.left() == []) == (status != 200)


def test_no_capacity_is_told_by_the_operation(sim):
    sim.cloud.script.capacity[ZONE] = 0
    status, operation = insert(sim, instance())
    done = finished(sim, operation)
    assert (status, done["httpErrorStatusCode"]) == (200, 503)
    assert done["error"]["errors"][0]["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
    assert sim.left() == []


def test_operations_take_their_time(sim):
    sim.cloud.script.operation_s = 1000
    sim.most_wait_s = 0.1
    operation = insert(sim, instance())[1]
    assert finished(sim, operation)["status"] == "RUNNING"
    assert call(sim, "GET", f"{AT}/instances/one")[1]["status"] == "PROVISIONING"
    sim.clock.advance(1001)
    assert finished(sim, operation)["status"] == "DONE"


def test_new_machines_may_not_be_shown_yet(sim):
    sim.cloud.script.hidden_s = 60
    finished(sim, insert(sim, instance())[1])
    path = f"projects/{PROJECT}/aggregated/instances"
    assert "instances" not in call(sim, "GET", path)[1]["items"][f"zones/{ZONE}"]
    sim.clock.advance(61)
    assert call(sim, "GET", path)[1]["items"][f"zones/{ZONE}"]["instances"][0]["name"] == "one"


def test_pages_and_silent_zones(sim):
    for number in range(3):
        finished(sim, insert(sim, instance(f"m{number}"))[1])
    path = f"projects/{PROJECT}/aggregated/instances"
    sim.cloud.script.page_size = 2
    first = call(sim, "GET", path)[1]
    second = call(sim, "GET", path, pageToken=first["nextPageToken"])[1]
    names = [item["name"] for page in (first, second) for item in page["items"][f"zones/{ZONE}"].get("instances", [])]
    assert names == ["m0", "m1", "m2"] and "nextPageToken" not in second
    sim.cloud.script.silent_zones = {ZONE}
    partial = call(sim, "GET", path)[1]
    assert partial["items"][f"zones/{ZONE}"]["warning"]["code"] == "UNREACHABLE"
    assert partial["unreachables"] == [f"zones/{ZONE}"]
    sim.cloud.script.all_or_nothing = True
    assert reason(call(sim, "GET", path)) == (503, "backendError")


def test_limits_really_delete_and_preemptions_stop(sim):
    limit = {"maxRunDuration": {"seconds": "3600"}, "instanceTerminationAction": "DELETE"}
    finished(sim, insert(sim, instance("limited", scheduling=limit))[1])
    spot = {"provisioningModel": "SPOT", "onHostMaintenance": "TERMINATE"}
    finished(sim, insert(sim, instance("spot", scheduling=spot))[1])
    sim.clock.advance(3601)
    assert sim.left() == ["instance spot", "disk spot"] or set(sim.left()) == {"instance spot", "disk spot"}
    sim.cloud.preempt("spot")
    assert sim.cloud.instance("spot")["status"] == "TERMINATED" and sim.cloud.deleted == ["limited"]


def test_labels_need_the_newest_fingerprint(sim):
    finished(sim, insert(sim, instance(labels={"a": "1"}))[1])
    mark = call(sim, "GET", f"{AT}/instances/one")[1]["labelFingerprint"]
    body = {"labels": {"b": "2"}, "labelFingerprint": mark}
    assert call(sim, "POST", f"{AT}/instances/one/setLabels", body)[0] == 200
    assert reason(call(sim, "POST", f"{AT}/instances/one/setLabels", body)) == (412, "conditionNotMet")


def test_a_network_in_use_stays(sim):
    assert reason(call(sim, "DELETE", f"projects/{PROJECT}/global/networks/default")) == (
        400,
        "resourceInUseByAnotherResource",
    )


def test_trouble_speaks_googles_words(sim):
    from tests.clouds.http import Fault

    sim.faults += [Fault("projects.get", "throttle_once"), Fault("projects.get", "error_before", 2)]
    assert reason(call(sim, "GET", f"projects/{PROJECT}")) == (403, "rateLimitExceeded")
    assert reason(call(sim, "GET", f"projects/{PROJECT}")) == (503, "backendError")
    assert call(sim, "GET", f"projects/{PROJECT}")[0] == 200 and sim.calls == ["projects.get"] * 3


# ---- filters and ingress


def test_filters():
    thing = {"name": "gpucloud-x", "labels": {"a-b": "1"}}
    assert filters.matcher("labels.a-b:*")(thing) and not filters.matcher("labels.c:*")(thing)
    assert filters.matcher("labels.a-b=1")(thing) and not filters.matcher("labels.a-b=2")(thing)
    assert filters.matcher("name eq gpucloud-.*")(thing) and not filters.matcher("name eq gpu")(thing)
    with pytest.raises(ValueError, match="filter"):
        filters.matcher("name like gpucloud")


def rule(priority, action, **more):
    return {
        "network": "n",
        "priority": priority,
        action: [{"IPProtocol": "all"}],
        "sourceRanges": ["0.0.0.0/0"],
        **more,
    }


@pytest.mark.parametrize(
    ("rules", "reached"),
    [
        ([], False),
        ([rule(1000, "allowed")], True),
        ([rule(1000, "allowed"), rule(999, "denied")], False),
        ([rule(1000, "allowed"), rule(1000, "denied")], False),
        ([rule(1000, "denied"), rule(999, "allowed")], True),
        ([rule(1, "allowed", disabled=True)], False),
        ([rule(1, "allowed", network="other")], False),
        ([rule(1, "allowed", direction="EGRESS")], False),
        ([rule(1, "allowed", targetTags=["t"])], True),
        ([rule(1, "allowed", targetTags=["u"])], False),
        ([rule(1, "allowed", sourceRanges=["10.0.0.0/8"])], False),
        ([rule(1, "allowed", sourceRanges=[], sourceTags=["t"])], False),
        ([rule(1, "allowed", allowed=[{"IPProtocol": "udp"}])], False),
        ([rule(1, "allowed", allowed=[{"IPProtocol": "tcp", "ports": ["20-23"]}])], True),
        ([rule(1, "allowed", allowed=[{"IPProtocol": "tcp", "ports": ["80"]}])], False),
    ],
)
def test_effective_ingress(rules, reached):
    target = {"networkInterfaces": [{"network": "n"}], "tags": {"items": ["t"]}}
    assert firewall.reaches(target, rules, 22, "198.51.100.1") is reached


def test_tags_count_only_inside_the_network():
    target = {"networkInterfaces": [{"network": "n"}], "tags": {"items": ["t"]}}
    rules = [rule(1, "allowed", sourceRanges=[], sourceTags=["t"])]
    assert firewall.reaches(target, rules, 22, "10.0.0.2", ["t"], "n")
    assert not firewall.reaches(target, rules, 22, "10.0.0.2", ["t"], "m")
