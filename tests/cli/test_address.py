"""Who may connect over SSH."""

from __future__ import annotations

import pytest

from gpucloud.cli import address
from gpucloud.core.errors import Unreachable, UsageError


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
        address.own_address()
    assert asked == list(address.ECHO_SERVICES) and "--ssh-from" in caught.value.hint


def test_a_page_instead_of_an_address_is_not_believed(monkeypatch):
    import io

    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: io.BytesIO(b"<html>proxy</html>"))
    with pytest.raises(Unreachable):
        address.own_address()
