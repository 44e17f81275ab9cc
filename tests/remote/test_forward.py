"""Ports of a machine on our loopback address: whole, both ways, each end passed on."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace

import pytest

from gpucloud.core.errors import HostKeyError, StateConflict, UsageError
from gpucloud.remote.connection import connect
from gpucloud.remote.forward import Forwarding, Lifeline, Port, parse_port
from tests.machines import local_machine, until
from tests.sshd import needs_sshd, openssh_server


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    with local_machine(tmp_path_factory.mktemp("machine")) as running:
        yield running


@pytest.fixture
def echo():
    """A server that answers with everything it got, once the client has ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client, client.makefile("rb") as whole:
                    client.sendall(whole.read())

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_bytes_go_both_ways_and_ends_are_passed_on(machine, echo):
    data = os.urandom(2_000_000)
    with Forwarding(machine.connect(), Port(0, echo)) as forwarding:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", forwarding.port)) as client:
                sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
                sender.start()
                assert b"".join(iter(lambda: client.recv(65536), b"")) == data
                sender.join()


def test_nothing_behind_the_port_ends_the_client(machine):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with (
        Forwarding(machine.connect(), Port(0, port)) as forwarding,
        socket.create_connection(("127.0.0.1", forwarding.port), 5) as client,
    ):
        assert client.recv(10) == b""


def test_closing_ends_what_goes_through(machine, echo):
    with Forwarding(machine.connect(), Port(0, echo)) as forwarding:
        client = socket.create_connection(("127.0.0.1", forwarding.port), 5)
        client.sendall(b"x")
        until(lambda: forwarding._open)
    with client:
        assert b"".join(iter(lambda: client.recv(10), b"")) in (b"", b"x")  # the echo may just have been answered
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", forwarding.port))


def test_a_port_in_use_is_said(machine):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StateConflict, match="is taken"):
        Forwarding(machine.connect(), Port(taken.getsockname()[1], 80))


@pytest.mark.parametrize(("text", "port"), [("8888", (8888, 8888)), ("9000:8888", (9000, 8888)), ("0:22", (0, 22))])
def test_ports_as_people_write_them(text, port):
    assert parse_port(text) == port


@pytest.mark.parametrize("text", ["", "x", "80:", "70000", "1:0", "-1", "1:2:3", ":80"])
def test_what_is_no_port(text):
    if text == "80:":
        assert parse_port(text) == (80, 80)
        return
    with pytest.raises(UsageError, match="not a port"):
        parse_port(text)


@needs_sshd
def test_ports_outlive_a_cut(tmp_path, echo):
    """The listeners stay; what comes after the cut goes over a new connection, and both are told."""
    told: list[str] = []
    ended = threading.Event()
    with (
        openssh_server(tmp_path) as server,
        Lifeline(server.connect, told.append) as line,
        Forwarding(line, Port(0, echo)) as first,
        Forwarding(line, Port(0, echo)) as second,
    ):
        watch = threading.Thread(target=line.hold, args=(ended.is_set, 0.05))
        watch.start()
        assert answered(first.port) == answered(second.port) == b"hello"
        with socket.create_connection(("127.0.0.1", first.port), 5) as hanging:
            hanging.sendall(b"cut me")
            until(lambda: first._open)
            server.cut()
            assert hanging.recv(10) == b""
        until(lambda: "Connected again." in told)
        assert answered(first.port) == answered(second.port) == b"hello"
        ended.set()
        watch.join()
    assert told[0].startswith("The connection was lost")


@needs_sshd
def test_a_changed_host_key_ends_the_forwarding_loudly(tmp_path):
    told: list[str] = []
    with openssh_server(tmp_path / "one") as one, openssh_server(tmp_path / "two") as two:
        ways = [one.endpoint, replace(one.endpoint, port=two.endpoint.port)]
        with Lifeline(lambda: connect(ways.pop(0)), told.append) as line:
            one.stop()
            with pytest.raises(HostKeyError, match="another host key"):
                line.hold(lambda: False, 0.05)


def answered(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()
