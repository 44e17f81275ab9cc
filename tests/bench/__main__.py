"""`make bench`: every `bench_*.py` beside this file, as one table of ratios; ends with 1 when one is over its bound.

python -m tests.bench [NAME]…     only those
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from tests.bench.report import Row, line, table


def main(wanted: list[str]) -> int:
    """Run them one after the other."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    rows: list[Row] = []
    for name in names:
        if wanted and name.removeprefix("bench_") not in wanted:
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        for row in importlib.import_module(f"tests.bench.{name}").run():
            rows.append(row)
            print(line(row), file=sys.stderr, flush=True)
    print(table(rows))
    cores, busy = os.cpu_count() or 1, os.getloadavg()[1]
    if busy > 1.5 * cores:
        print(f"Load {busy:.1f} on {cores} cores: others were at work, so figures in seconds are not to be trusted.")
    return 1 if any(row.verdict == "over" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
