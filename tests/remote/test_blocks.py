"""Large files: changed blocks only, interrupted copies go on, several connections, machines without python3."""

from __future__ import annotations

import os
import shutil

import pytest

from gpucloud.core.errors import SyncError
from gpucloud.remote import blocks
from gpucloud.remote.sync import push

MIB = 1 << 20


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """What counts as large, made small enough for a test."""
    monkeypatch.setattr(blocks, "LARGE_BYTES", 4 * MIB)
    monkeypatch.setattr(blocks, "BLOCK", 256 << 10)


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "source"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "model \udcff.bin").write_bytes(os.urandom(6 * MIB + 5))
    (root / "small").write_text("x")
    return root


def model(root):
    return root / "deep" / "model \udcff.bin"


def same(a, b) -> bool:
    return a.read_bytes() == b.read_bytes() and a.stat().st_mtime_ns == b.stat().st_mtime_ns


def test_only_changed_blocks_travel(machine, source):
    first = push(machine, source, "work")
    assert (first.files, first.blocks) == (2, 25)
    with model(source).open("r+b") as file:
        file.seek(3 * MIB)
        file.write(b"changed")
    seen = []
    second = push(machine, source, "work", progress=lambda *both: seen.append(both))
    assert (second.files, second.blocks) == (1, 1)
    assert seen[-1][0] == seen[-1][1]
    assert same(model(source), model(machine.home / "work"))
    assert sorted(os.listdir(machine.home / "work")) == ["deep", "small"]
    assert push(machine, source, "work").files == 0


@pytest.mark.parametrize("size", [4 * MIB, 9 * MIB + 1])
def test_files_that_grow_or_shrink(machine, source, size):
    push(machine, source, "work")
    data = model(source).read_bytes()
    model(source).write_bytes((data + os.urandom(4 * MIB))[:size])
    report = push(machine, source, "work")
    assert report.blocks <= 14
    assert same(model(source), model(machine.home / "work"))


def test_a_reader_keeps_the_file_it_opened(machine, source):
    push(machine, source, "work")
    before = model(source).read_bytes()
    with model(machine.home / "work").open("rb") as running:
        with model(source).open("r+b") as file:
            file.write(b"new")
        push(machine, source, "work")
        assert running.read() == before


def test_an_interrupted_copy_goes_on(machine, source):
    class Cut(Exception):
        pass

    def cut(done: int, total: int) -> None:
        if done > total * 0.6:
            raise Cut

    with pytest.raises(Cut):
        push(machine, source, "work", progress=cut)
    assert not model(machine.home / "work").exists()
    report = push(machine, source, "work")
    assert 0 < report.blocks < 15
    assert same(model(source), model(machine.home / "work"))
    assert sorted(os.listdir(machine.home / "work")) == ["deep", "small"]


def test_what_an_interrupted_copy_left_goes_with_its_file(machine, source):
    parts = machine.home / "work" / ".gpucloud-stage" / "parts"
    parts.mkdir(parents=True)
    (parts / "left").write_bytes(b"x" * 1000)
    push(machine, source / "deep", "work")
    model(source).unlink()
    push(machine, source, "work")
    assert sorted(os.listdir(machine.home / "work")) == ["deep", "small"]


def test_several_connections_on_a_long_line(machine, source, monkeypatch):
    monkeypatch.setattr(blocks, "LONG_LINE_S", 0.0)
    opened = []

    def more():
        opened.append(type(machine)(machine.home))
        return opened[-1]

    assert push(machine, source, "work", more=more).blocks == 25
    assert len(opened) == 3
    assert same(model(source), model(machine.home / "work"))


def test_many_files_over_several_connections(machine, source, monkeypatch):
    monkeypatch.setattr(blocks, "LONG_LINE_S", 0.0)
    for number in range(100):
        folder = source / f"folder {number % 7}" / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(os.urandom(60_000))
    (source / "folder 1" / "deep").chmod(0o500)
    os.symlink("deep", source / "folder 2" / "link")
    opened = []

    def more():
        opened.append(type(machine)(machine.home))
        return opened[-1]

    seen = []
    report = push(machine, source, "work", more=more, progress=lambda *both: seen.append(both))
    assert (report.files, len(opened)) == (102, 6)
    assert seen[-1][0] == seen[-1][1]
    assert push(machine, source, "work").files == 0
    assert not (machine.home / "work" / ".gpucloud-stage").exists()
    (source / "folder 1" / "deep").chmod(0o700)
    (machine.home / "work" / "folder 1" / "deep").chmod(0o700)


def test_a_part_that_fails_fails_the_push(machine, source, monkeypatch):
    monkeypatch.setattr(blocks, "LONG_LINE_S", 0.0)
    for number in range(100):
        (source / f"{number}").write_bytes(os.urandom(60_000))
    (machine.home / "work").mkdir()
    (machine.home / "work" / "extra").write_text("x")

    class Broken(type(machine)):
        def run(self, command, *, tty=False):
            process = super().run(command, tty=tty)
            write, sent = process.write, []

            def cut(data):
                sent.append(len(data))
                if sum(sent) > 1_000_000:
                    raise BrokenPipeError
                write(data)

            process.write = cut
            return process

    with pytest.raises(SyncError):
        push(machine, source, "work", more=lambda: Broken(machine.home))
    assert (machine.home / "work" / "extra").exists()
    push(machine, source, "work")
    assert not (machine.home / "work" / "extra").exists()


def test_a_single_large_file(machine, source):
    push(machine, model(source), "new/weights.bin")
    assert same(model(source), machine.home / "new/weights.bin")
    (machine.home / "into").mkdir()
    push(machine, model(source), "into")
    assert same(model(source), machine.home / "into" / model(source).name)


def test_without_python_it_goes_with_the_others(sh_machine, source, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "cat", "mkdir", "rm", "rmdir", "xargs", "find", "tar", "gzip"):
        os.symlink(os.path.realpath(shutil.which(name) or name), programs / name)
    (programs / "python3").write_text("#!/bin/sh\nexit 1\n")
    (programs / "python3").chmod(0o755)
    sh_machine.environment["PATH"] = str(programs)
    report = push(sh_machine, source, "work")
    assert (report.files, report.blocks) == (2, 0)
    assert same(model(source), model(sh_machine.home / "work"))


def test_a_folder_in_the_way(machine, source):
    (machine.home / "work").mkdir()
    (machine.home / "work" / "deep").write_text("a file where a folder comes")
    push(machine, source, "work")
    assert same(model(source), model(machine.home / "work"))
    shutil.rmtree(machine.home / "work")
    (machine.home / "work").mkdir()
    (machine.home / "work").chmod(0o500)
    if os.geteuid():
        with pytest.raises(SyncError, match="permit"):
            push(machine, source, "work")
    (machine.home / "work").chmod(0o700)
