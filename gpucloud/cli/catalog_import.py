"""`gpucloud catalog import`: a team's negotiated prices, reserved capacity, own machines and own benchmarks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gpucloud.cli.options import current
from gpucloud.cli.outside import home, waiting
from gpucloud.core.errors import UsageError
from gpucloud.render.text import plural
from gpucloud.render.view import Column, Section, View, show

FILE_COLUMNS = (Column("file", "File"), Column("rows", "Rows", right=True))
REFUSED_COLUMNS = (Column("line", "Line", right=True), Column("column", "Column"), Column("message", "Why"))
REFUSED_FOR_PEOPLE = 50


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Prices, benchmarks or owned systems.")],
    cloud: Annotated[str, typer.Option("--cloud", metavar="NAME", help="For lines without a cloud column.")] = "",
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Take the good lines of a file with bad ones.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, write nothing.")] = False,
) -> None:
    """Your own figures into your overlay of the catalog: they stand beside the shipped ones, and win over them.

    Which kind it is, the header tells: `instance_type` and `usd_per_hour` are prices (with `cloud`, `region`,
    `market` and more; new machines also `accelerator` and `accelerator_count`), `accelerator`, `model` and `throughput`
    benchmarks, `system`, `accelerator` and `usd` owned systems. A file with a bad line changes nothing, unless
    `--skip-refused`; the bad lines are listed and the exit code is 2.
    """
    from datetime import date

    from gpucloud.flows import import_catalog as flow

    with waiting(f"reading {file}"):
        found = flow.read(home(), os.environ, file, cloud=cloud, today=date.today().isoformat())
    taken = skip_refused or not found.refused
    rows = {name: len(lines) for name, lines in sorted(found.rows.items()) if lines}
    if taken and rows and not dry_run:
        with waiting(f"writing what {file} holds"):
            rows = flow.write(home(), found)
    written = taken and not dry_run
    refused = [line._asdict() for line in found.refused]
    body = {"imported": rows if written else {}, "would_import": rows, "refused": refused}
    sections = [Section("Refused", REFUSED_COLUMNS, refused[:REFUSED_FOR_PEOPLE])] if refused else []
    table = [{"file": name, "rows": count} for name, count in rows.items()]
    notes = [] if written else ["Nothing was written."]
    if len(refused) > REFUSED_FOR_PEOPLE:
        notes.append(f"The first {REFUSED_FOR_PEOPLE} refused lines are shown; -o json has all.")
    view = View("catalog import", body, FILE_COLUMNS, table, notes, "No line can be taken.", sections=sections)
    show(view, current().output)
    if refused:
        hint = "The other lines were imported." if written else "Nothing was imported; --skip-refused takes the rest."
        raise UsageError(f"{plural(len(refused), 'line')} of {file} cannot be taken.", hint)
