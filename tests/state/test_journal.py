"""The journal keeps what was committed, and leaves alone what is not its own."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gpucloud.core.errors import StateConflict
from gpucloud.core.events import SCHEMA, Draft
from gpucloud.state.home import Home
from gpucloud.state.journal import APPLICATION_ID, Journal


def created(name: str = "a", letters: str = "bcdefgh2") -> Draft:
    return Draft("deployment_created", f"{name}-{letters}", {"name": name})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_events_come_back_in_order_and_survive(home):
    journal = Journal.open(home, clock=lambda: 7.5)
    journal.append(created("a"), created("b"))
    journal.close()
    again = Journal.open(home)
    assert [(e.seq, e.at, e.data["name"]) for e in again.events()] == [(1, 7.5, "a"), (2, 7.5, "b")]
    assert again.identity == journal.identity
    again.close()


def test_files_are_private(home):
    Journal.open(home).close()
    assert home.root.stat().st_mode & 0o777 == 0o700
    assert home.state_db.stat().st_mode & 0o777 == 0o600


def test_every_commit_waits_for_the_disk(home):
    journal = Journal.open(home)
    assert journal._connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert journal._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    journal.close()


def test_nothing_is_ever_changed_or_deleted(home):
    journal = Journal.open(home)
    journal.append(created())
    for words in ("UPDATE events SET at = 0", "DELETE FROM events"):
        with pytest.raises(sqlite3.DatabaseError, match="append only"):
            journal._connection.execute(words)
    journal.close()


def test_a_decision_that_fails_commits_nothing(home):
    journal = Journal.open(home)

    def refuse(present):
        raise StateConflict("no")

    with pytest.raises(StateConflict, match="no"):
        journal.transact(refuse)
    journal.append(created())
    assert len(journal.events()) == 1
    journal.close()


def test_present_follows_other_writers(home):
    one, other = Journal.open(home), Journal.open(home)
    one.append(created("a"))
    assert list(other.present().deployments) == ["a-bcdefgh2"]
    other.append(created("b"))
    assert len(one.present().deployments) == 2
    one.close()
    other.close()


def test_many_writers_lose_nothing(home):
    Journal.open(home).close()

    def write(number: int) -> None:
        journal = Journal.open(home)
        for _ in range(20):
            journal.append(created(f"w{number}"))
        journal.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal = Journal.open(home)
    assert [event.seq for event in journal.events()] == list(range(1, 81))
    journal.close()


@pytest.mark.parametrize("content", [b"hello, this is a text file\n" * 20, b"SQLite format 3\x00", b"\x00" * 4096])
def test_a_foreign_file_is_left_as_it_is(home, content):
    home.root.mkdir()
    home.state_db.write_bytes(content)
    before = home.state_db.stat()
    with pytest.raises(StateConflict, match="not a journal") as caught:
        Journal.open(home)
    assert caught.value.exit_code == 8
    assert caught.value.hint
    after = home.state_db.stat()
    assert home.state_db.read_bytes() == content
    assert after.st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in home.root.iterdir()] == ["state.db"]


def test_somebody_elses_database_is_left_as_it_is(home):
    home.root.mkdir()
    other = sqlite3.connect(home.state_db)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    content = home.state_db.read_bytes()
    with pytest.raises(StateConflict, match="not a journal"):
        Journal.open(home)
    assert home.state_db.read_bytes() == content


def test_a_newer_format_is_left_as_it_is(home):
    home.root.mkdir()
    newer = sqlite3.connect(home.state_db)
    newer.execute("CREATE TABLE events (x)")
    newer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    newer.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    newer.commit()
    newer.close()
    content = home.state_db.read_bytes()
    with pytest.raises(StateConflict, match="newer gpucloud"):
        Journal.open(home)
    assert home.state_db.read_bytes() == content


def test_a_damaged_journal_is_a_sentence(home):
    journal = Journal.open(home)
    journal.append(created())
    journal.close()
    data = bytearray(home.state_db.read_bytes())
    data[200:] = b"\xff" * (len(data) - 200)
    home.state_db.write_bytes(bytes(data))
    with pytest.raises(StateConflict, match="cannot be used"):
        Journal.open(home)


def test_an_empty_file_is_a_first_command_that_was_killed(home):
    home.root.mkdir()
    home.state_db.touch()
    journal = Journal.open(home)
    journal.append(created())
    journal.close()


def test_a_disk_without_shared_memory_gets_the_slower_way_and_a_warning(home):
    said: list[str] = []
    journal = Journal.open(home, warn=said.append, vfs="unix-dotfile")
    journal.append(created())
    assert journal._connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    assert "write-ahead" in said[0]
    journal.close()
    again = Journal.open(home, vfs="unix-dotfile")
    assert len(again.events()) == 1
    again.close()


def test_a_full_database_is_a_sentence_and_nothing_is_lost(home):
    journal = Journal.open(home)
    journal.append(created())
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    big = Draft("deployment_created", "b-bcdefgh2", {"name": "b", "asked": {"x": "y" * 100_000}})
    with pytest.raises(StateConflict, match="disk is full") as caught:
        journal.append(big)
    assert caught.value.exit_code == 8
    assert [event.data["name"] for event in journal.events()] == ["a"]
    journal._connection.execute("PRAGMA max_page_count = 1000000")
    journal.append(big)
    assert len(journal.events()) == 2
    journal.close()


FULL = """
import resource, sys
from pathlib import Path
from gpucloud.core.errors import GpucloudError
from gpucloud.core.events import Draft
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal
journal = Journal.open(Home(Path(sys.argv[1])))
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
try:
    for _ in range(100):
        journal.append(Draft("deployment_created", "a-bcdefgh2", {"name": "a", "asked": {"x": "y" * 1000}}))
except GpucloudError as error:
    print(error.exit_code, len(journal.events()), error.message)
"""


def test_a_file_that_may_not_grow_is_a_sentence(home):
    answer = subprocess.run(
        [sys.executable, "-c", FULL, str(home.root)], capture_output=True, text=True, check=True, timeout=60
    )
    code, count, message = answer.stdout.split(maxsplit=2)
    assert (code, "state.db" in message) == ("8", True)
    journal = Journal.open(home)
    assert len(journal.events()) == int(count) > 0
    journal.close()


def test_an_unreadable_home_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StateConflict, match="cannot be used"):
        Journal.open(Home(tmp_path / "file"))
