"""The data lie where the user says, else in the wheel, else in the checkout."""

from __future__ import annotations

import pytest

from gpucloud.catalog import location
from gpucloud.core.errors import UsageError


def test_the_users_choice_comes_first(tmp_path):
    assert location.catalog_folder({"GPUCLOUD_CATALOG_DIR": str(tmp_path)}) == tmp_path


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_choice_that_is_no_folder_is_an_error(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="GPUCLOUD_CATALOG_DIR"):
        location.catalog_folder({"GPUCLOUD_CATALOG_DIR": str(tmp_path / name)})


def test_the_wheels_data_come_before_the_checkouts(tmp_path, monkeypatch):
    monkeypatch.setattr(location, "PACKAGE", tmp_path / "gpucloud")
    (tmp_path / "catalogs").mkdir()
    assert location.catalog_folder({}) == tmp_path / "catalogs"
    (tmp_path / "gpucloud/_data/catalogs").mkdir(parents=True)
    assert location.catalog_folder({}) == tmp_path / "gpucloud/_data/catalogs"


def test_an_installation_without_data_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(location, "PACKAGE", tmp_path / "gpucloud")
    with pytest.raises(UsageError, match="not part of this installation"):
        location.catalog_folder({})


def test_files_are_listed_in_order_and_nothing_else(tmp_path):
    for name in ("b.csv", "a.csv", "offers/z.csv", "readme.md", "offers/note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert location.csv_files(tmp_path) == ["a.csv", "b.csv", "offers/z.csv"]
    assert location.csv_files(tmp_path / "none") == []
