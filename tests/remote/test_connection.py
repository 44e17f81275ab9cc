"""One connection: exact exit codes and bytes, pins before anything else, and a clear end for every kind of failure."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import HostKeyError, Unreachable, UsageError
from gpucloud.remote import connection as room
from gpucloud.remote import keys
from gpucloud.remote.connection import Connection, SshProcess, connect, shown_host_key
from tests.machines import local_machine, output, until
from tests.sshd import SSHD, needs_sshd, openssh_server


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    with local_machine(tmp_path_factory.mktemp("machine")) as running:
        yield running


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    if SSHD is None:
        pytest.skip("OpenSSH's sshd is not installed")
    with openssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(params=["machine", "sshd"])
def host(request):
    """Our own server and OpenSSH's: the client must not see a difference."""
    return request.getfixturevalue(request.param)


@contextmanager
def listener(answer: bytes | None, *, close: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    """A TCP server that says `answer`, then is silent (or closes); gives its port and what clients sent."""
    heard: list[bytes] = []
    clients: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                clients.append(client)
                if answer:
                    client.sendall(answer)
                if close:
                    client.close()
                    heard.append(b"")

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield server.getsockname()[1], heard
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for client in clients:
                client.close()


# what commands give back


@pytest.mark.parametrize(("command", "code"), [("true", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -INT $$", 130)])
def test_exit_codes_are_exact(host, command, code):
    assert host.connect().run(command).wait() == code


def test_output_and_errors_come_apart_and_whole(host):
    process = host.connect().run("echo out; echo err >&2; exit 3")
    assert (process.read(100), process.read_error(100), process.wait()) == (b"out\n", b"err\n", 3)
    assert process.read(100) == process.read_error(100) == b""


def test_input_goes_through_byte_exact(host):
    data = os.urandom(3_000_000)
    process = host.connect().run("cat")
    writer = threading.Thread(target=lambda: (process.write(data), process.end_input()))
    writer.start()
    back = b"".join(iter(lambda: process.read(1 << 18), b""))
    writer.join()
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
    assert process.wait() == 0


def test_a_command_that_stops_reading_is_a_broken_pipe_not_a_lost_host(host):
    connection = host.connect()
    process = connection.run("exec <&-; exit 4")
    with pytest.raises(BrokenPipeError):
        for _ in range(10_000):
            process.write(b"x" * 100_000)
    assert process.wait() == 4
    assert output(connection, "echo still here") == "still here\n"


def test_many_commands_at_once_on_one_connection(host):
    connection = host.connect()
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = output(connection, f"sleep 0.1; echo {number}")

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: f"{n}\n" for n in range(8)}


def test_a_host_that_allows_one_channel_still_serves(tmp_path):
    if SSHD is None:
        pytest.skip("OpenSSH's sshd is not installed")
    with openssh_server(tmp_path, more="MaxSessions 1") as server:
        connection = server.connect()
        assert [output(connection, "echo 1"), output(connection, "echo 2")] == ["1\n", "2\n"]


def test_a_terminal_on_request(machine):
    assert "/dev/" in output_of_terminal(machine.connect(), "tty")
    assert "not a tty" in output(machine.connect(), "tty || true")


def output_of_terminal(connection: Connection, command: str) -> str:
    process = connection.run(command, tty=True)
    text = b"".join(iter(lambda: process.read(65536), b"")).decode()
    assert process.wait() == 0
    return text


# who is who


@needs_sshd
def test_another_host_key_than_the_pinned_one_is_fatal_before_our_key_is_shown(tmp_path):
    with openssh_server(tmp_path, more="LogLevel DEBUG1") as server:
        wrong = replace(server.endpoint, host_key=keys.public_key(tmp_path / "other"))
        began = time.monotonic()
        with pytest.raises(HostKeyError) as caught:
            connect(wrong, deadline_s=20)
        assert time.monotonic() - began < 5  # no second try
        assert caught.value.exit_code == 7 and "ssh-keygen" in caught.value.hint
        until(lambda: "Connection closed" in (server.folder / "log").read_text())
        said = (server.folder / "log").read_text()
    assert "Connection from" in said and "userauth" not in said and "publickey" not in said


def test_no_pin_no_connection(host):
    with pytest.raises(HostKeyError, match="not taken on trust"):
        connect(replace(host.endpoint, host_key=""))


def test_a_fingerprint_is_a_pin_too(host, tmp_path):
    right = keys.fingerprint(host.endpoint.host_key)
    connect(replace(host.endpoint, host_key=right)).close()
    with pytest.raises(HostKeyError):
        connect(replace(host.endpoint, host_key=keys.fingerprint(keys.public_key(tmp_path / "k"))))


@needs_sshd
@pytest.mark.parametrize("key_type", ["rsa", "ecdsa"])
def test_pins_of_other_kinds_and_a_lost_kind(tmp_path, key_type):
    with openssh_server(tmp_path, key_type=key_type) as server:
        for pin in (server.endpoint.host_key, keys.fingerprint(server.endpoint.host_key)):
            connect(replace(server.endpoint, host_key=pin)).close()
        with pytest.raises(HostKeyError, match="no host key of the kind ssh-ed25519"):
            connect(replace(server.endpoint, host_key=keys.public_key(tmp_path / "k")), deadline_s=20)


def test_the_shown_key_for_a_question(host):
    assert shown_host_key(replace(host.endpoint, host_key="", identity_file="")) == host.endpoint.host_key


def test_a_refused_key_and_a_wrong_user_are_said_at_once(host, tmp_path):
    keys.public_key(tmp_path / "stranger")
    for changed in ({"identity_file": str(tmp_path / "stranger")}, {"user": "nobody-here"}, {"identity_file": ""}):
        with pytest.raises(Unreachable, match="does not let us in") as caught:
            connect(replace(host.endpoint, **changed), deadline_s=20)
        assert "authorized_keys" in caught.value.hint


def test_a_key_file_that_is_not_there(host):
    with pytest.raises(UsageError, match="no key file"):
        connect(replace(host.endpoint, identity_file="/nonexistent/key"))


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="ssh-agent is not installed")
def test_the_agent_is_asked_only_where_the_endpoint_says_so(host, tmp_path, monkeypatch):
    sock = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL)
    try:
        until(sock.exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(sock))
        monkeypatch.setenv("HOME", str(tmp_path))
        subprocess.run(["ssh-add", "-q", host.endpoint.identity_file], check=True, stderr=subprocess.DEVNULL)
        without_file = replace(host.endpoint, identity_file="")
        connect(replace(without_file, agent=True)).close()
        with pytest.raises(Unreachable, match="no key to show"):
            connect(without_file)
    finally:
        agent.terminate()
        agent.wait()


def test_the_users_own_key_files_are_tried_after_the_agent(host, tmp_path, monkeypatch):
    (tmp_path / ".ssh").mkdir()
    shutil.copy(host.endpoint.identity_file, tmp_path / ".ssh" / "id_ed25519")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    connect(replace(host.endpoint, identity_file="", agent=True)).close()


def test_jump_hosts_are_pinned_each(sshd, machine, tmp_path):
    through = replace(machine.endpoint, proxy_jump=(sshd.endpoint,))
    with connect(through) as connection:
        assert output(connection, "echo $GPUCLOUD_MACHINE") == f"{machine.resource.id}\n"
    two = replace(machine.endpoint, proxy_jump=(machine.endpoint, sshd.endpoint))
    with connect(two) as connection:
        assert output(connection, "echo hello") == "hello\n"
    stranger = replace(sshd.endpoint, host_key=keys.public_key(tmp_path / "k"))
    with pytest.raises(HostKeyError):
        connect(replace(machine.endpoint, proxy_jump=(stranger,)))


# who does not answer


def test_nothing_listens(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    endpoint = Endpoint("127.0.0.1", port, "me", host_key=keys.public_key(tmp_path / "k"))
    with pytest.raises(Unreachable, match="connection refused") as caught:
        connect(endpoint, deadline_s=0.3)
    assert caught.value.exit_code == 7 and caught.value.hint


@pytest.mark.parametrize(("answer", "close"), [(None, False), (b"SSH-2.0-slow\r\n", False), (b"hello\r\n", True)])
def test_silent_and_foolish_servers_end_at_the_deadline(tmp_path, answer, close):
    with listener(answer, close=close) as (port, heard):
        endpoint = Endpoint("127.0.0.1", port, "me", host_key=keys.public_key(tmp_path / "k"))
        began = time.monotonic()
        with pytest.raises(Unreachable):
            connect(endpoint, deadline_s=0.8)
        assert time.monotonic() - began < 3
        assert not close or len(heard) > 1  # tried again


def test_a_host_that_boots_is_waited_for(machine):
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))
        endpoint = replace(machine.endpoint, port=late.getsockname()[1])
        threading.Timer(0.4, forward_once, args=(late, machine.endpoint.port)).start()
        with connect(endpoint, deadline_s=10) as connection:
            assert output(connection, "echo up") == "up\n"


