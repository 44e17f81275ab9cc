"""A man in the middle, for real: an SSH server with a key of its own that lets anybody in and answers for the host.

He gets nothing: a pinned client leaves before it logs in; a client at first contact asks him only for the proof,
and not even a true proof, copied, makes his key good.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import asyncssh
import pytest

from gpucloud.core.errors import HostKeyError, Unreachable
from gpucloud.remote.connection import connect
from gpucloud.remote.proof import new_token, prove
from tests.machines import DEPLOYMENT, local_machine


@dataclass
class Attacker:
    """Listens on `port`; says `answer` to every command; writes down what he learned."""

    answer: bytes = b""
    port: int = 0
    connections: int = 0
    log_ins: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    open: list[Any] = field(default_factory=list)

    def server(self) -> Any:
        attacker = self

        class Gullible(asyncssh.SSHServer):
            def connection_made(self, conn: Any) -> None:
                attacker.connections += 1
                attacker.open.append(conn)

            def begin_auth(self, username: str) -> bool:
                attacker.log_ins.append(username)
                return True

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: Any) -> bool:
                return True

        return Gullible()

    async def session(self, process: Any) -> None:
        self.commands.append(process.command)
        process.stdout.write(self.answer)
        process.exit(0)


@pytest.fixture
def attacker() -> Iterator[Attacker]:
    made, loop, stop = Attacker(), asyncio.new_event_loop(), threading.Event()

    async def listen() -> None:
        door = await asyncssh.create_server(
            made.server,
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            process_factory=made.session,
            encoding=None,
        )
        made.port = door.get_port()
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.02)
        door.close()
        for connection in made.open:
            connection.abort()
        gone = [connection.wait_closed() for connection in made.open]
        await asyncio.wait_for(asyncio.gather(*gone, return_exceptions=True), 10)
        await asyncio.sleep(0.05)

    ready = threading.Event()
    thread = threading.Thread(target=lambda: (loop.run_until_complete(listen()), loop.close()))
    thread.start()
    assert ready.wait(10)
    yield made
    stop.set()
    thread.join()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    with local_machine(tmp_path_factory.mktemp("machine"), proof_token="ab" * 32) as running:
        yield running


def test_a_pinned_client_leaves_before_it_logs_in(machine, attacker):
    with pytest.raises(HostKeyError, match="listens in"):
        connect(replace(machine.endpoint, port=attacker.port))
    assert (attacker.connections, attacker.log_ins, attacker.commands) == (1, [], [])


def test_a_true_proof_copied_does_not_make_his_key_good(machine, attacker):
    attacker.answer = (machine.base / "gpucloud-proof").read_bytes()
    assert prove(machine.endpoint, "ab" * 32, DEPLOYMENT, machine.resource.id) == machine.endpoint.host_key
    with pytest.raises(HostKeyError, match="another host key"):
        prove(replace(machine.endpoint, port=attacker.port), "ab" * 32, DEPLOYMENT, machine.resource.id)
    with pytest.raises(HostKeyError, match="another host key"):
        prove(replace(machine.endpoint, port=attacker.port, dialect="sh"), "ab" * 32, DEPLOYMENT, machine.resource.id)
    proof = f"gpucloud/{DEPLOYMENT}/gpucloud-proof"
    assert attacker.commands == [f"read -r line <{proof} && echo $line", f"cat {proof}"]


def test_an_endless_answer_is_cut_off(machine, attacker):
    attacker.answer = b"x" * 5_000_000
    with pytest.raises(Unreachable, match="not proved"):
        prove(replace(machine.endpoint, port=attacker.port), new_token(), DEPLOYMENT, machine.resource.id, timeout_s=5)


def test_first_contact_takes_no_other_kind_of_key(machine, tmp_path):
    from tests.sshd import SSHD, openssh_server

    if SSHD is None:
        pytest.skip("OpenSSH's sshd is not installed")
    with openssh_server(tmp_path, key_type="rsa") as server, pytest.raises(HostKeyError, match="ssh-ed25519"):
        prove(server.endpoint, new_token(), DEPLOYMENT, "i-1", timeout_s=2)


def test_without_a_proof_the_machine_is_not_ready_yet(machine):
    proof = machine.base / "gpucloud-proof"
    text = proof.read_text()
    proof.unlink()
    try:
        with pytest.raises(Unreachable, match="not proved its host key yet"):
            prove(machine.endpoint, "ab" * 32, DEPLOYMENT, machine.resource.id)
    finally:
        proof.write_text(text)
    for token, deployment, instance in (
        (new_token(), DEPLOYMENT, machine.resource.id),
        ("ab" * 32, "demo-zzzzzzzz", machine.resource.id),
        ("ab" * 32, DEPLOYMENT, "local-000000000000"),
    ):
        with pytest.raises(HostKeyError):
            prove(machine.endpoint, token, deployment, instance)
