"""What can go wrong while files are copied, on real OpenSSH servers: clear sentences, nothing lost on either side."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
import time

import pytest

from gpucloud.core.errors import SyncError, Unreachable
from gpucloud.remote.sync import pull, push
from tests.machines import output
from tests.sshd import needs_sshd, openssh_server

pytestmark = needs_sshd
WORK = "gpucloud/test-aaaaaaaa/work"
# A root without the right to ignore permissions is like any other user.
COMMON = "exec setpriv --bounding-set=-dac_override,-dac_read_search /bin/sh -c" if os.getuid() == 0 else "exec sh -c"


def tree(folder) -> dict[bytes, bytes | None]:
    """Every path below and what it holds."""
    root = os.fsencode(folder)
    found: dict[bytes, bytes | None] = {}
    for path, folders, files in os.walk(root):
        for name in folders:
            found[os.path.relpath(os.path.join(path, name), root)] = None
        for name in files:
            with open(os.path.join(path, name), "rb") as file:
                found[os.path.relpath(os.path.join(path, name), root)] = file.read()
    return {path: data for path, data in found.items() if not path.startswith(b".gpucloud-stage")}


def told(error: SyncError, *words: str) -> None:
    assert error.exit_code == 7 and error.hint
    assert all(word in error.message for word in words), error.message


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    for number in range(20):
        (folder / "sub" / f"{number}.py").write_bytes(os.urandom(1000))
    (folder / "model").write_bytes(b"old")
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """The login home on a file system of 1 MiB."""
    home = tmp_path / "host" / "home"
    home.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(home)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a small file system here (not root)")
    yield home
    subprocess.run(["umount", "-l", str(home)], check=True)


def test_a_full_disk_during_a_push(small_disk, source, tmp_path):
    with openssh_server(tmp_path / "host") as server:
        connection = server.connect()
        push(connection, source, WORK)
        before = tree(source)
        (source / "model").write_bytes(os.urandom(3_000_000))
        with pytest.raises(SyncError) as caught:
            push(connection, source, WORK)
        told(caught.value, "The machine's disk is full")
        assert tree(server.home / WORK) == before
        (source / "model").write_bytes(b"smaller")
        push(connection, source, WORK)
        assert tree(server.home / WORK) == tree(source)


def test_a_full_disk_here_during_a_pull(small_disk, tmp_path):
    """Our own disk: said as ours, and nothing of the machine is touched."""
    with openssh_server(tmp_path / "other") as server:
        there = server.home / WORK
        there.mkdir(parents=True)
        (there / "model").write_bytes(os.urandom(3_000_000))
        (there / "small").write_bytes(b"small")
        before = tree(there)
        (small_disk / "mine").write_bytes(b"mine")
        with pytest.raises(SyncError) as caught:
            pull(server.connect(), WORK, small_disk)
        told(caught.value, "here", "are free")
        assert tree(there) == before
        assert (small_disk / "mine").read_bytes() == b"mine" and not (small_disk / "model").exists()


def test_a_limit_on_the_size_of_files(source, tmp_path):
    """As a quota acts: needs no root."""
    with openssh_server(tmp_path / "host", shell="ulimit -f 200; exec /bin/sh -c") as server:
        connection = server.connect()
        push(connection, source, WORK)
        before = tree(source)
        (source / "model").write_bytes(os.urandom(1_000_000))
        with pytest.raises(SyncError) as caught:
            push(connection, source, WORK)
        told(caught.value, "larger than the machine allows")
        assert tree(server.home / WORK) == before


def test_a_place_where_we_may_not_write(source, tmp_path):
    with openssh_server(tmp_path / "host", shell=COMMON) as server:
        connection = server.connect()
        closed = server.home / "closed"
        (closed / "inside").mkdir(parents=True)
        (closed / "inside" / "theirs").write_text("theirs")
        closed.chmod(0o555)
        (closed / "inside").chmod(0o555)
        for remote in ("closed/new", "closed/inside"):
            with pytest.raises(SyncError) as caught:
                push(connection, source, remote)
            told(caught.value, "does not permit it", "Permission denied")
        (closed / "inside").chmod(0o000)
        with pytest.raises(SyncError) as caught:
            pull(connection, "closed/inside", tmp_path / "back")
        told(caught.value, "cannot be entered")
        (closed / "inside").chmod(0o755)
        assert tree(closed) == {b"inside": None, b"inside/theirs": b"theirs"}


def test_a_read_only_home(source, tmp_path):
    with openssh_server(tmp_path / "host", shell=COMMON) as server:
        server.home.chmod(0o555)
        with pytest.raises(SyncError) as caught:
            push(server.connect(), source, WORK)
        told(caught.value, "does not permit it")
        server.home.chmod(0o755)


def test_a_read_only_file_system(source, tmp_path, small_disk):
    with openssh_server(tmp_path / "host") as server:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        with pytest.raises(SyncError) as caught:
            push(server.connect(), source, WORK)
        told(caught.value, "file system on the machine is read-only")


def test_a_path_that_does_not_exist(source, tmp_path):
    with openssh_server(tmp_path / "host") as server:
        connection = server.connect()
        with pytest.raises(SyncError) as caught:
            pull(connection, "no/such/folder", tmp_path / "back")
        told(caught.value, "no such path on the machine")
        assert caught.value.details == {"missing": True} and not (tmp_path / "back").exists()
        (server.home / "file").write_text("a file")
        with pytest.raises(SyncError) as caught:
            push(connection, source, "file/below")
        told(caught.value, "not a folder")
        assert (server.home / "file").read_text() == "a file"


STRANGE = [
    b"new\nline",
    b"two\n\nlines\n",
    b"latin-\xe9",
    b"\xff\xfe",
    b"-rf",
    b"quo'te\"",
    b"back\\slash",
    b"$(x) `y`",
    b" ",
]
STRANGE += ["ümläut".encode(), b"tab\there", b"a" * 255, b"\x01\x1b[31m"]


def test_names_of_any_bytes_go_both_ways(tmp_path):
    source = os.fsencode(tmp_path / "source")
    for name in STRANGE:
        os.makedirs(os.path.join(source, name))
        for inner in STRANGE:
            with open(os.path.join(source, name, inner), "wb") as file:
                file.write(name + inner)
    with openssh_server(tmp_path / "host") as server:
        connection = server.connect()
        assert push(connection, tmp_path / "source", WORK).files == len(STRANGE) ** 2
        assert tree(server.home / WORK) == tree(tmp_path / "source")
        assert push(connection, tmp_path / "source", WORK).files == 0
        assert pull(connection, WORK, tmp_path / "back").files == len(STRANGE) ** 2
        assert tree(tmp_path / "back") == tree(tmp_path / "source")
        shutil.rmtree(os.path.join(source, STRANGE[0]))
        assert push(connection, tmp_path / "source", WORK).deleted == len(STRANGE) + 1
        assert tree(server.home / WORK) == tree(tmp_path / "source")


def test_a_folder_of_many_files(tmp_path):
    """4,000 here, flat as a data set is; 200,000 were tried by hand."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(4000):
        (source / f"sample-{number:06}.txt").write_bytes(b"%d" % number)
    with openssh_server(tmp_path / "host") as server:
        connection = server.connect()
        assert push(connection, source, WORK).files == 4000
        (source / "sample-000007.txt").write_bytes(b"changed")
        report = push(connection, source, WORK)
        assert (report.files, report.same) == (1, 3999)
        shutil.rmtree(source)
        source.mkdir()
        assert push(connection, source, WORK).deleted == 4000
        assert tree(server.home / WORK) == {}


