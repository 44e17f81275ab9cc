"""`python -m tools.build_catalog SOURCE_DIR`: turn reference tables into catalogs/ and the counts in docs/data.md."""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.build_catalog.build import build
from tools.build_catalog.document import refresh
from tools.build_catalog.ledger import Ledger
from tools.build_catalog.tables import columns_of, write


def main() -> None:
    """Read every table, account for every row, then write; nothing is written when a row is unaccounted for."""
    parser = argparse.ArgumentParser(prog="python -m tools.build_catalog", description=__doc__)
    parser.add_argument(
        "source_dir", type=Path, help="folder with the reference tables (prices_aws.csv, gpus.csv, ...)"
    )
    parser.add_argument("--out", type=Path, default=Path("catalogs"), help="folder to write the catalog to")
    parser.add_argument("--docs", type=Path, default=Path("docs/data.md"), help="page whose tables are refreshed")
    wanted = parser.parse_args()
    ledger = Ledger()
    files = build(wanted.source_dir, ledger)
    ledger.check()
    for file, rows in sorted(files.items()):
        write(wanted.out / file, columns_of(file), rows)
    refresh(wanted.docs, ledger, {file: len(rows) for file, rows in files.items()})


if __name__ == "__main__":
    main()
