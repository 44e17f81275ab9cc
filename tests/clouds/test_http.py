"""The server under the simulated clouds: every fault does what it says, to the right call, with or without effect."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time

import pytest

from tests.clouds.http import GARBAGE, Answer, Fault, SimServer, labels_of
from tests.clouds.tls import certificates


class Counter(SimServer):
    """Counts its effects; tokens are not counted as calls."""

    slow_s = 0.15

    def __init__(self, **options):
        super().__init__(**options)
        self.effects = []

    def label(self, request):
        return "" if request.path == "/token" else f"{request.method} {request.path}"

    def respond(self, request):
        self.effects.append(request)
        return Answer(200, {"sum": sum(map(int, request.query.get("n", ["0"]))), "sent": request.body.decode()})


@pytest.fixture
def server():
    with Counter() as made:
        yield made


def ask(server, path="/a?n=1&n=2", method="GET", body=b""):
    """(status, body) of one request on a connection of its own; None when the connection was closed instead."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return None
    finally:
        connection.close()


def test_requests_arrive_decoded(server):
    status, body = ask(server, "/a%20b?n=1&n=2&empty=", "POST", b"hello")
    assert status == 200 and json.loads(body) == {"sum": 3, "sent": "hello"}
    (request,) = server.effects
    assert (request.method, request.path, request.query["empty"]) == ("POST", "/a b", [""])


@pytest.mark.parametrize(
    ("kind", "answers", "effects"),
    [
        ("error_before", [500, 200], 1),
        ("error_after", [500, 200], 2),
        ("drop_before", [None, 200], 1),
        ("drop_after", [None, 200], 2),
        ("throttle_once", [503, 200], 1),
        ("throttle_forever", [503, 503], 0),
        ("garbage", [200, 200], 2),
        ("slow", [200, 200], 2),
    ],
)
def test_what_each_fault_does(server, kind, answers, effects):
    server.faults.append(Fault("GET /a", kind))
    begun = time.monotonic()
    first, second = ask(server), ask(server)
    assert [one and one[0] for one in (first, second)] == answers
    assert len(server.effects) == effects
    assert (first is not None and first[1] == GARBAGE) == (kind == "garbage")
    assert (time.monotonic() - begun >= server.slow_s) or kind != "slow"
    assert server.struck == (2 if kind == "throttle_forever" else 1)
    server.heal()
    assert ask(server)[0] == 200


def test_a_fault_finds_its_call_by_number_or_by_name(server):
    server.faults += [Fault(3, "error_before"), Fault("GET /b", "error_before", nth=2)]
    statuses = [ask(server, path)[0] for path in ("/a", "/token", "/b", "/a", "/b", "/a")]
    assert statuses == [200, 200, 200, 500, 500, 200]
    assert server.calls == ["GET /a", "GET /b", "GET /a", "GET /b", "GET /a"]
    assert labels_of(server.calls)[-1] == ("GET /a", 3)


def test_one_connection_serves_many_requests_and_none_survives_the_end(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    for _ in range(3):
        connection.request("GET", "/a")
        connection.getresponse().read()
    sock = connection.sock
    assert sock is not None
    server.close()
    assert sock.recv(1) == b""
    connection.close()


def test_effects_come_one_at_a_time_unless_the_cloud_says_otherwise():
    class Slow(Counter):
        inside = most = 0

        def respond(self, request):
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.05)
            self.inside -= 1
            return Answer()

    for serial, most in ((True, 1), (False, 3)):
        with Slow() as server:
            server.serial = serial
            threads = [threading.Thread(target=ask, args=(server,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert server.most == most


def test_tls_with_an_authority_of_our_own(tmp_path):
    made = certificates(tmp_path, ["cloud.test"])
    with Counter(tls=made.pair) as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        good = ssl.create_default_context(cafile=str(made.authority))
        for context, works in ((good, True), (ssl.create_default_context(), False)):
            connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=context)
            try:
                connection.request("GET", "/a")
                assert connection.getresponse().status == 200 and works
            except ssl.SSLCertVerificationError:
                assert not works
            finally:
                connection.close()