def forward_once(listening: socket.socket, port: int) -> None:
    """Let one client through to `port`."""
    listening.listen(1)
    client, _ = listening.accept()
    server = socket.create_connection(("127.0.0.1", port))
    for source, target in ((client, server), (server, client)):
        threading.Thread(target=pump, args=(source, target), daemon=True).start()


def pump(source: socket.socket, target: socket.socket) -> None:
    with closing(target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            return


def test_a_name_without_address(tmp_path, monkeypatch):
    def unknown(*words, **more):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    endpoint = Endpoint("no-such-host", 22, "me", host_key=keys.public_key(tmp_path / "k"))
    with pytest.raises(Unreachable, match="No address is known"):
        connect(endpoint, deadline_s=20)


@needs_sshd
def test_a_link_that_dies_is_told_from_an_end(tmp_path):
    with openssh_server(tmp_path) as server:
        connection = server.connect()
        process = connection.run("echo first; sleep 60")
        assert process.read(100) == b"first\n"
        server.cut()
        for read in (process.read, process.read_error):
            with pytest.raises(Unreachable, match="was lost"):
                read(100)
        with pytest.raises(Unreachable):
            process.wait()
        with pytest.raises(Unreachable):
            process.write(b"x")
        with pytest.raises(Unreachable):
            connection.run("true")


def test_a_silent_link_is_noticed_through_the_probe(machine, monkeypatch):
    """As with a cut cable behind a jump host, where no socket option reaches (times shortened)."""
    monkeypatch.setattr(room, "USER_TIMEOUT", None)
    monkeypatch.setattr(room, "KEEPALIVE_S", 0.05)
    monkeypatch.setattr(room, "DEAD_LINK_S", 0.4)
    gate = threading.Event()
    gate.set()
    with socket.create_server(("127.0.0.1", 0)) as relay:
        threading.Thread(target=gated_relay, args=(relay, machine.endpoint.port, gate), daemon=True).start()
        with connect(replace(machine.endpoint, port=relay.getsockname()[1])) as connection:
            process = connection.run("echo on; sleep 60")
            assert process.read(10) == b"on\n"
            time.sleep(0.6)
            assert connection.alive  # a quiet command is not a dead link
            gate.clear()
            began = time.monotonic()
            with pytest.raises(Unreachable, match="was lost"):
                process.read(10)
            assert time.monotonic() - began < 5
        relay.shutdown(socket.SHUT_RDWR)


def gated_relay(listening: socket.socket, port: int, gate: threading.Event) -> None:
    """Pass bytes on while the gate is open; swallow them afterwards."""
    client, _ = listening.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as server:

        def gated(source: socket.socket, target: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    if gate.is_set():
                        target.sendall(data)
            except OSError:
                return

        back = threading.Thread(target=gated, args=(server, client), daemon=True)
        back.start()
        gated(client, server)
        server.shutdown(socket.SHUT_RDWR)
        back.join()


def test_the_sockets_options_are_set(machine):
    sock = machine.connect().transport.sock
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000


def test_gcm_comes_first_and_the_key_exchange_is_strict(host):
    transport = host.connect().transport
    assert transport.remote_cipher == transport.local_cipher == "aes128-gcm@openssh.com"
    assert transport.agreed_on_strict_kex


def test_closing_leaves_no_thread(machine):
    before = set(threading.enumerate())
    for _ in range(3):
        with connect(machine.endpoint) as connection:
            connection.run("true").wait()
    until(lambda: set(threading.enumerate()) <= before)


def test_a_socket_that_breaks_under_a_send_is_a_lost_link():
    """paramiko says EOFError then, and may still think that the link lives."""

    class Broken:
        def send(self, data: bytes) -> int:
            raise EOFError

    link = SimpleNamespace(alive=True, lost=lambda: Unreachable("The connection was lost."))
    with pytest.raises(Unreachable, match="was lost"):
        SshProcess(link, Broken()).write(b"some bytes")  # type: ignore[arg-type]
