"""What can go wrong before a command runs, on real OpenSSH servers: one clear sentence and exit code each, in time."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import replace

import pytest

from gpucloud.core.errors import HostKeyError, Unreachable
from gpucloud.remote import connection as connections
from gpucloud.remote import dialing, keys
from gpucloud.remote.connection import connect
from gpucloud.remote.runs import RunSpec, follow, start
from gpucloud.remote.sync import push
from tests.machines import output
from tests.sshd import needs_sshd, openssh_server

pytestmark = needs_sshd
BASE = "gpucloud/test-aaaaaaaa"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    with openssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def refusal(kind, endpoint, deadline_s=1.0):
    """The error of a connection that must not come about: a sentence, a next step, exit code 7."""
    with pytest.raises(kind) as caught:
        connect(endpoint, deadline_s=deadline_s).close()
    error = caught.value
    assert error.exit_code == 7 and error.message.endswith(".") and error.hint.endswith((".", "?", ";"))
    return error


@contextlib.contextmanager
def answering(serve):
    """A port whose every client is given to `serve(client)`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=attend, args=(client,), daemon=True).start()

        def attend(client) -> None:
            with client, contextlib.suppress(OSError):
                serve(client)

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_host_that_is_down(sshd):
    with socket.socket() as full:  # its queue is full: a SYN is never answered, as by a host that is off
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        error = refusal(Unreachable, replace(sshd.endpoint, port=port))
        for one in waiting:
            one.close()
    assert "no answer" in error.message and "allow" in error.hint


def test_a_port_that_is_closed(tmp_path, monkeypatch):
    with openssh_server(tmp_path) as server:
        server.stop()
        error = refusal(Unreachable, server.endpoint, 0.3)
        monkeypatch.setattr(dialing, "REFUSED_S", 0.2)
        refusal(Unreachable, replace(server.endpoint, agent=True), 3600)  # an own machine does not boot
    assert "connection refused" in error.message and "Is the machine up" in error.hint


def test_a_wrong_user(sshd):
    error = refusal(Unreachable, replace(sshd.endpoint, user="nobody-of-that-name"), 5)
    assert "nobody-of-that-name@127.0.0.1" in error.message and "user name" in error.hint


def test_a_key_that_is_refused(sshd, tmp_path):
    keys.public_key(tmp_path / "another")
    begun = time.monotonic()
    error = refusal(Unreachable, replace(sshd.endpoint, identity_file=str(tmp_path / "another")), 15)
    assert "the key was refused" in error.message and "authorized_keys" in error.hint
    assert time.monotonic() - begun < 8  # no other try can help


def test_a_host_key_that_changed_is_loud_at_once_and_our_key_is_not_shown(tmp_path):
    with openssh_server(tmp_path / "old") as server:
        pinned = server.endpoint
    with openssh_server(tmp_path / "new", more="LogLevel VERBOSE") as server:
        error = refusal(HostKeyError, replace(pinned, port=server.endpoint.port), 15)
        said = (server.folder / "log").read_text()
    new = keys.fingerprint((server.folder / "host_key.pub").read_text())
    assert keys.fingerprint(pinned.host_key) in error.message and new in error.message
    assert "Nothing was sent" in error.message and "ssh-keygen -lf" in error.hint
    assert "publickey" not in said and "Accepted" not in said
    assert error.code == "host_key"


def flood(client) -> None:
    with contextlib.suppress(OSError):
        while True:
            client.sendall(b"x" * 65536)


def chatter(client) -> None:
    while True:
        client.sendall(b"welcome\r\n" * 1000)


def web(client) -> None:
    client.recv(100)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: evil \x1b[31m\r\n\r\n" * 50)


@pytest.mark.parametrize("serve", [flood, chatter, web])
def test_what_floods_us_before_its_version_line_is_cut_short_and_not_repeated(sshd, serve):
    seen = []

    def counted(client) -> None:
        class Counting:
            recv = staticmethod(client.recv)

            @staticmethod
            def sendall(data: bytes) -> None:
                client.sendall(data)
                seen.append(len(data))

        serve(Counting)

    with answering(counted) as port:
        error = refusal(Unreachable, replace(sshd.endpoint, port=port), 1.5)
    assert "does not speak SSH" in error.message
    assert "\x1b" not in error.message and "welcome" not in error.message
    assert sum(seen) < 200_000_000  # what sockets hold, not what it could have sent


def test_a_server_that_talks_a_little_before_its_version_line_is_fine(sshd):
    def relay(client) -> None:
        client.sendall(b"This system is for authorised use only.\r\n" * 20)
        with socket.create_connection(("127.0.0.1", sshd.endpoint.port)) as server:
            back = threading.Thread(target=pump, args=(server, client), daemon=True)
            back.start()
            pump(client, server)
            back.join()

    with answering(relay) as port, connect(replace(sshd.endpoint, port=port)) as connection:
        assert output(connection, "echo hello") == "hello\n"


def pump(source, target, pause_s=0.0, size=65536) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(size):
            time.sleep(pause_s)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_a_server_that_hangs_after_accepting(sshd):
    with answering(lambda client: time.sleep(3)) as port:
        assert "no answer" in refusal(Unreachable, replace(sshd.endpoint, port=port), 0.5).message


def test_an_sshd_that_hangs_while_its_kernel_answers_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "HUNG_LOOK_S", 0.2)
    monkeypatch.setattr(connections, "HUNG_HOST_S", 0.5)
    with openssh_server(tmp_path) as server:
        connection = server.connect()
        process = connection.run("echo up; exec cat")
        assert process.read(10) == b"up\n"
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
        pairs = [tuple(map(int, line.split())) for line in listing.splitlines()]
        family = {server.daemon.pid}
        for _ in range(3):
            family |= {pid for pid, parent in pairs if parent in family}
        for pid in family - {server.daemon.pid}:
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable, match="was lost"):
                process.read(10)
        finally:
            for pid in family - {server.daemon.pid}:
                os.kill(pid, signal.SIGCONT)


