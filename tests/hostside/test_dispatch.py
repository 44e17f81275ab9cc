"""A verb gets real blocking streams: whole, fast, and it learns when its client has left."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest

from gpucloud.hostside.life import Presence
from gpucloud.hostside.machine import open_machine
from gpucloud.hostside.server import listen
from gpucloud.providers.local.folder import Record, make_folder
from gpucloud.remote import keys
from gpucloud.remote.connection import connect
from tests.machines import until


class Verbs:
    """Stand-ins with known behaviour, served in this process."""

    def __init__(self) -> None:
        self.left = threading.Event()

    def __call__(self, verb, args, stdin, stdout, stderr, machine):
        return getattr(self, verb)(args, stdin, stdout, stderr, machine)

    def echo(self, args, stdin, stdout, stderr, machine):
        while data := stdin.read1(1 << 20):
            stdout.write(data)
        stderr.write(str(args["x"]).encode())
        return args["code"]

    def wait(self, args, stdin, stdout, stderr, machine):
        stdout.write(b"waiting\n")
        if machine.gone.wait(10):
            self.left.set()
        return 0

    def pour(self, args, stdin, stdout, stderr, machine):
        for _ in range(args["pieces"]):
            stdout.write(b"x" * (1 << 18))
        return 0

    def fail(self, args, stdin, stdout, stderr, machine):
        raise RuntimeError("no luck")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    from gpucloud.core.cloud import Endpoint

    root, verbs, ready, stop = tmp_path_factory.mktemp("served"), Verbs(), threading.Event(), threading.Event()
    key = root / "key"
    record = Record("local-0123456789ab", "d-abcdefgh", "d", 0, 1, {}, keys.public_key(key), "me", time.time())
    folder = make_folder(root, record, "")
    found: list[int] = []

    async def live() -> None:
        machine = open_machine(folder, record, {"PATH": os.environ["PATH"]})
        door = await listen(machine, record, Presence(), verbs, 0)
        found.append(door.get_port())
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.02)
        door.close()
        await door.wait_closed()

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    assert ready.wait(10)
    from gpucloud.remote.connection import shown_host_key

    blank = Endpoint("127.0.0.1", found[0], "me", str(key), dialect="embedded")
    endpoint = Endpoint("127.0.0.1", found[0], "me", str(key), shown_host_key(blank), "embedded")
    connection = connect(endpoint)
    yield verbs, connection, endpoint
    connection.close()
    time.sleep(0.1)
    stop.set()
    thread.join()


def ask(connection, command, data=b""):
    process = connection.run(command)
    writer = threading.Thread(target=lambda: (process.write(data), process.end_input()))
    writer.start()
    out = b"".join(iter(lambda: process.read(1 << 18), b""))
    error = b"".join(iter(lambda: process.read_error(1 << 18), b""))
    writer.join()
    return out, error, process.wait()


def test_streams_are_whole_and_the_value_is_the_exit_code(served):
    data = os.urandom(5_000_000)
    assert ask(served[1], 'gpucloud-host echo {"x": "a b", "code": 7}', data) == (data, b"a b", 7)


def test_an_error_of_ours_is_told_and_ends_the_verb_only(served):
    out, error, code = ask(served[1], "gpucloud-host fail {}")
    assert (out, code) == (b"", 70) and b"RuntimeError: no luck" in error
    assert ask(served[1], 'gpucloud-host echo {"x": 1, "code": 0}')[2] == 0


def test_a_verb_learns_that_its_client_has_left(served):
    verbs, _, endpoint = served
    with connect(endpoint) as other:
        assert other.run("gpucloud-host wait {}").read(100) == b"waiting\n"
    assert verbs.left.wait(5)


def test_a_client_that_does_not_read_holds_up_its_verb_and_nobody_else(served):
    _, connection, _ = served
    slow = connection.run('gpucloud-host pour {"pieces": 200}')
    time.sleep(0.1)
    began = time.monotonic()
    assert ask(connection, 'gpucloud-host echo {"x": 1, "code": 0}')[2] == 0
    assert time.monotonic() - began < 2
    total = sum(len(piece) for piece in iter(lambda: slow.read(1 << 20), b""))
    assert total == 200 << 18 and slow.wait() == 0


def test_a_closed_channel_breaks_the_pipe_of_a_pouring_verb(served):
    _, connection, _ = served
    process = connection.run('gpucloud-host pour {"pieces": 100000}')
    process.read(10)
    process.close()
    until(lambda: not any("pour" in thread.name for thread in threading.enumerate()))