@pytest.mark.parametrize("direction", ["push", "pull"])
def test_an_sshd_that_is_killed_in_the_middle(tmp_path, direction):
    """An error that says so; no half file under its real name on either side; the next one goes on."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(40):
        (source / f"{number:02}").write_bytes(os.urandom(1_500_000))
    whole = tree(source)
    with openssh_server(tmp_path / "host") as server:
        there = server.home / WORK
        target = there if direction == "push" else tmp_path / "back"
        if direction == "pull":
            shutil.copytree(source, there)

        def cut() -> None:
            ends = time.monotonic() + 20
            while not (target / "02").exists() and time.monotonic() < ends:
                time.sleep(0.001)
            server.cut()

        connection = server.connect()
        cutter = threading.Thread(target=cut)
        cutter.start()
        with pytest.raises((Unreachable, SyncError)) as caught:
            copy(direction, connection, source, target)
        cutter.join()
        assert caught.value.exit_code == 7 and caught.value.hint
        arrived = tree(target)
        assert 0 < len(arrived) < len(whole)
        assert all(data == whole[path] for path, data in arrived.items())
        again = copy(direction, server.connect(), source, target)
        assert again.files <= len(whole) - len(arrived)
        assert tree(there) == tree(target) == tree(source) == whole


def copy(direction: str, connection, source, target):
    return push(connection, source, WORK) if direction == "push" else pull(connection, WORK, target)


SHELLS = ["fish", "tcsh", "csh", "zsh", "ksh", "mksh", "bash", "dash", "busybox"]
PICKY = """\
import os, sys
# A login shell of its own kind: knows words, single quotes and exec, and refuses all that other shells would expand.
words, text, i = [], sys.argv[-1], 0
while i < len(text):
    if text[i] == " ":
        i += 1
        continue
    word = ""
    while i < len(text) and text[i] != " ":
        if text[i] == "'":
            end = text.index("'", i + 1)
            word, i = word + text[i + 1 : end], end + 1
        elif text[i] in "$`\\"\\\\;&|<>(){}*?~#!":
            sys.exit("picky: syntax error near " + text[i])
        else:
            word, i = word + text[i], i + 1
    words.append(word)
