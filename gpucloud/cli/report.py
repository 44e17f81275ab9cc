"""`gpucloud report`: what a command tells, as one page that works offline, or as a single picture.

The page holds exactly what the command prints with `-o json`: it is run with these options and its object is read.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpucloud.cli.inside import printed
from gpucloud.cli.options import current, narrate
from gpucloud.cli.outside import home
from gpucloud.core.errors import NothingFits, UsageError

if TYPE_CHECKING:
    from gpucloud.render.report.page import Report

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[OPTIONS OF THE COMMAND]...", help="All that the command itself takes.")
]
FILE = ("-f", "--file")
PLOT = ("--plot",)
DEFAULT_FILE = "report.html"


def compare(words: Words = None) -> None:
    """The offers of `compare` as a page: `-f FILE.html` (report.html), or `--plot FILE.svg|png` for one picture.

    Every option of `compare` may follow. All offers that match are in it, not only the first twenty.
    """
    _write("compare", words or [])


def recommend(words: Words = None) -> None:
    """The options of `recommend` as a page: cost against time with its front, price of the work, rent or own.

    `-f FILE.html` (report.html), or `--plot FILE.svg|png` for the picture of cost against time. Every option of
    `recommend` may follow.
    """
    _write("recommend", words or [])


def cost(words: Words = None) -> None:
    """What was spent, by deployment and run, as a page: `-f FILE.html` (report.html), `--plot FILE.svg|png`."""
    _write("cost", words or [])


def _write(command: str, words: list[str]) -> None:
    rest, file, plot = _own_options(words)
    body = _told(command, rest)
    report = _reports()[command](body, shlex.join([command, *rest]))
    if not report.rows:
        raise NothingFits(
            f"`gpucloud {command}` found nothing to show.", f"`gpucloud {command}` without options shows what there is."
        )
    if plot:
        _draw(command, body, Path(plot))
    if file or not plot:
        _page(report, Path(file or DEFAULT_FILE))
    if current().output == "json":
        print(
            json.dumps(
                {"version": 1, "kind": f"report {command}", "rows": len(report.rows), "file": file, "plot": plot}
            )
        )


def _own_options(words: list[str]) -> tuple[list[str], str | None, str | None]:
    """The command's own words, and the values of `-f` and `--plot`."""
    rest: list[str] = []
    found: dict[str, str | None] = {"file": None, "plot": None}
    left = iter(words)
    for word in left:
        name, equals, value = word.partition("=")
        which = "file" if name in FILE else "plot" if name in PLOT else ""
        if not which:
            rest.append(word)
            continue
        found[which] = value if equals else next(left, None)
        if not found[which]:
            raise UsageError(f"{name} needs a file.", f"Write it like `{name} {DEFAULT_FILE}`.")
    return rest, found["file"], found["plot"]


def _told(command: str, words: list[str]) -> dict[str, Any]:
    """The object that the command prints with `-o json`. Its errors are ours."""
    text = printed([command, *words, "-o", "json"])
    try:
        told: dict[str, Any] = json.loads(text)
    except ValueError:  # --help was asked for, or nothing was said
        print(text, end="")
        raise typer.Exit() from None
    return told


def _page(report: Report, path: Path) -> None:
    from datetime import date

    from gpucloud import __version__
    from gpucloud.remote.scripts import template_dir
    from gpucloud.render.report.library import library
    from gpucloud.render.report.page import page

    script = library(home().cache)
    text = page(report, script, template_dir() / "report", version=__version__, day=date.today().isoformat())
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.", "Choose another file with -f."
        ) from None
    narrate(f"Wrote {path} ({len(text) / 1e6:.1f} MB): open it in a browser.")


def _reports() -> dict[str, Callable[[dict[str, Any], str], Report]]:
    from gpucloud.cli import report_pages as pages

    return {"compare": _with_history(pages.of_compare), "recommend": pages.of_recommend, "cost": pages.of_cost}


def _with_history(build: Callable[..., Report]) -> Callable[[dict[str, Any], str], Report]:
    """The compare page also shows what its cheapest machines cost before."""

    def built(body: dict[str, Any], words: str) -> Report:
        from gpucloud.catalog.catalog import open_catalog
        from gpucloud.cli.catalog_history import lines_of

        kinds = {(offer["cloud"], offer["instance_type"]) for offer in body["offers"]}
        place = home()
        with open_catalog(place.catalog, place.cache) as catalog:
            return build(body, words, lines_of(catalog, place.catalog, kinds))

    return built


def _draw(command: str, body: dict[str, Any], path: Path) -> None:
    from gpucloud.render import picture

    if command == "recommend":
        picture.cost_against_time(path, body["options"])
    elif command == "compare":
        picture.prices(path, body["offers"])
    else:
        picture.spent(path, body["items"])
    narrate(f"Wrote {path}.")
