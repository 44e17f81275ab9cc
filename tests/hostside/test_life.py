"""Whole machines at their end: by deadline, idleness, stop, a lost folder, a killed server. Nothing is left running."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.machines import alive, local_machine, nothing_runs, output, until

LONG = (
    "nohup setsid sh -c 'echo $$ >pid; while :; do sleep 0.1; done' >/dev/null 2>&1 & "
    "until [ -s pid ]; do sleep 0.02; done"
)
needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are known by /proc here")


def start_long(machine) -> int:
    """A process of the machine that left its session and ignores hang-ups."""
    output(machine.connect(), LONG)
    return int((machine.home / "pid").read_text())


def leave(machine) -> None:
    for connection in machine.open:
        connection.close()
    machine.open.clear()


def test_the_deadline_ends_runs_and_server_and_keeps_the_folder(tmp_path):
    with local_machine(tmp_path, deadline_epoch_s=time.time() + 3600, options={"grace_s": "0.2"}) as machine:
        pid = start_long(machine)
        machine.provider.extend(machine.resource, time.time() + 0.5)
        until(lambda: not machine.folder.lives(), 60)
        assert not alive(pid) and nothing_runs(machine.folder)
        found = machine.again()
        assert (found.state, found.tags["gpucloud-ended"], found.endpoint) == ("stopped", "deadline", None)
        assert "ending: deadline" in (machine.folder.path / "server.log").read_text()
        assert "notice" in (machine.folder.path / "server.log").read_text()


def test_an_extended_deadline_holds(tmp_path):
    with local_machine(tmp_path, deadline_epoch_s=time.time() + 3600) as machine:
        soon = time.time() + 2.5
        machine.provider.extend(machine.resource, soon)
        machine.provider.extend(machine.resource, time.time() + 3600)
        time.sleep(max(0.0, soon + 0.5 - time.time()))
        assert machine.again().state == "running"
        assert machine.again().tags["gpucloud-deadline"] > str(int(time.time() + 3000))


def test_idleness_ends_it_and_delete_leaves_nothing(tmp_path):
    with local_machine(tmp_path, idle_s=1.0, at_end="delete") as machine:
        leave(machine)
        until(lambda: not machine.folder.path.exists(), 15)
        assert machine.provider.find(None).resources == ()


@needs_proc
def test_work_and_clients_hold_idleness_off(tmp_path):
    with local_machine(tmp_path, idle_s=1.0) as machine:
        pid = start_long(machine)
        leave(machine)
        time.sleep(2.5)
        assert machine.again().state == "running"
        os.kill(pid, signal.SIGKILL)
        connection = machine.connect()
        time.sleep(2.5)
        assert output(connection, "echo still here") == "still here\n"
        leave(machine)
        until(lambda: machine.again().state == "stopped", 15)
        assert machine.again().tags["gpucloud-ended"] == "idle"


def test_a_folder_that_vanishes_ends_everything(tmp_path):
    with local_machine(tmp_path) as machine:
        pid, server = start_long(machine), machine.folder.holder()
        leave(machine)
        shutil.rmtree(machine.folder.path)
        until(lambda: not alive(server), 15)
        until(lambda: not alive(pid), 15)


@needs_proc
def test_destroy_ends_what_a_killed_server_left(tmp_path):
    with local_machine(tmp_path) as machine:
        pid = start_long(machine)
        leave(machine)
        os.kill(machine.folder.holder(), signal.SIGKILL)
        until(lambda: not machine.folder.lives())
        assert alive(pid) and machine.again().state == "failed"
        machine.provider.destroy(machine.resource)
        assert not alive(pid) and not machine.folder.path.exists()


@needs_proc
def test_destroy_finds_children_that_dropped_their_environment(tmp_path):
    with local_machine(tmp_path) as machine:
        connection = machine.connect()
        connection.run("env -i /bin/sh -c 'echo $$ >pid; while :; do /bin/sleep 0.1; done'")
        until(lambda: (machine.home / "pid").exists() and (machine.home / "pid").read_text())
        pid = int((machine.home / "pid").read_text())
        machine.provider.destroy(machine.resource)
        assert not alive(pid)


def test_stop_and_start_keep_files_host_key_and_port(tmp_path):
    with local_machine(tmp_path) as machine:
        output(machine.connect(), "echo kept >file")
        pid = start_long(machine)
        leave(machine)
        machine.provider.stop(machine.resource)
        assert machine.again().state == "stopped" and machine.again().tags["gpucloud-ended"] == "stop"
        assert not alive(pid) and nothing_runs(machine.folder)
        machine.provider.stop(machine.resource)
        deadline = time.time() + 999
        machine.provider.start(machine.resource, deadline)
        again = machine.again()
        assert again.state == "running" and "gpucloud-ended" not in again.tags
        assert again.tags["gpucloud-deadline"] == str(int(deadline))
        assert again.endpoint.port == machine.endpoint.port
        assert output(machine.connect(), "cat file") == "kept\n"  # under the key that was pinned before
        machine.provider.start(machine.resource, deadline)


def test_a_killed_server_can_be_started_again(tmp_path):
    with local_machine(tmp_path) as machine:
        os.kill(machine.folder.holder(), signal.SIGKILL)
        until(lambda: machine.again().state == "failed")
        machine.provider.start(machine.resource, None)
        assert output(machine.connect(), "echo back") == "back\n"