os.execvp(words[1], words[1:]) if words[0] == "exec" else sys.exit("picky: only exec")
"""


@pytest.mark.parametrize("shell", [*SHELLS, "picky"])
def test_login_shells_of_every_kind(source, tmp_path, shell):
    if shell == "picky":
        (tmp_path / "picky.py").write_text(PICKY)
        start = f"exec {shlex.join([sys.executable, str(tmp_path / 'picky.py')])} -c"
    else:
        path = shutil.which(shell)
        if path is None:
            pytest.skip(f"{shell} is not installed (apt-get install {shell})")
        start = f"exec {path} sh -c" if shell == "busybox" else f"SHELL={path}; export SHELL; exec {path} -c"
    with openssh_server(tmp_path / "host", shell=start) as server:
        connection = server.connect()
        assert push(connection, source, "with blank/and 'quote'").files == 21
        assert tree(server.home / "with blank" / "and 'quote'") == tree(source)
        assert pull(connection, "with blank/and 'quote'", tmp_path / "back").files == 21


@pytest.mark.parametrize("noise", ["echo welcome; echo warning >&2", "head -c 300000 /dev/zero | tr '\\0' w; echo"])
def test_login_shells_that_print(source, tmp_path, noise):
    with openssh_server(tmp_path / "host", shell=f"{noise}; exec /bin/sh -c") as server:
        connection = server.connect()
        assert push(connection, source, WORK).files == 21
        assert pull(connection, WORK, tmp_path / "back").files == 21
        assert tree(tmp_path / "back") == tree(source)


@pytest.mark.parametrize("noise", ["yes", "cat /dev/zero"])
def test_login_shells_that_print_for_ever(source, tmp_path, noise):
    with openssh_server(tmp_path / "host", shell=f"exec {noise}; :") as server, pytest.raises(SyncError) as caught:
        push(server.connect(), source, WORK)
    told(caught.value, "printed more than 1024 KiB", "push")
    assert len(caught.value.message) < 1000 and "\0" not in caught.value.message


def test_a_login_shell_that_refuses(source, tmp_path):
    shell = 'echo "This account is currently not available."; exit 1; :'
    with openssh_server(tmp_path / "host", shell=shell) as server, pytest.raises(SyncError) as caught:
        push(server.connect(), source, WORK)
    told(caught.value, "This account is currently not available")


def test_a_host_whose_clock_is_hours_off(source, tmp_path):
    """Times of files are ours, so the next sync sends nothing, whatever the host's clock says."""
    skewed = tmp_path / "skewed"
    skewed.mkdir()
    (skewed / "date").write_text('#!/bin/sh\nexec /bin/date -d "-5 hours" "$@"\n')
    (skewed / "date").chmod(0o755)
    with openssh_server(tmp_path / "host", shell=f'PATH="{skewed}:$PATH"; exec /bin/sh -c') as server:
        connection = server.connect()
        assert abs(float(output(connection, "date +%s")) - time.time()) > 3600
        assert push(connection, source, WORK).files == 21
        assert push(connection, source, WORK).files == 0
