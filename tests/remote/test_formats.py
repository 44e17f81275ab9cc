"""The wire formats: manifests and archives survive any name; damaged and hostile archives write nothing outside."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucloud.core.errors import SyncError
from gpucloud.remote import tarformat as tar
from gpucloud.remote.codec import CODECS, Unpacked, packer
from gpucloud.remote.difference import difference
from gpucloud.remote.manifest import Entry, decoded, encoded, parse, records, scan
from gpucloud.remote.packing import FilesOut, Outlet
from gpucloud.remote.unpacking import Landing, remove, safe_name

names = st.binary(min_size=1, max_size=60).map(
    lambda raw: decoded(raw.replace(b"\0", b"0").replace(b"/", b"_").strip(b".") or b"x")
)
paths = st.lists(names, min_size=1, max_size=6).map("/".join)
times = st.integers(0, 2**34 * 10**9)
kinds, modes = st.sampled_from("fd"), st.integers(0, 0o7777)
entries = st.builds(Entry, paths, kinds, modes, st.integers(0, 2**50), times, st.just(""))
links = st.builds(Entry, paths, st.just("l"), st.just(0o777), st.just(1), st.integers(-(2**60), 2**60), paths)


@given(st.lists(entries | links, max_size=8))
def test_a_manifest_reads_as_it_was_written(listed):
    data = b"".join(records(listed))
    assert parse(data) == listed
    for at in range(0, len(data) - 1, 7):
        assert parse(data[:at]) is None


@given(paths, st.integers(0, 0o7777), st.integers(0, 2**40), times, st.sampled_from([b"0", b"5"]))
def test_a_header_reads_as_it_was_written(path, mode, size, mtime_ns, kind):
    data = tar.pax_mtime(mtime_ns) + tar.header(encoded(path), mode, size, mtime_ns, kind)
    member = tar.Reader(io.BytesIO(data).read).next()
    expected = size if kind == tar.REGULAR else 0
    assert member == tar.Member(path, kind, mode, expected, mtime_ns, "")


@given(paths, st.integers(0, 0o7777), st.integers(0, 2**40), st.integers(-(2**40), 2**34 * 10**9))
def test_staged_blocks_are_the_headers_they_stand_for(path, mode, size, mtime_ns):
    blocks = tar.Staged(b".gpucloud-stage/12%d/0")
    head = tar.header(b".gpucloud-stage/12%d/0", mode, size, mtime_ns, tar.REGULAR)
    assert blocks.content(mode, size, mtime_ns) == tar.pax_mtime(mtime_ns) + head
    assert blocks.link(encoded(path)) == tar.header(
        encoded(path), 0o644, 0, 0, tar.HARD_LINK, b".gpucloud-stage/12%d/0"
    )


@given(paths, paths, times)
def test_pythons_tarfile_reads_our_headers(path, target, mtime_ns):
    data = tar.header(encoded(path), 0o777, 0, mtime_ns, tar.SYMLINK, encoded(target)) + tar.END_OF_ARCHIVE
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape", encoding="utf-8") as archive:
        member = archive.next()
    assert (member.name, member.linkname) == (path.rstrip("/"), target)


@settings(max_examples=25)
@given(st.dictionaries(names, st.binary(max_size=2000), max_size=6), st.sampled_from(CODECS))
def test_a_tree_survives_packing_and_landing(tmp_path_factory, files, codec):
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for name, data in files.items():
        with open(encoded(f"{source}/{name}"), "wb") as file:
            file.write(data)
    packed = io.BytesIO()
    outlet = Outlet(codec, packed.write)
    FilesOut(str(source), outlet).write_names(files)
    outlet.put(tar.END_OF_ARCHIVE)
    outlet.finish()
    stream = Unpacked(codec, io.BytesIO(packed.getvalue()).read)
    with Landing(str(target), lambda _: None) as landing:
        landing.take(stream.read_exactly, {name: Entry(name, "f", 0, 0, 0) for name in files}, {})
    assert scan(str(target)).entries == scan(str(source)).entries
    assert {name: Path(f"{target}/{name}").read_bytes() for name in files} == files


@given(st.binary(max_size=5000), st.sampled_from(CODECS), st.integers(1, 100))
def test_packed_streams_end_where_they_end(data, codec, step):
    pack = packer(codec)
    packed = pack.compress(data) + pack.flush()
    if codec == "none":
        return
    stream = io.BytesIO(packed + b"what follows")
    unpacked = Unpacked(codec, lambda size: stream.read(min(size, step)))
    assert b"".join(iter(lambda: unpacked.read(777), b"")) == data
    assert unpacked.left_over + stream.read() == b"what follows"
    cut = Unpacked(codec, io.BytesIO(packed[:-1]).read)
    with pytest.raises(EOFError):
        while cut.read(1 << 20):
            pass


@given(st.lists(entries, max_size=12, unique_by=lambda one: one.path), st.lists(entries, max_size=12))
def test_a_difference_accounts_for_every_name(source, target):
    target = list({one.path: one for one in target}.values())
    found = difference(source, target, fine=True, delete=True)
    sent = {one.path for one in found.send}
    assert len(sent) + found.same == len(source)
    assert not difference(source, source, fine=True, delete=True)
    left = {one.path for one in target} - {one.path for one in source}
    assert set(found.gone) | set(found.gone_folders) <= left


def hostile(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def land(target, data: bytes, *wanted: str) -> None:
    with Landing(str(target), lambda _: None) as landing:
        landing.take(io.BytesIO(data).read, {name: Entry(name, "f", 0, 0, 0) for name in wanted}, {})


@pytest.mark.parametrize("name", ["../out", "/tmp/gpucloud-out", "a/../../out", "a/./b", "..", "a//b", ""])
def test_names_that_lead_out_are_refused(tmp_path, name):
    assert not safe_name(name)
    target = tmp_path / "target"
    target.mkdir()
    if name:
        with pytest.raises(SyncError, match="leads out"):
            land(target, hostile((member(name), b"evil")), name, name.rstrip("/"))
    assert not (tmp_path / "out").exists() and list(target.iterdir()) == []


def test_a_link_in_the_stream_is_no_way_out(tmp_path):
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    data = hostile((member("a", tarfile.SYMTYPE, "../outside"), b""), (member("a/evil"), b"evil"))
    with pytest.raises(SyncError, match="not a plain folder"):
        land(target, data, "a", "a/evil")
    assert list(outside.iterdir()) == []


def test_a_link_that_is_here_already_is_no_way_out(tmp_path):
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    os.symlink("../outside", target / "a")
    os.symlink("../outside/file", target / "b")
    with pytest.raises(SyncError, match="not a plain folder"):
        land(target, hostile((member("a/evil"), b"evil")), "a/evil")
    land(target, hostile((member("b"), b"replaces the link")), "b")
    assert list(outside.iterdir()) == [] and (target / "b").read_text() == "replaces the link"


def test_hard_links_only_to_what_came(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "secret").write_text("mine")
    for link in ("../secret", str(tmp_path / "secret"), "not-sent"):
        with pytest.raises(SyncError, match="did not send"):
            land(target, hostile((member("x", tarfile.LNKTYPE, link), b"")), "x")
    land(target, hostile((member("a"), b"1"), (member("b", tarfile.LNKTYPE, "a"), b"")), "a", "b")
    assert (target / "b").read_text() == "1"


def test_what_was_not_asked_for_is_dropped(tmp_path):
    data = hostile((member("extra"), b"x" * 5000), (member("dev", tarfile.CHRTYPE), b""), (member("asked"), b"y"))
    land(tmp_path, data, "asked", "dev")
    assert [one.name for one in tmp_path.iterdir()] == ["asked"]


def test_set_user_id_bits_are_not_taken_over(tmp_path):
    info = member("tool")
    info.mode = 0o6755
    land(tmp_path, hostile((info, b"#!")), "tool")
    assert (tmp_path / "tool").stat().st_mode & 0o7777 == 0o755


@settings(max_examples=60)
@given(st.integers(0, 1535), st.integers(0, 255))
def test_a_flipped_byte_is_an_error_or_harmless(tmp_path_factory, place, value):
    target = tmp_path_factory.mktemp("target")
    data = bytearray(hostile((member("a"), b"1" * 600)))
    data[place] = value
    try:
        land(target, bytes(data), "a")
    except (tar.Damaged, SyncError, EOFError):
        pass
    except OSError:
        pytest.fail("a damaged archive reached the disk layer")
    assert {one.name for one in target.iterdir()} <= {"a"}


def test_remove_goes_through_no_link(tmp_path):
    target, outside = tmp_path / "target", tmp_path / "outside"
    (target / "sub" / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").write_text("x")
    os.symlink(outside, target / "sub" / "link")
    remove(str(target), "sub/deep", whole=False)
    remove(str(target), "sub")
    remove(str(target), "sub")
    assert (outside / "kept").exists() and list(target.iterdir()) == []


def test_gnu_tar_and_busybox_read_what_we_write(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("short", "n" * 150, "nonutf\udcff", "new\nline"):
        with open(encoded(f"{source}/{name}"), "wb") as file:
            file.write(name.encode("utf-8", "replace") * 50)
    out = io.BytesIO()
    outlet = Outlet("none", out.write)
    FilesOut(str(source), outlet).write_names([one.path for one in scan(str(source)).entries])
    outlet.put(tar.END_OF_ARCHIVE)
    outlet.finish()
    target = tmp_path / "target"
    target.mkdir()
    subprocess.run(["tar", "-xpof", "-"], input=out.getvalue(), cwd=target, check=True)
    assert scan(str(target)).entries == scan(str(source)).entries


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_an_outlet_whose_line_is_gone_says_so_and_ends(size):
    def refuse(_data: bytes) -> None:
        raise BrokenPipeError

    outlet = Outlet("zstd", refuse)
    with pytest.raises(BrokenPipeError):
        for _ in range(20):
            outlet.put(os.urandom(size))
        outlet.finish()
    outlet.abandon()
