"""push and pull against machines of both dialects: what arrives, what goes, what stays, what fails how."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gpucloud.core.errors import SyncError, UsageError
from gpucloud.core.wire import STAGE_DIR
from gpucloud.remote.sync import SyncRules, pull, push

NS = 10**9


def tree(root: Path) -> dict[str, tuple]:
    """Every name with what should survive a copy."""
    found = {}
    for folder, names, files in os.walk(root):
        for name in names + files:
            path = Path(folder, name)
            status = path.lstat()
            relative = os.path.relpath(path, root)
            if path.is_symlink():
                found[relative] = ("link", os.readlink(path))
            elif path.is_dir():
                found[relative] = ("folder", stat.S_IMODE(status.st_mode))
            else:
                found[relative] = ("file", stat.S_IMODE(status.st_mode), status.st_mtime_ns, path.read_bytes())
    return found


@pytest.fixture
def source(tmp_path):
    """A tree with everything that is hard about trees."""
    root = tmp_path / "source"
    (root / "pkg" / "deep" / "empty").mkdir(parents=True)
    (root / "pkg" / "main.py").write_text("print(1)\n")
    (root / "pkg" / "run.sh").write_text("#!/bin/sh\n")
    (root / "pkg" / "run.sh").chmod(0o755)
    (root / "read only").write_text("x")
    (root / "read only").chmod(0o444)
    (root / "nothing").write_bytes(b"")
    (root / "big.bin").write_bytes(os.urandom(700_001))
    (root / "-rf").write_text("an option?")
    (root / "new\nline").write_text("name with a newline")
    (root / "quote'\"\\ $HOME").write_text("quoted")
    os.symlink("pkg/main.py", root / "link")
    os.symlink("/nowhere/at all", root / "dangling")
    (root / ("n" * 200)).write_text("long name")
    long = root.joinpath(*["d" * 60] * 5)
    long.mkdir(parents=True)
    (long / "file").write_text("long path")
    with open(os.fsencode(root) + b"/not-utf8-\xff\xfe", "wb") as file:
        file.write(b"bytes")
    os.utime(root / "pkg" / "main.py", ns=(NS, 1_700_000_000 * NS + 123_456_789))
    os.utime(root / "nothing", ns=(NS, 5))
    return root


def test_a_push_copies_everything_and_the_next_one_nothing(machine, source):
    first = push(machine, source, "some where/work")
    assert tree(machine.home / "some where/work") == tree(source)
    assert first.files == sum(1 for one in tree(source).values() if one[0] == "file")
    second = push(machine, source, "some where/work")
    assert (second.files, second.bytes, second.deleted) == (0, 0, 0)


def test_a_pull_copies_everything_and_the_next_one_nothing(machine, source, tmp_path):
    shutil.copytree(source, machine.home / "out", symlinks=True)
    pull(machine, "out", tmp_path / "here")
    assert tree(tmp_path / "here") == tree(machine.home / "out")
    assert pull(machine, "out", tmp_path / "here").files == 0


def test_changes_travel_and_only_they(machine, source):
    push(machine, source, "work")
    status = (source / "nothing").stat()
    (source / "pkg" / "main.py").write_text("print(2)\n")
    os.utime(source / "pkg" / "main.py", ns=(NS, 1_700_000_000 * NS + 123_456_790))  # one nanosecond later
    (source / "pkg" / "run.sh").chmod(0o700)
    report = push(machine, source, "work")
    assert report.files == 2
    assert tree(machine.home / "work") == tree(source)
    assert (machine.home / "work" / "nothing").stat().st_mtime_ns == status.st_mtime_ns


def test_deletions_unless_extra_is_kept(machine, source):
    push(machine, source, "work")
    work = machine.home / "work"
    (work / "pkg" / "old" / "er").mkdir(parents=True)
    (work / "pkg" / "old" / "er" / "file\nname").write_text("x")
    os.symlink("nowhere", work / "pkg" / "old" / "link")
    push(machine, source, "work", keep_extra=True)
    assert (work / "pkg" / "old" / "er" / "file\nname").exists()
    assert push(machine, source, "work").deleted == 4
    assert tree(work) == tree(source)


def test_files_become_folders_and_folders_files(machine, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a b!").write_text("file")
    (source / "b").mkdir()
    (source / "b" / "inside").write_text("x")
    (source / "c").mkdir()
    os.symlink("b", source / "d")
    push(machine, source, "work")
    (source / "a b!").unlink()
    (source / "a b!").mkdir()
    (source / "a b!" / "inside").write_text("now a folder")
    shutil.rmtree(source / "b")
    (source / "b").write_text("now a file")
    (source / "c").rmdir()
    os.symlink("b", source / "c")
    (source / "d").unlink()
    (source / "d").mkdir()
    push(machine, source, "work")
    assert tree(machine.home / "work") == tree(source)


def test_ignored_names_stay_on_both_sides(machine, tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / ".git").mkdir()
    (source / ".git" / "HEAD").write_text("ref")
    (source / ".gitignore").write_text("*.log\n/data/\n!keep.log\n")
    (source / ".gpucloudignore").write_text("secret\n")
    (source / "sub" / ".gitignore").write_text("!wanted.log\nlocal\n")
    for name in ("a.log", "keep.log", "secret", "sub/wanted.log", "sub/other.log", "sub/local", "sub/x.pt"):
        (source / name).write_text(name)
    work = machine.home / "work"
    (work / "data").mkdir(parents=True)
    (work / "data" / "set.bin").write_text("only there")
    (work / "there.log").write_text("only there")
    (work / "extra").write_text("goes")
    push(machine, source, "work", SyncRules(exclude=("*.pt",)))
    assert sorted(tree(work)) == [
        ".gitignore", ".gpucloudignore", "data", "data/set.bin", "keep.log", "sub", "sub/.gitignore",
        "sub/wanted.log", "there.log",
    ]  # fmt: skip


def test_a_folder_with_ignored_files_is_never_replaced_by_a_file(machine, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / ".gitignore").write_text("*.ckpt\n")
    (source / "out").write_text("a file")
    (machine.home / "work" / "out").mkdir(parents=True)
    (machine.home / "work" / "out" / "best.ckpt").write_text("days of work")
    with pytest.raises(SyncError, match=r"out/best.ckpt"):
        push(machine, source, "work")
    assert (machine.home / "work" / "out" / "best.ckpt").read_text() == "days of work"


def test_checksum_finds_what_size_and_time_hide(machine, source):
    push(machine, source, "work")
    hidden = machine.home / "work" / "big.bin"
    status = hidden.stat()
    hidden.write_bytes(bytes(700_001))
    os.utime(hidden, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert push(machine, source, "work").files == 0
    assert push(machine, source, "work", checksum=True).files == 1
    assert hidden.read_bytes() == (source / "big.bin").read_bytes()


def test_single_files(machine, tmp_path):
    (tmp_path / "a.txt").write_text("one")
    os.symlink("a.txt", tmp_path / "b.txt")
    push(machine, tmp_path / "a.txt", "new/folder/name.txt")
    (machine.home / "into").mkdir()
    (machine.home / "into" / "other").write_text("stays")
    push(machine, tmp_path / "b.txt", "into")
    assert (machine.home / "new/folder/name.txt").read_text() == "one"
    assert {one: kind[0] for one, kind in tree(machine.home / "into").items()} == {"b.txt": "file", "other": "file"}
    pull(machine, "new/folder/name.txt", tmp_path / "back.txt")
    pull(machine, "into/b.txt", tmp_path)
    assert (tmp_path / "back.txt").read_text() == "one"
    assert not (tmp_path / "b.txt").is_symlink()


def test_pull_deletes_only_for_a_mirror(machine, tmp_path):
    (machine.home / "out").mkdir()
    (machine.home / "out" / "new").write_text("x")
    here = tmp_path / "here"
    (here / ".git").mkdir(parents=True)
    (here / "old" / "er").mkdir(parents=True)
    (here / "old" / "er" / "file").write_text("x")
    pull(machine, "out", here)
    assert (here / "old" / "er" / "file").exists()
    pull(machine, "out", here, mirror=True)
    assert sorted(tree(here)) == [".git", "new"]


def test_a_pull_sweeps_away_what_a_killed_one_left(machine, tmp_path):
    """But not the stage of a process that lives, nor one that something came into lately."""
    (machine.home / "out").mkdir()
    (machine.home / "out" / "file").write_text("x")
    stages = tmp_path / "here" / STAGE_DIR
    for name, age_s in {"999999999.dead": 7200, f"{os.getpid()}.alive": 7200, "999999999.lately": 60}.items():
        (stages / name).mkdir(parents=True)
        (stages / name / "file").write_text("half")
        os.utime(stages / name, (time.time() - age_s,) * 2)
    assert pull(machine, "out", tmp_path / "here").files == 1
    assert sorted(os.listdir(stages)) == sorted([f"{os.getpid()}.alive", "999999999.lately"])


def test_hard_links_on_the_machine_are_files_here(machine, tmp_path):
    (machine.home / "out").mkdir()
    (machine.home / "out" / "a").write_text("same")
    os.link(machine.home / "out" / "a", machine.home / "out" / "b")
    pull(machine, "out", tmp_path / "here")
    assert {name: one[3] for name, one in tree(tmp_path / "here").items()} == {"a": b"same", "b": b"same"}


def test_what_is_not_there_is_said(machine, tmp_path):
    with pytest.raises(SyncError, match="no such path"):
        pull(machine, "no/such/thing", tmp_path / "here")
    with pytest.raises(UsageError, match="does not exist"):
        push(machine, tmp_path / "nothing", "work")


def test_a_file_in_the_way_of_the_remote_folder(machine, source):
    (machine.home / "file").write_text("x")
    with pytest.raises(SyncError, match="file"):
        push(machine, source, "file/below")


def test_progress_reaches_the_total(machine, source):
    seen = []
    push(machine, source, "work", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == sum(len(one[3]) for one in tree(source).values() if one[0] == "file")
    assert seen == sorted(seen)


def test_a_cut_leaves_no_half_file_and_the_next_push_goes_on(machine, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(40):
        (source / f"{number:02}").write_bytes(os.urandom(300_000))

    class Cut(Exception):
        pass

    def cut(done: int, total: int) -> None:
        if done > total / 2:
            raise Cut

    with pytest.raises(Cut):
        push(machine, source, "work", progress=cut)
    for _ in range(200):  # the machine notices the closed channel and ends
        here = tree(machine.home / "work")
        if not any(name.startswith(".gpucloud-stage") for name in here):
            break
        threading.Event().wait(0.05)
    whole = tree(source)
    assert here and all(whole[name] == one for name, one in here.items())
    report = push(machine, source, "work")
    assert report.files == 40 - len(here)
    assert tree(machine.home / "work") == whole


def test_a_file_that_shrinks_or_changes_while_read_never_arrives_torn(machine, tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"1" * 1_000_000)
    (source / "b").write_bytes(b"2" * 10)
    changes = [b"3" * 400_000, b"4" * 500_000]

    def change(done: int, total: int) -> None:
        if changes and done > 200_000:
            (source / "a").write_bytes(changes.pop())

    push(machine, source, "work", progress=change)
    arrived = (machine.home / "work" / "a").read_bytes()
    assert arrived == (source / "a").read_bytes()
    assert (machine.home / "work" / "b").read_bytes() == b"2" * 10


def test_an_unreadable_file_is_named_the_rest_arrives_and_nothing_is_deleted(machine, source, monkeypatch):
    real_open = os.open

    def refusing(path, *args, **kwargs):
        if str(path).endswith("big.bin"):
            raise PermissionError(13, "Permission denied", path)
        return real_open(path, *args, **kwargs)

    (machine.home / "work").mkdir()
    (machine.home / "work" / "extra").write_text("x")
    monkeypatch.setattr("gpucloud.remote.packing.os.open", refusing)
    with pytest.raises(SyncError, match=r"big\.bin"):
        push(machine, source, "work")
    assert (machine.home / "work" / "extra").exists()
    assert (machine.home / "work" / "pkg" / "main.py").exists()


@pytest.mark.parametrize("hidden", ["zstd", "zstd gzip", "find", "find python3", "tar", "setsid"])
def test_machines_that_lack_a_program(sh_machine, source, tmp_path, hidden):
    programs = tmp_path / "programs"
    programs.mkdir()
    wanted = "sh cat mkdir rm rmdir xargs find tar gzip zstd python3 sha256sum printf".split()
    for name in wanted:
        found = sys.executable if name == "python3" else shutil.which(name)
        if name not in hidden.split() and found:
            os.symlink(os.path.realpath(found), programs / name)
    if "find" in hidden:  # one without -printf
        (programs / "find").write_text(
            f'#!/bin/sh\nfor a; do [ "$a" = -printf ] && exit 1; done\nexec {shutil.which("find")} "$@"\n'
        )
        (programs / "find").chmod(0o755)
    sh_machine.environment["PATH"] = str(programs)
    push(sh_machine, source, "work")
    assert tree(sh_machine.home / "work") == tree(source)
    (sh_machine.home / "work" / "extra").write_text("x")
    push(sh_machine, source, "work")
    assert tree(sh_machine.home / "work") == tree(source)
    pull(sh_machine, "work", tmp_path / "back")
    assert tree(tmp_path / "back") == tree(source)


def test_no_tar_and_no_python_is_an_error_that_says_so(sh_machine, source, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in "sh cat mkdir rm rmdir xargs find gzip".split():
        os.symlink(os.path.realpath(shutil.which(name) or name), programs / name)
    sh_machine.environment["PATH"] = str(programs)
    with pytest.raises(SyncError, match="neither tar nor python3"):
        push(sh_machine, source, "work")


@pytest.mark.parametrize("shell", ["fish", "tcsh", "bash", "zsh", "dash"])
def test_login_shells(sh_machine, source, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    sh_machine.shell = (shell, "-c")
    push(sh_machine, source, "it's a \\ work! $HOME")
    assert tree(sh_machine.home / "it's a \\ work! $HOME") == tree(source)


def test_a_login_shell_that_talks(sh_machine, source, tmp_path):
    talker = tmp_path / "talker"
    talker.write_text(
        '#!/bin/sh\necho "Welcome to the cluster!"; echo motd >&2; printf "no newline"\nexec sh -c "$2"\n'
    )
    talker.chmod(0o755)
    sh_machine.shell = (str(talker), "-c")
    push(sh_machine, source, "work")
    assert tree(sh_machine.home / "work") == tree(source)


def test_a_login_shell_that_refuses(sh_machine, source, tmp_path):
    nologin = tmp_path / "nologin"
    nologin.write_text('#!/bin/sh\necho "This account is currently not available."\nexit 1\n')
    nologin.chmod(0o755)
    sh_machine.shell = (str(nologin), "-c")
    with pytest.raises(SyncError, match="not available"):
        push(sh_machine, source, "work")


@pytest.fixture
def tiny_disk(tmp_path):
    """A folder on a file system of 1 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a small file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_what_was_there_stays(machine, tmp_path, tiny_disk):
    source = tmp_path / "source"
    source.mkdir()
    (source / "fits").write_bytes(os.urandom(100_000))
    (source / "model").write_bytes(b"old")
    push(machine, source, str(tiny_disk / "work"))
    (source / "model").write_bytes(os.urandom(3_000_000))
    with pytest.raises(SyncError, match="disk is full"):
        push(machine, source, str(tiny_disk / "work"))
    assert (tiny_disk / "work" / "model").read_bytes() == b"old"
    (source / "model").write_bytes(b"new")
    push(machine, source, str(tiny_disk / "work"))
    assert tree(tiny_disk / "work") == tree(source)


def test_stale_stages_go_and_busy_ones_stay(sh_machine, source):
    stage = sh_machine.home / "work" / ".gpucloud-stage"
    (stage / "999999999").mkdir(parents=True)
    (stage / "999999999" / "1").write_text("left by a push that was killed")
    (stage / str(os.getpid())).mkdir()
    push(sh_machine, source, "work")
    assert [one.name for one in stage.iterdir()] == [str(os.getpid())]
