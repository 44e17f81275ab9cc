"""Pull of large files: changed blocks only, interrupted copies go on, several connections; hosts that lie."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import tarfile
import threading

import pytest

from gpucloud.core.errors import SyncError
from gpucloud.core.wire import STAGE_DIR
from gpucloud.remote import blocks
from gpucloud.remote.codec import CODECS, packer
from gpucloud.remote.manifest import encoded
from gpucloud.remote.sync import pull

MIB = 1 << 20
NAME = "deep/model \udcff.bin"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """What counts as large, made small enough for a test."""
    monkeypatch.setattr(blocks, "LARGE_BYTES", 4 * MIB)
    monkeypatch.setattr(blocks, "BLOCK", 256 << 10)


@pytest.fixture
def there(machine):
    root = machine.home / "out"
    (root / "deep").mkdir(parents=True)
    (root / NAME).write_bytes(os.urandom(6 * MIB + 5))
    (root / NAME).chmod(0o640)
    (root / "small").write_text("x")
    return root


def same(a, b) -> bool:
    return a.read_bytes() == b.read_bytes() and a.stat().st_mtime_ns == b.stat().st_mtime_ns


def edit(path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_only_changed_blocks_travel(machine, there, tmp_path):
    here = tmp_path / "here"
    first = pull(machine, "out", here)
    assert (first.files, first.blocks, first.bytes) == (2, 25, 6 * MIB + 6)
    assert (here / NAME).stat().st_mode & 0o7777 == 0o640
    edit(there / NAME, 3 * MIB, b"changed")
    seen = []
    second = pull(machine, "out", here, progress=lambda *both: seen.append(both))
    assert (second.files, second.blocks) == (1, 1)
    assert seen[-1][0] == seen[-1][1]
    assert same(there / NAME, here / NAME)
    assert sorted(os.listdir(here)) == ["deep", "small"]
    assert pull(machine, "out", here).files == 0


@pytest.mark.parametrize("size", [4 * MIB, 9 * MIB + 1])
def test_files_that_grew_or_shrank(machine, there, tmp_path, size):
    pull(machine, "out", tmp_path / "here")
    data = (there / NAME).read_bytes()
    (there / NAME).write_bytes((data + os.urandom(4 * MIB))[:size])
    assert pull(machine, "out", tmp_path / "here").blocks <= 14
    assert same(there / NAME, tmp_path / "here" / NAME)


def test_an_interrupted_pull_goes_on_and_shows_no_half_file(machine, there, tmp_path):
    class Cut(Exception):
        pass

    def cut(done: int, total: int) -> None:
        if done > total * 0.6:
            raise Cut

    here = tmp_path / "here"
    (here / "deep").mkdir(parents=True)
    (here / NAME).write_bytes(b"old")
    with pytest.raises(Cut):
        pull(machine, "out", here, progress=cut)
    assert (here / NAME).read_bytes() == b"old"
    report = pull(machine, "out", here)
    assert 0 < report.blocks < 15
    assert same(there / NAME, here / NAME)
    assert sorted(os.listdir(here)) == ["deep", "small"]


def test_what_an_interrupted_pull_left_goes_with_its_file(machine, there, tmp_path):
    (tmp_path / "here" / STAGE_DIR / "parts").mkdir(parents=True)
    (tmp_path / "here" / STAGE_DIR / "parts" / "left").write_bytes(b"x")
    (there / NAME).unlink()
    pull(machine, "out", tmp_path / "here")
    assert sorted(os.listdir(tmp_path / "here")) == ["deep", "small"]


def test_several_connections_on_a_long_line(machine, there, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "LONG_LINE_S", 0.0)
    for number in range(100):
        folder = there / f"folder {number % 7}" / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(os.urandom(60_000))
    os.symlink("deep", there / "folder 2" / "link")
    (there / "folder 1" / "deep").chmod(0o500)
    opened, seen = [], []

    def more():
        opened.append(type(machine)(machine.home))
        return opened[-1]

    report = pull(machine, "out", tmp_path / "here", more=more, progress=lambda *both: seen.append(both))
    assert (report.files, report.blocks, len(opened)) == (102, 25, 6)
    assert seen[-1][0] == seen[-1][1]
    assert same(there / NAME, tmp_path / "here" / NAME)
    assert pull(machine, "out", tmp_path / "here").files == 0
    (there / "folder 1" / "deep").chmod(0o700)


def test_a_file_that_changes_while_it_is_fetched_comes_whole(machine, there, tmp_path):
    changes = [os.urandom(6 * MIB), os.urandom(5 * MIB)]

    def change(done: int, total: int) -> None:
        if changes and done > MIB:
            (there / NAME).write_bytes(changes.pop())

    pull(machine, "out", tmp_path / "here", progress=change)
    assert not changes
    assert same(there / NAME, tmp_path / "here" / NAME)


def test_a_file_that_never_rests_is_told_and_fetched_again(machine, there, tmp_path):
    def change(done: int, total: int) -> None:
        edit(there / NAME, 0, os.urandom(8))

    report = pull(machine, "out", tmp_path / "here", progress=change)
    assert report.changed_while_read == (NAME,)
    again = pull(machine, "out", tmp_path / "here")
    assert (again.files, again.changed_while_read) == (1, ())
    assert same(there / NAME, tmp_path / "here" / NAME)


def test_a_single_large_file(machine, there, tmp_path):
    pull(machine, f"out/{NAME}", tmp_path / "new" / "name.bin")
    assert same(there / NAME, tmp_path / "new" / "name.bin")
    assert sorted(os.listdir(tmp_path / "new")) == ["name.bin"]


@pytest.mark.parametrize("reach", [0, MIB])
def test_where_the_kernel_copies_nothing_or_a_part_we_do(machine, there, tmp_path, monkeypatch, reach):
    pull(machine, "out", tmp_path / "here")
    edit(there / NAME, 3 * MIB, b"changed")
    begun = []

    def some(source, target, count, at, to):
        begun.append(at)
        if len(begun) > 1:
            raise OSError("not here")
        data = os.pread(source, reach, at)
        return os.pwrite(target, data, to)

    monkeypatch.setattr(os, "copy_file_range", some, raising=False)
    assert pull(machine, "out", tmp_path / "here").blocks == 1
    assert same(there / NAME, tmp_path / "here" / NAME)


def test_two_pulls_of_one_file_do_not_mix(machine, there, tmp_path):
    parts = tmp_path / "here" / STAGE_DIR / "parts"
    parts.mkdir(parents=True)
    with (parts / hashlib.sha256(encoded(NAME)).hexdigest()).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SyncError, match="Another pull"):
            pull(machine, "out", tmp_path / "here")
    assert pull(machine, "out", tmp_path / "here").blocks == 25


def test_a_link_in_the_way_of_a_large_file_is_no_way_out(machine, there, tmp_path):
    """The folder becomes a link after the scan: between looking and writing."""
    outside, here = tmp_path / "outside", tmp_path / "here"
    outside.mkdir()
    here.mkdir()

    def swap(done: int, total: int) -> None:
        if done > MIB and not (here / "deep").is_symlink():
            (here / "deep").rmdir()
            (here / "deep").symlink_to(outside)

    with pytest.raises(SyncError):
        pull(machine, "out", here, progress=swap)
    assert list(outside.iterdir()) == []


def test_too_little_space_is_said_before_the_first_byte(machine, there, tmp_path, monkeypatch):
    monkeypatch.setattr("gpucloud.remote.pull.shutil.disk_usage", lambda _: type("Usage", (), {"free": MIB}))
    with pytest.raises(SyncError, match=r"only 1048576 are free"):
        pull(machine, "out", tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


class Scripted:
    """A machine that says what it likes."""

    dialect, base_dir = "sh", ""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)

    def run(self, command: str, *, tty: bool = False):
        return Said(self._answers.pop(0))


class Said:
    def __init__(self, data: bytes) -> None:
        self._data, self.closed = io.BytesIO(data), threading.Event()

    def write(self, data: bytes) -> None:
        pass

    end_input = close = lambda self: self.closed.set()

    def read(self, size: int) -> bytes:
        return self._data.read(size)

    def read_error(self, size: int) -> bytes:
        return b""

    def wait(self) -> int:
        return 0


def lie(manifest: bytes, archive: bytes = b"", codec: str = "zstd", head: str = "", then: bytes = b"") -> Scripted:
    """A machine with this manifest and this archive, `then` on the channel for large files."""
    words = head or f"codec={codec} fine=1 as=folder python=1 archiver=gnu"
    packed = [one.compress(data) + one.flush() for data in (manifest, archive) for one in [packer(codec)]]
    start = b"\ngpucloud:start "
    return Scripted(start + words.encode() + b"\n" + b"".join(packed), start + b"\n" + then)


def archive(name: str, data: bytes, mtime: str = "1.5", **fields) -> bytes:
    out = io.BytesIO()
    info = tarfile.TarInfo(name)
    info.size, info.pax_headers = len(data), {"mtime": mtime, **fields}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        made.addfile(info, io.BytesIO(data))
    return out.getvalue()


ONE = b"f 644 10 1.5 a\0END gpucloud\0"


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_stopped_by_what_was_announced(tmp_path, monkeypatch, codec):
    monkeypatch.setattr("gpucloud.remote.fetch.most", lambda announced: 2 * announced + 50_000)
    with pytest.raises(SyncError, match="more than it announced"):
        pull(lie(ONE, archive("a", bytes(8 * MIB)), codec), "out", tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


def test_a_list_without_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("gpucloud.remote.talk.MAX_MANIFEST", 100_000)
    with pytest.raises(SyncError, match="list of files is too long"):
        pull(lie(bytes(300 * MIB)), "out", tmp_path / "here")


@pytest.mark.parametrize(
    "manifest",
    [
        b"f 644 -5 1.5 a\0END gpucloud\0",
        b"f 999 5 1.5 a\0END gpucloud\0",
        b"f 644 5 1.x a\0END gpucloud\0",
        b"f 644 " + b"9" * 5000 + b" 1.5 a\0END gpucloud\0",
        b"f 644\0END gpucloud\0",
        b"l 777 1 1.5 a",
        b"",
    ],
)
def test_a_manifest_that_is_none(tmp_path, manifest):
    with pytest.raises(SyncError):
        pull(lie(manifest), "out", tmp_path / "here")


@pytest.mark.parametrize("name", [".git/hooks/post-checkout", "sub/.GIT/config", f"{STAGE_DIR}/parts/x"])
def test_names_of_ours_and_gits_are_not_fetched(tmp_path, name):
    manifest = b"f 755 2 1.5 " + name.encode() + b"\0END gpucloud\0"
    assert pull(lie(manifest, archive(name, b"#!")), "out", tmp_path / "here").files == 0
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("head", ["codec=zstd", "fine=1 as=folder python=1 archiver=gnu"])
def test_an_answer_that_lacks_words(tmp_path, head):
    with pytest.raises(SyncError, match="not complete"):
        pull(lie(ONE, head=head), "out", tmp_path / "here")


@pytest.mark.parametrize("mtime", ["99999999999999999999.5", "-99999999999999999999"])
def test_times_that_no_file_can_have(tmp_path, mtime):
    assert pull(lie(ONE, archive("a", b"0123456789", mtime)), "out", tmp_path / "here").files == 1


@pytest.mark.parametrize("fields", [{"size": "9" * 5000}, {"size": "x"}, {"path": "a\0b"}, {"linkpath": "a\0b"}])
def test_pax_records_that_no_archive_has(tmp_path, fields):
    with contextlib.suppress(SyncError):
        pull(lie(ONE, archive("a", b"0123456789", **fields)), "out", tmp_path / "here")
    assert [one.name for one in (tmp_path / "here").iterdir() if one.name != "a"] == []


def test_a_damaged_packed_stream(tmp_path):
    machine = lie(ONE, archive("a", os.urandom(100_000)), "gzip")
    data = bytearray(machine._answers[0])
    data[-50_000:-49_000] = bytes(1000)
    machine._answers[0] = bytes(data)
    with pytest.raises(SyncError):
        pull(machine, "out", tmp_path / "here")
    assert not (tmp_path / "here" / "a").exists()


BIG = b"f 644 %d 1.5 big\0END gpucloud\0" % (4 * MIB)


@pytest.mark.parametrize(
    "then",
    [
        b"%d 420 15\n" % (1 << 60),
        b"x y z\n",
        b"1 420\n",
        b"",
        b"%d 420 15\n" % (256 << 10) + bytes(32) + b"999999999999\n",
        b"%d 420 15\n" % (256 << 10) + bytes(32) + b"-5\n",
        b"%d 420 15\n" % (256 << 10) + bytes(32) + b"5\nab",
    ],
)
def test_lies_about_large_files(tmp_path, then):
    with pytest.raises(SyncError):
        pull(lie(BIG, then=then), "out", tmp_path / "here")
    assert not (tmp_path / "here" / "big").exists()


def test_a_large_file_that_went_away_leaves_nothing(tmp_path):
    assert pull(lie(BIG, then=b"-1 0 0\n"), "out", tmp_path / "here").files == 0
    assert list((tmp_path / "here").iterdir()) == []
