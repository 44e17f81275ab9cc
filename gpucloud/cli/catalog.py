"""`gpucloud catalog info|check`: what is in the catalog, how old it is, and whether it obeys the data rules."""

from __future__ import annotations

import os
from typing import Any

import typer

from gpucloud.cli.options import current
from gpucloud.cli.outside import home, opened_catalog
from gpucloud.render.text import age, plural
from gpucloud.render.view import Column, Section, View, show


def _many(title: str, key: str, keep: int = 9) -> Column:
    return Column(key, title, right=True, keep=keep, write=lambda number: f"{number:,}" if number else "")


CLOUD_COLUMNS = (
    Column("cloud", "Cloud"),
    _many("Instance types", "instance_types", 6),
    _many("Regions", "regions", 6),
    _many("Offers", "offers"),
    _many("Retired", "retired", 3),
    _many("Suspect", "suspect", 4),
    _many("Fresh <= 7 d", "fresh", 7),
    _many("Recent <= 90 d", "recent", 7),
    _many("Old", "old", 7),
    _many("Stale > 1 y", "stale", 7),
    Column("newest_age_days", "Newest price", right=True, write=age),
    Column("oldest_observed_on", "Oldest", wide=True),
    Column("newest_observed_on", "Newest", wide=True),
)
FILE_COLUMNS = (Column("file", "File"), _many("Rows", "rows"), Column("layer", "Layer"))
PROBLEM_COLUMNS = (
    Column("file", "File"),
    Column("line", "Line", right=True),
    Column("column", "Column"),
    Column("rule", "Rule", keep=5),
    Column("message", "Problem"),
)
PROBLEMS_FOR_PEOPLE = 50


def info() -> None:
    """What the catalog holds: offers and the age of their prices by cloud, rows by file."""
    from gpucloud.catalog import info as told

    place = home()
    with opened_catalog() as catalog:
        clouds, files = told.clouds(catalog), told.files(catalog)
        overlay = str(place.catalog) if any(file["layer"] == "overlay" for file in files) else None
        body = {"folder": str(catalog.folder), "overlay": overlay, "clouds": clouds, "files": files}
    notes = [f"From {body['folder']}" + (f" with {overlay} over it." if overlay else ".")]
    sections = [Section("Files", FILE_COLUMNS, files)]
    rows = [{**cloud, **cloud["by_status"], **cloud["by_age"]} for cloud in clouds]
    show(View("catalog info", body, CLOUD_COLUMNS, rows, notes, "No offers.", sections=sections), current().output)


def check() -> None:
    """Test every row of the catalog, and of your overlay, against the data rules. Ends with 2 on problems."""
    from datetime import date

    from gpucloud.catalog.check import check as examine
    from gpucloud.catalog.location import catalog_folder

    checked = examine(catalog_folder(os.environ), home().catalog, date.today().isoformat())
    problems = [problem._asdict() for problem in checked.problems]
    show(_problems_view(problems, checked.counts()), current().output)
    if problems:
        raise typer.Exit(2)


def _problems_view(problems: list[dict[str, Any]], counts: dict[str, Any]) -> View:
    shown = problems[:PROBLEMS_FOR_PEOPLE]
    looked = f"{plural(counts['rows'], 'row')} in {plural(counts['files'], 'file')}"
    notes = [f"{plural(len(problems), 'problem')} in {looked}."] if problems else []
    if len(shown) < len(problems):
        notes.insert(0, f"The first {len(shown)} are shown; -o json has all.")
    empty = f"No problem in {looked}."
    body = {"problems": problems, "counts": counts}
    return View("catalog check", body, PROBLEM_COLUMNS, shown, notes, empty, records="problems")
