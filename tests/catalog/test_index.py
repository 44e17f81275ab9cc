"""The index is cached by content, rebuilt when that changes, and never needs more than the files themselves."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time

import pytest

from gpucloud.catalog import index
from gpucloud.catalog.catalog import open_catalog
from gpucloud.core.errors import UsageError
from gpucloud.core.query import OfferQuery
from tests.small_catalog import FILES, put, write


def prices(folder, cache, overlay=None):
    with open_catalog(overlay, cache, folder=folder) as catalog:
        return sorted(offer.usd_per_hour or 0 for offer in catalog.offers(OfferQuery(all_regions=True)))


def settle(folder):
    """Make the files so old that their time stamps can be trusted."""
    old = time.time() - 60
    for path in folder.rglob("*.csv"):
        os.utime(path, (old, old))


@pytest.fixture
def settled(monkeypatch):
    """A change time cannot be set from outside: trust it at once."""
    monkeypatch.setattr(index, "SETTLED_S", 0.0)


def test_the_second_opening_reads_no_csv(tmp_path, settled, monkeypatch):
    folder, cache = write(tmp_path / "csv"), tmp_path / "home" / "cache"
    first = prices(folder, cache)
    monkeypatch.setattr(index, "content_hash", lambda layers: pytest.fail("the files were read again"))
    assert prices(folder, cache) == first


def test_a_change_of_the_same_size_is_seen(tmp_path, settled):
    folder, cache = write(tmp_path / "csv"), tmp_path / "cache"
    settle(folder)
    assert 24.5 in prices(folder, cache)
    put(folder, "offers/aws.csv", FILES["offers/aws.csv"].replace("24.5", "25.5"))
    settle(folder)
    assert 25.5 in prices(folder, cache) and 24.5 not in prices(folder, cache)


def test_a_file_that_may_still_change_is_never_trusted_by_its_time(tmp_path):
    folder, cache = write(tmp_path / "csv"), tmp_path / "cache"
    prices(folder, cache)
    assert not list(cache.glob("stat-*"))


def test_equal_content_elsewhere_shares_the_index(tmp_path):
    cache = tmp_path / "cache"
    prices(write(tmp_path / "one"), cache)
    prices(write(tmp_path / "two"), cache)
    assert len(list(cache.glob("index-*.db"))) == 1


def test_a_file_that_goes_away_takes_its_rows_along(tmp_path):
    folder, cache = write(tmp_path / "csv"), tmp_path / "cache"
    before = prices(folder, cache)
    (folder / "offers/azure.csv").unlink()
    assert len(prices(folder, cache)) == len(before) - 2


def test_the_cache_is_private(tmp_path, settled):
    folder, cache = write(tmp_path / "csv"), tmp_path / "home" / "cache"
    prices(folder, cache)
    for path in (cache, cache.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in cache.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_cache_or_with_one_that_cannot_be_made_it_still_answers(tmp_path):
    folder = write(tmp_path / "csv")
    (tmp_path / "file").write_text("")
    assert prices(folder, None) == prices(folder, tmp_path / "file" / "cache")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["csv", "file"]


def test_a_full_disk_costs_the_cache_not_the_answer(tmp_path, monkeypatch):
    folder, cache = write(tmp_path / "csv"), tmp_path / "cache"
    expected = prices(folder, None)

    def full(path, layers):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(index, "_built", full)
    assert prices(folder, cache) == expected and list(cache.iterdir()) == []


def test_a_broken_index_is_built_again(tmp_path, settled):
    folder, cache = write(tmp_path / "csv"), tmp_path / "cache"
    good = prices(folder, cache)
    for path in cache.glob("index-*.db"):
        path.write_bytes(b"no database")
    assert prices(folder, cache) == good


def test_a_bad_row_leaves_nothing_behind(tmp_path):
    folder, cache = write(tmp_path / "csv", offers_aws="instance_type,usd_per_hour\np4d,x\n"), tmp_path / "cache"
    with pytest.raises(UsageError):
        prices(folder, cache)
    assert list(cache.iterdir()) == []


def test_two_processes_at_once_give_one_whole_index(tmp_path):
    folder, cache = write(tmp_path / "csv"), tmp_path / "cache"
    code = (
        "import sys; from pathlib import Path; from gpucloud.catalog.catalog import open_catalog\n"
        "from gpucloud.core.query import OfferQuery\n"
        "print(len(open_catalog(None, Path(sys.argv[2]), folder=Path(sys.argv[1])).offers(OfferQuery())))"
    )
    words = [sys.executable, "-c", code, str(folder), str(cache)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [process.communicate()[0] for process in running]
    assert len(set(answers)) == 1 and int(answers[0]) > 3
    assert [path.suffix for path in cache.iterdir()] == [".db"]


def test_old_indexes_are_forgotten(tmp_path):
    cache = tmp_path / "cache"
    for number in range(index.KEPT_INDEXES + 3):
        price = f"instance_type,usd_per_hour\np4d,{number + 1}\n"
        assert number + 1 in prices(write(tmp_path / "csv", offers_aws=price), cache)
    assert len(list(cache.glob("index-*.db"))) == index.KEPT_INDEXES


def test_an_index_cannot_be_written_through_a_reader(tmp_path):
    with (
        open_catalog(None, tmp_path / "cache", folder=write(tmp_path / "csv")) as catalog,
        pytest.raises(sqlite3.OperationalError),
    ):
        catalog.connection.execute("DELETE FROM offers")