def test_a_very_slow_link_is_slow_and_nothing_else(sshd, tmp_path):
    """About 30 KB/s with 0.2 s and more of delay each way."""

    def relay(client) -> None:
        with socket.create_connection(("127.0.0.1", sshd.endpoint.port)) as server:
            back = threading.Thread(target=pump, args=(server, client, 0.05, 1500), daemon=True)
            back.start()
            pump(client, server, 0.05, 1500)
            back.join()

    source = tmp_path / "source"
    source.mkdir()
    (source / "data").write_bytes(os.urandom(30_000))
    with answering(relay) as port, connect(replace(sshd.endpoint, port=port), deadline_s=20) as connection:
        assert push(connection, source, f"{BASE}/slow").files == 1
        spec = RunSpec(f"{BASE}/runs/slow", f"{BASE}/slow", "wc -c <data; exit 3")
        start(connection, spec)
        parts = []
        assert follow(lambda: connection, spec.run_dir, 0, parts.append).exit_code == 3
        assert b"".join(parts).strip() == b"30000"


def test_a_host_that_lets_few_in_at_a_time_lets_all_in(tmp_path):
    with limited(tmp_path / "few", MaxStartups="2:100:2") as server:
        codes, errors = [], []

        def one() -> None:
            try:
                with connect(server.endpoint, deadline_s=20) as connection:
                    codes.append(output(connection, "echo hello"))
            except Unreachable as error:
                errors.append(error)

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (codes, errors) == (["hello\n"] * 8, [])


def limited(folder, **limits: str):
    """An sshd with limits of its own. The first value of a keyword counts, so they replace those of the fixture."""
    import tests.sshd as fixture

    text = fixture.CONFIG
    for name, value in limits.items():
        text = "\n".join(f"{name} {value}" if line.startswith(name) else line for line in text.splitlines()) + "\n"

    @contextlib.contextmanager
    def opened():
        before, fixture.CONFIG = fixture.CONFIG, text
        try:
            with openssh_server(folder) as server:
                yield server
        finally:
            fixture.CONFIG = before

    return opened()


@pytest.mark.parametrize("sessions", ["1", "2"])
def test_a_host_that_allows_few_sessions_syncs_runs_and_follows(tmp_path, sessions):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    (source / "big").write_bytes(os.urandom(2_000_000))
    with limited(tmp_path / "host", MaxSessions=sessions) as server:
        connection = server.connect()
        assert push(connection, source, f"{BASE}/work").files == 2
        spec = RunSpec(f"{BASE}/runs/1", f"{BASE}/work", "ls; exit 7", log_cap_bytes=3)
        start(connection, spec)
        parts = []
        assert follow(lambda: connection, spec.run_dir, 0, parts.append).exit_code == 7
        assert b"".join(parts).startswith(b"a\nb")


def test_no_session_left_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "SESSION_PATIENCE_S", 0.3)
    with limited(tmp_path, MaxSessions="1") as server:
        connection = server.connect()
        process = connection.run("echo up; exec cat")
        assert process.read(10) == b"up\n"
        with pytest.raises(Unreachable, match="allows no further session") as caught:
            connection.run("true")
        assert "MaxSessions" in caught.value.hint
        assert connection.alive


def test_a_killed_sshd_is_a_lost_connection_with_a_next_step(tmp_path):
    with openssh_server(tmp_path) as server:
        process = server.connect().run("echo up; exec cat")
        assert process.read(10) == b"up\n"
        server.cut()
        with pytest.raises(Unreachable, match="was lost") as caught:
            process.read(10)
        assert caught.value.exit_code == 7 and "runs on the machine go on" in caught.value.hint
        assert output(server.connect(), "echo again") == "again\n"
