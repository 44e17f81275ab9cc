"""`gpucloud report`: what a command tells, as one page that works offline, or as a single picture.

The page holds exactly what the command prints with `-o json`: it is run with these options and its object is read.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpucloud.cli.inside import printed
from gpucloud.cli.options import current, narrate
from gpucloud.cli.outside import home, opened_catalog, waiting
from gpucloud.core.errors import NothingFits, UsageError

if TYPE_CHECKING:
    from gpucloud.catalog.history import PastPrice
    from gpucloud.render.report.page import Report

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[OPTIONS OF THE COMMAND]...", help="All that the command itself takes.")
]
DEFAULT_FILE = "report.html"
OWN = {
    "-f": ("file", "a file", DEFAULT_FILE),
    "--file": ("file", "a file", DEFAULT_FILE),
    "--plot": ("plot", "a file", "plot.svg"),
    "--picture": ("picture", "a name", "history"),
}


def compare(words: Words = None) -> None:
    """The offers of `compare` as a page: `-f FILE.html` (report.html), or `--plot FILE.svg|png` for one picture.

    Every option of `compare` may follow. All offers that match are in it, not only the first twenty. `--picture`
    says what `--plot` draws: `gpus` (the cheapest hour of each), `work` (with --model), `history` (earlier prices).
    """
    _write("compare", words or [])


def recommend(words: Words = None) -> None:
    """The options of `recommend` as a page: cost against time with its front, price of the work, rent or own.

    `-f FILE.html` (report.html), or `--plot FILE.svg|png` for one picture. Every option of `recommend` may follow.
    `--picture` says what `--plot` draws: `time` (cost against time), `ways` (the cheapest), `own` (rent or own).
    """
    _write("recommend", words or [])


def cost(words: Words = None) -> None:
    """What was spent, by deployment and run, as a page: `-f FILE.html` (report.html), `--plot FILE.svg|png`."""
    _write("cost", words or [])


def _write(command: str, words: list[str]) -> None:
    asked, rest = _own_options(words)
    plot, file = asked.get("plot"), asked.get("file")
    _check(command, asked)
    with waiting(f"asking `gpucloud {command}`"):
        body = _told(command, rest)
    with waiting("making the report"):
        report = _reports()[command](body, shlex.join([command, *rest]))
    if not report.rows:
        raise NothingFits(
            f"`gpucloud {command}` found nothing to show.", f"`gpucloud {command}` without options shows what there is."
        )
    if plot:
        from gpucloud.cli.report_pictures import draw

        with waiting("drawing the picture"):
            draw(command, asked.get("picture"), Path(plot), body, lambda: _history(body))
        narrate(f"Wrote {plot}.")
    if file or not plot:
        _page(report, Path(file or DEFAULT_FILE))
    if current().output == "json":
        print(
            json.dumps(
                {"version": 1, "kind": f"report {command}", "rows": len(report.rows), "file": file, "plot": plot}
            )
        )


def _own_options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The values of `-f`, `--plot` and `--picture`, and the command's own words."""
    asked: dict[str, str] = {}
    rest: list[str] = []
    left = iter(words)
    for word in left:
        name, equals, value = word.partition("=")
        if name not in OWN:
            rest.append(word)
            continue
        which, what, example = OWN[name]
        asked[which] = value if equals else next(left, "")
        if not asked[which]:
            raise UsageError(f"{name} needs {what}.", f"Write it like `{name} {example}`.")
    return asked, rest


def _check(command: str, asked: Mapping[str, str]) -> None:
    """What would be refused after the work is refused before it."""
    if "picture" in asked and "plot" not in asked:
        raise UsageError("--picture says what --plot draws, and --plot is missing.", "Add `--plot plot.svg`.")
    if "plot" in asked:
        from gpucloud.cli.report_pictures import check

        check(command, asked.get("picture"), Path(asked["plot"]))
    page = Path(asked.get("file", DEFAULT_FILE))
    if page.suffix.lower() not in ("", ".html", ".htm"):
        raise UsageError(
            f"A report is an HTML page, and {page.name} is not named so.",
            f"Write `-f {page.stem}.html`, or `--plot {page.stem}.svg` for a picture.",
        )


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

    with waiting("making the page"):
        script = library(home().cache)
        text = page(report, script, template_dir() / "report", version=__version__, day=date.today().isoformat())
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
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
        return build(body, words, _history(body))

    return built


def _history(body: Mapping[str, Any]) -> Sequence[PastPrice]:
    """Every known price of the machines of these offers."""
    from gpucloud.cli.catalog_history import lines_of

    kinds = {(offer["cloud"], offer["instance_type"]) for offer in body["offers"]}
    with opened_catalog() as catalog:
        return lines_of(catalog, home().catalog, kinds)
