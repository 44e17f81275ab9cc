"""Sync with machines that have few programs, over a real sshd: BusyBox only, and each program missing in turn."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from gpucloud.core.errors import GpucloudError
from gpucloud.remote.sync import pull, push
from tests.sshd import needs_sshd, openssh_server

NS = 10**9
PROGRAMS = "sh cat mkdir rm rmdir xargs find tar tr gzip zstd python3 sha256sum printf env".split()
APPLETS = "sh cat mkdir rm rmdir xargs find tar tr gzip sha256sum printf env".split()
KINDS = (
    "busybox",
    "busybox tar",
    "find",
    "zstd",
    "zstd gzip",
    "tar",
    "python3",
    "find python3",
    "sha256sum",
    "nothing",
)


def programs_without(kind: str, folder) -> None:
    """A folder of programs: BusyBox alone, BusyBox's tar among ours without python3, or ours without those named."""
    folder.mkdir()
    busybox = shutil.which("busybox")
    if "busybox" in kind and not busybox:
        pytest.skip("BusyBox is not installed (apt-get install busybox)")
    found = dict.fromkeys(APPLETS, busybox)
    if kind != "busybox":
        found = {name: sys.executable if name == "python3" else shutil.which(name) for name in PROGRAMS}
    if kind == "busybox tar":
        found |= {"tar": busybox, "python3": None}
    for name, path in found.items():
        if path and (name not in kind.split() or "busybox" in kind):
            os.symlink(os.path.realpath(path), folder / name)


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "source"
    (root / "pkg" / "empty").mkdir(parents=True)
    for number in range(120):
        (root / "pkg" / f"f{number:03}.py").write_bytes(os.urandom(number * 11))
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "new\nline").write_text("x")
    (root / "-rf").write_text("an option?")
    (root / "sp ace 'q' $HOME").write_text("quoted")
    (root / ("n" * 150)).write_text("long")
    os.symlink("pkg/f001.py", root / "link")
    os.link(root / "pkg" / "f100.py", root / "pkg" / "twin.py")
    for path in root.rglob("*"):
        os.utime(path, ns=(NS, 1_700_000_000 * NS), follow_symlinks=False)
    return root


def seen(root) -> dict:
    """Names with what a machine without GNU tools keeps too."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            status = path.stat()
            found[name] = (status.st_mode & 0o777, status.st_mtime_ns // NS, path.read_bytes())
        else:
            found[name] = "folder"
    return found


@needs_sshd
@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(tmp_path, source, kind):
    programs = tmp_path / "programs"
    programs_without(kind, programs)
    with openssh_server(tmp_path / "sshd", shell=f"PATH={programs} exec {programs}/sh -c") as server:
        machine, work = server.connect(), server.home / "work"
        push(machine, source, "work")
        assert seen(work) == seen(source)
        (source / "pkg" / "f007.py").write_text("changed")
        (work / "pkg" / "extra").write_text("goes")
        (source / "run.sh").unlink()
        push(machine, source, "work")
        assert seen(work) == seen(source)
        os.link(work / "pkg" / "f090.py", work / "pkg" / "twin of f090.py")
        (work / "pkg" / "f091.py").write_text("changed there")
        pull(machine, "work", tmp_path / "back")
        assert seen(tmp_path / "back") == seen(work)
        hidden = work / "pkg" / "f100.py"
        status = hidden.stat()
        hidden.unlink()
        hidden.write_bytes(bytes(status.st_size))
        os.utime(hidden, ns=(NS, status.st_mtime_ns))
        push(machine, source, "work", checksum=True)
        assert seen(work) == seen(source)


NO_LINKS = """
#include <errno.h>
int link(const char *from, const char *to) { errno = EPERM; return -1; }
int linkat(int a, const char *from, int b, const char *to, int c) { errno = EPERM; return -1; }
"""


@needs_sshd
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to take hard links away with")
def test_a_file_system_without_hard_links(tmp_path, source):
    """No program there can make a link; with Python a push works, without it says what is missing."""
    (tmp_path / "links.c").write_text(NO_LINKS)
    shim = tmp_path / "links.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(shim), str(tmp_path / "links.c")], check=True)
    programs = tmp_path / "programs"
    programs_without("", programs)
    os.symlink(shutil.which("ln"), programs / "ln")
    wrapped = f"PATH={programs} LD_PRELOAD={shim} exec {programs}/sh -c"
    with openssh_server(tmp_path / "sshd", shell=wrapped) as server:
        machine, work = server.connect(), server.home / "work"
        assert machine_fails(machine, "ln work.a work.b")
        push(machine, source, "work")
        (source / "pkg" / "f007.py").write_text("changed")
        (work / "pkg" / "extra").write_text("goes")
        push(machine, source, "work")
        assert seen(work) == seen(source)
        (programs / "python3").unlink()
        (source / "pkg" / "f008.py").write_text("changed too")
        with pytest.raises(GpucloudError, match="no hard links"):
            push(machine, source, "work")
        assert (work / "pkg" / "f008.py").read_bytes() != b"changed too" and not (work / ".gpucloud-stage").exists()


def machine_fails(machine, command: str) -> bool:
    """Whether that command ends with an error there, once its file exists."""
    process = machine.run(f": >work.a; {command}")
    process.end_input()
    return process.wait() != 0


def test_hard_links_stay_apart_or_together_as_they_were_not_sent(machine, tmp_path):
    """Twins here are two files there; what a push replaces there leaves its other names alone."""
    source, work = tmp_path / "source", machine.home / "work"
    source.mkdir()
    (source / "a").write_text("one")
    os.link(source / "a", source / "b")
    push(machine, source, "work")
    assert (work / "a").stat().st_ino != (work / "b").stat().st_ino
    (work / "b").unlink()
    os.link(work / "a", work / "b")
    os.link(work / "a", machine.home / "kept")
    push(machine, source, "work")
    (source / "a").unlink()
    (source / "a").write_text("another")
    push(machine, source, "work")
    assert ((work / "a").read_text(), (work / "b").read_text()) == ("another", "one")
    assert (machine.home / "kept").read_text() == "one"
