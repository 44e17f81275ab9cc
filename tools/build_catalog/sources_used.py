"""sources.csv: every source a row of the catalog names, checked in both directions."""

from __future__ import annotations

from tools.build_catalog.ledger import Ledger
from tools.build_catalog.tables import Row, typed

MACHINES = "moto"  # what describes the AWS machines; instance_types.csv has no column for it


def sources(files: dict[str, list[Row]], ledger: Ledger) -> list[Row]:
    """The typed sources that some row uses; a row with an unknown source is a fault of the build."""
    rows = {row["source"]: row for row in typed("sources")}
    ledger.opened("typed/sources.csv", len(rows))
    used = {row["source"] for file in files.values() for row in file if "source" in row}
    used |= {row["source"] for row in typed("billing")} | {MACHINES}
    missing = sorted(used - set(rows))
    if missing:
        raise SystemExit(f"no such source: {', '.join(missing)}")
    for name in rows:
        if name in used:
            ledger.used("typed/sources.csv", "sources.csv", 1)
        else:
            ledger.dropped("typed/sources.csv", "no catalog row names it")
    return [rows[name] for name in sorted(used)]
