"""The last events of a journal, read without making, changing or waiting for anything."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from gpucloud.core.events import Event
from gpucloud.state.journal import check_header

PATIENCE_S = 1.0


def last_events(path: Path, most: int) -> list[Event]:
    """The newest events, oldest first; none where there is no journal.

    Raises StateConflict where the file is not ours, sqlite3.Error or ValueError where it cannot be read.
    """
    if not path.exists():
        return []
    check_header(path)
    query = "SELECT seq, at, kind, deployment, data FROM events ORDER BY seq DESC LIMIT ?"
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=PATIENCE_S)) as connection:
        rows = connection.execute(query, (most,)).fetchall()
    return [Event(seq, at, kind, deployment, json.loads(data)) for seq, at, kind, deployment, data in reversed(rows)]
