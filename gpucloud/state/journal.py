"""The append-only list of events in SQLite: committed means on the disk, and nothing is ever changed.

A file that is not ours, or of a newer version, is left exactly as it is: its header is read as bytes before
SQLite may open it.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from gpucloud.core.deployments import Present
from gpucloud.core.errors import StateConflict
from gpucloud.core.events import SCHEMA, Draft, Event
from gpucloud.core.fold import fold
from gpucloud.state.home import Home, unusable

APPLICATION_ID = 0x67707563  # "gpuc"
BUSY_S = 30.0
_MAGIC = b"SQLite format 3\x00"
_SCHEMA = f"""
BEGIN EXCLUSIVE;
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL,
  deployment TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of ON events (deployment, seq);
CREATE TABLE IF NOT EXISTS journal (id TEXT NOT NULL);
INSERT INTO journal SELECT '{{journal_id}}' WHERE NOT EXISTS (SELECT 1 FROM journal);
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'append only'); END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA};
COMMIT;
"""


class JournalError(StateConflict):
    """The journal could not be read or written; what it held is kept."""


class Journal:
    """One open `state.db`. Safe to use from several processes, and from the threads of each."""

    def __init__(self, path: Path, connection: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.path, self._connection, self._clock = path, connection, clock
        self._present, self._mine = Present(), threading.RLock()
        self.identity: str = connection.execute("SELECT id FROM journal").fetchone()[0]

    @classmethod
    def open(
        cls,
        home: Home,
        *,
        clock: Callable[[], float] = time.time,
        warn: Callable[[str], None] = lambda sentence: None,
        vfs: str = "",
    ) -> Journal:
        """The journal of a home, made when there is none. `warn` hears when the disk cannot do WAL.

        Raises StateConflict, and touches nothing, when the file is not ours or of a newer version.
        """
        path = home.state_db
        home.folder(home.root)
        check_header(path)
        try:
            connection = _connect(path, vfs)
            return cls(path, _with_journal_mode(connection, path, vfs, warn), clock)
        except sqlite3.DatabaseError as error:
            raise _unusable(path, error) from error

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def events(self, after: int = 0) -> list[Event]:
        """Everything committed after that sequence number, in order."""
        with self._mine:
            rows = self._ask("SELECT seq, at, kind, deployment, data FROM events WHERE seq > ? ORDER BY seq", after)
        return [Event(seq, at, kind, deployment, json.loads(data)) for seq, at, kind, deployment, data in rows]

    def present(self) -> Present:
        """The fold over everything committed up to now (only what is new is read)."""
        with self._mine:
            self._present = fold(self.events(self._present.last_seq), self._present)
            return self._present

    def append(self, *drafts: Draft) -> None:
        """Commit events, all or none; returns when the disk has them."""
        self.transact(lambda present: drafts)

    def transact(self, decide: Callable[[Present], Sequence[Draft]]) -> Present:
        """Commit what `decide` makes of the present, with nobody writing in between. `decide` may raise."""
        with self._mine:
            try:
                self._commit(decide)
            except sqlite3.DatabaseError as error:
                raise _unusable(self.path, error) from error
            return self.present()

    def _commit(self, decide: Callable[[Present], Sequence[Draft]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._insert(decide(self.present()))
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _insert(self, drafts: Sequence[Draft]) -> None:
        now = self._clock()
        rows = [(now, d.kind, d.deployment, json.dumps(d.data, separators=(",", ":"))) for d in drafts]
        self._connection.executemany("INSERT INTO events (at, kind, deployment, data) VALUES (?, ?, ?, ?)", rows)

    def _ask(self, query: str, *values: object) -> list[tuple[int, float, str, str, str]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise _unusable(self.path, error) from error


def check_header(path: Path) -> None:
    """Raise StateConflict when the file exists and is not a journal that this version can read."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unusable(path, error) from error
    if not header:
        return  # a first command was killed before it wrote anything
    ours = int.from_bytes(header[68:72], "big") == APPLICATION_ID
    if len(header) < 100 or not header.startswith(_MAGIC) or not ours:
        raise StateConflict(
            f"{path} is not a journal of gpucloud; it was not touched.",
            "Move it away, or set GPUCLOUD_HOME to another folder; `gpucloud gc` finds what the clouds still hold.",
        )
    version = int.from_bytes(header[60:64], "big")
    if version > SCHEMA:
        raise StateConflict(
            f"{path} was written by a newer gpucloud (format {version}, this one reads {SCHEMA}); it was not touched.",
            "Update with `pip install --upgrade gpucloud`.",
        )


def _connect(path: Path, vfs: str) -> sqlite3.Connection:
    if not path.exists():
        path.touch(mode=0o600)
    query = f"?vfs={vfs}" if vfs else ""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}{query}", uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA synchronous=FULL")
    if not connection.execute("PRAGMA user_version").fetchone()[0]:
        connection.executescript(_SCHEMA.format(journal_id=secrets.token_hex(8)))
    return connection


def _with_journal_mode(
    connection: sqlite3.Connection, path: Path, vfs: str, warn: Callable[[str], None]
) -> sqlite3.Connection:
    """WAL, or DELETE with a warning where the disk cannot share memory between processes."""
    try:
        mode = _switch_to_wal(connection)
        connection.execute("SELECT count(*) FROM journal").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        connection, mode = _connect(path, vfs), "delete"
    if mode != "wal":
        connection.execute("PRAGMA journal_mode=DELETE")
        warn(f"The disk of {path.parent} cannot do write-ahead logging; the journal is written the slower way.")
    return connection


def _switch_to_wal(connection: sqlite3.Connection) -> str:
    """The mode the file has afterwards. Two first commands at once: SQLite does not wait here by itself."""
    for _ in range(100):
        try:
            return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.05)
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def _unusable(path: Path, error: sqlite3.DatabaseError) -> JournalError:
    words = str(error)
    if "full" in words:
        return JournalError(
            f"The disk is full: {path} could not be written, and what it holds is kept.",
            "Free some space, then repeat the command; it goes on where it was.",
        )
    if "locked" in words or "busy" in words:
        return JournalError(f"{path} is locked by another program.", "Wait until it has ended, then repeat.")
    return JournalError(
        f"{path} cannot be used: {words}.",
        "Free space or permissions there, or move it away: `gpucloud gc` finds what the clouds still hold.",
    )
