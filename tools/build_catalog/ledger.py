"""The account of what became of every source row, so that nothing is dropped without a word."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Ledger:
    """Per source table: rows read, rows used, catalog rows made of them, rows left out with the reason."""

    rows_read: Counter[str] = field(default_factory=Counter)
    rows_used: Counter[str] = field(default_factory=Counter)
    rows_made: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)

    def opened(self, table: str, rows: int) -> None:
        """A table was read and has this many rows."""
        self.rows_read[table] += rows

    def used(self, table: str, file: str = "", made: int = 0) -> None:
        """One source row was used; `made` rows of `file` came out of it (0: it went into another row)."""
        self.rows_used[table] += 1
        if made:
            self.rows_made[table, file] += made

    def dropped(self, table: str, reason: str) -> None:
        """One source row is not in the catalog, and why."""
        self.left_out[table, reason] += 1

    def check(self) -> None:
        """Raise when a table's rows do not add up: each is either used or left out with a reason."""
        for table, count in self.rows_read.items():
            accounted = self.rows_used[table] + sum(n for (name, _), n in self.left_out.items() if name == table)
            if accounted != count:
                raise SystemExit(f"{table}: {count} rows read, {accounted} accounted for")
