"""Who may connect over SSH."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gpucloud.cli import address
from gpucloud.core.errors import Unreachable, UsageError
from gpucloud.remote.address import ECHO_SERVICES, own_address


def test_words_become_networks(monkeypatch):
    assert address.ssh_from("203.0.113.7, 10.0.0.0/8") == ("203.0.113.7/32", "10.0.0.0/8")
    assert address.ssh_from("2001:db8::1") == ("2001:db8::1/128",)
    monkeypatch.setenv("GPUCLOUD_SSH_FROM", "198.51.100.0/24")
    assert address.ssh_from("auto") == ("198.51.100.0/24",)


def test_a_dry_run_asks_nobody(monkeypatch):
    monkeypatch.delenv("GPUCLOUD_SSH_FROM", raising=False)
    assert address.ssh_from("auto", ask=False) == ("auto",)


def test_what_is_no_network():
    with pytest.raises(UsageError):
        address.ssh_from("everywhere")


def test_the_second_service_is_asked_and_then_the_user(monkeypatch):
    asked = []

    def refuse(url, timeout):
        asked.append(url)
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(Unreachable) as caught:
        own_address({})
    assert asked == list(ECHO_SERVICES) and "--ssh-from" in caught.value.hint


def test_a_page_instead_of_an_address_is_not_believed(monkeypatch):
    import io

    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: io.BytesIO(b"<html>proxy</html>"))
    with pytest.raises(Unreachable):
        own_address({})


@pytest.fixture
def echo():
    """An echo service on loopback; `said` is what it answers, `asked` how often it was asked."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.said)

        def log_message(self, *words): ...

    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        server.asked, server.said = 0, b"203.0.113.7\n"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_another_service_can_be_named(echo, monkeypatch):
    monkeypatch.setenv("GPUCLOUD_ECHO_URLS", f"http://127.0.0.1:9/, http://127.0.0.1:{echo.server_port}/")
    assert address.ssh_from("auto") == ("203.0.113.7/32",)
    assert address.ssh_from("auto", ask=False) == ("auto",)
    assert echo.asked == 1


def test_a_machine_that_does_not_answer_after_the_address_changed(echo, monkeypatch):
    """`dial` knows the deployment by its folder on the machine, and asks only then for the own address."""
    from gpucloud.cli.outside import context, dial, home
    from gpucloud.core.cloud import Endpoint
    from gpucloud.core.events import Draft
    from gpucloud.flows.over_ssh import public_key

    public_key(home())
    monkeypatch.setattr("gpucloud.flows.over_ssh.CONNECT_S", 0.3)
    monkeypatch.setenv("GPUCLOUD_ECHO_URLS", f"http://127.0.0.1:{echo.server_port}/")
    identifier, key = (
        "train-abcdefgh",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
    )
    with context() as ctx:
        ctx.journal.append(
            Draft("deployment_created", identifier, {"name": "train"}),
            Draft("allowed", identifier, {"cidrs": ["198.51.100.0/24"]}),
        )
    closed = Endpoint("127.0.0.1", 9, "me", host_key=key, base_dir=f"gpucloud/{identifier}")
    with pytest.raises(Unreachable) as caught:
        dial()(closed)
    assert "Your address is 203.0.113.7/32 now" in caught.value.hint and "`gpucloud allow train`" in caught.value.hint
    echo.said = b"198.51.100.9"
    with pytest.raises(Unreachable) as caught:
        dial()(closed)
    assert "allow" not in caught.value.hint
