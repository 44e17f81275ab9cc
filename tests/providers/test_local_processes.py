"""Where there is no /proc, recorded process groups tell what belongs to a machine, and a number used again does not."""

from __future__ import annotations

import os
import subprocess

import pytest

from gpucloud.providers.local import processes
from gpucloud.providers.local.folder import Folder
from tests.machines import alive


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "BY_ENVIRONMENT", False)
    path = tmp_path / "local-0123456789ab"
    path.mkdir()
    return Folder(path)


def test_groups_are_found_with_their_children_and_ended(folder):
    words = ["/bin/sh", "-c", "trap '' TERM; (trap '' TERM; sleep 60) & sleep 60"]
    with subprocess.Popen(words, start_new_session=True) as child:
        processes.record_group(folder, child.pid)
        while len(processes.of_machine(folder)) < 3:
            assert child.poll() is None
        ours = processes.of_machine(folder)
        assert child.pid in ours and os.getpid() not in ours
        processes.end_all(folder, grace_s=0.1)
        child.wait()
    assert processes.of_machine(folder) == set() and not any(alive(pid) for pid in ours)


def test_a_number_that_belongs_to_somebody_else_now_is_left_alone(folder):
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as stranger:
        processes.record_group(folder, stranger.pid)
        (folder.path / "groups" / str(stranger.pid)).write_text("Thu Jan  1 00:00:00 1970")
        assert processes.of_machine(folder) == set()
        processes.end_all(folder, grace_s=0.1)
        assert stranger.poll() is None
        stranger.kill()


def test_only_this_machines_mark_counts(tmp_path):
    if not processes.BY_ENVIRONMENT:
        pytest.skip("there is no /proc here")
    folder = Folder(tmp_path / "local-0123456789ab")
    environment = {processes.MARK: "local-0123456789abc"}
    with subprocess.Popen(["/bin/sleep", "60"], env=environment) as other:
        assert processes.of_machine(folder) == set()
        assert processes.of_machine(Folder(tmp_path / "local-0123456789abc")) == {other.pid}
        other.kill()
