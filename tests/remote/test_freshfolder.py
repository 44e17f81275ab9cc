"""A folder that is not there yet comes whole, under one rename; what comes in its way is neither lost nor followed."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gpucloud.core.errors import SyncError
from gpucloud.remote.freshfolder import MOST_FILES
from gpucloud.remote.manifest import Entry
from gpucloud.remote.unpacking import Landing

SOME = [f"f{number}" for number in range(5)]


def stream(names: list[str], *, folder_first: bool = True) -> bytes:
    """An archive of the folder `new` and of files in it, each with its name as contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        if folder_first:
            above = tarfile.TarInfo("new")
            above.type, above.mode = tarfile.DIRTYPE, 0o750
            archive.addfile(above)
        for name in names:
            info = tarfile.TarInfo(f"new/{name}")
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
    return out.getvalue()


def land(target: Path, data: bytes, names: list[str], moved: Callable[[int], None] = lambda _: None) -> None:
    wanted = {f"new/{name}": Entry(f"new/{name}", "f", 0o644, len(name), 0) for name in names}
    source = io.BytesIO(data)

    def read_exactly(size: int) -> bytes:
        got = source.read(size)
        if len(got) < size:
            raise EOFError
        return got

    with Landing(str(target), moved) as landing:
        landing.take(read_exactly, {"new": Entry("new", "d", 0o750, 0, 0), **wanted}, {})


def found(target: Path) -> dict[str, str]:
    return {one.name: one.read_text() for one in (target / "new").iterdir()}


@pytest.mark.parametrize("count", [1, 3, MOST_FILES, MOST_FILES + 1, 2 * MOST_FILES + 5])
@pytest.mark.parametrize("folder_first", [True, False])
def test_folders_of_every_size_arrive(tmp_path: Path, count: int, folder_first: bool) -> None:
    names = [f"f{number}" for number in range(count)]
    land(tmp_path, stream(names, folder_first=folder_first), names)
    assert found(tmp_path) == {name: name for name in names}
    assert os.listdir(tmp_path) == ["new"]
    if folder_first:
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o750


def test_an_empty_folder_arrives(tmp_path: Path) -> None:
    land(tmp_path, stream([]), [])
    assert found(tmp_path) == {}


def test_nothing_has_the_name_before_it_is_whole(tmp_path: Path) -> None:
    seen = []
    land(tmp_path, stream(SOME), SOME, lambda _: seen.append((tmp_path / "new").exists()))
    assert seen == [False] * len(SOME)
    assert found(tmp_path) == {name: name for name in SOME}


def test_after_a_cut_whole_files_are_there_and_no_half_one(tmp_path: Path) -> None:
    data = stream(SOME)
    third = data.index(b"new/f2\0")
    with pytest.raises(EOFError):
        land(tmp_path, data[: third + 512 + 1], SOME)
    assert found(tmp_path) == {"f0": "f0", "f1": "f1"}
    assert os.listdir(tmp_path) == ["new"]


def test_the_same_name_twice_is_the_later_one(tmp_path: Path) -> None:
    data = stream(["f0", "f1", "f2", "f0", "f3"])
    land(tmp_path, data, ["f0", "f1", "f2", "f3"])
    assert found(tmp_path) == {name: name for name in ("f0", "f1", "f2", "f3")}


def test_a_folder_that_comes_meanwhile_keeps_what_is_in_it(tmp_path: Path) -> None:
    def come(_: int) -> None:
        (tmp_path / "new").mkdir(exist_ok=True)
        (tmp_path / "new" / "theirs").write_text("theirs")

    land(tmp_path, stream(SOME), SOME, come)
    assert found(tmp_path) == {name: name for name in (*SOME, "theirs")}
    assert os.listdir(tmp_path) == ["new"]


def test_a_link_that_comes_meanwhile_is_not_followed(tmp_path: Path) -> None:
    here, outside = tmp_path / "here", tmp_path / "outside"
    here.mkdir()
    outside.mkdir()

    def come(_: int) -> None:
        if not (here / "new").is_symlink():
            (here / "new").symlink_to(outside)

    with pytest.raises(SyncError, match="through links"):
        land(here, stream(SOME), SOME, come)
    assert os.listdir(outside) == []
    assert os.listdir(here) == ["new"]
