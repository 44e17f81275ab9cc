"""`gpucloud init`: copy a commented task file, with its code and data where the template has some."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from gpucloud.cli.options import current
from gpucloud.core.errors import StateConflict, UsageError, nearest
from gpucloud.render.view import Column, View, show

TASK_FILE = "gpucloud.yaml"
DEFAULT = "reference"
MODE = 0o644

FILE_COLUMNS = (Column("action", "Action"), Column("path", "File"))
TEMPLATE_COLUMNS = (Column("name", "Template"), Column("about", "What it is"), Column("files", "Files"))


def init(
    template: Annotated[str, typer.Argument(metavar="[TEMPLATE]", help="Which one; see --list.")] = DEFAULT,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="DIR", help="Where to; this folder by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Show the templates.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask (nothing is asked here).")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written.")] = False,
) -> None:
    """Copy a commented gpucloud.yaml to start from; what is there already stays, unless --force.

    Without TEMPLATE it is the one in which every field is explained.
    """
    known = templates()
    if listing:
        show(_list_view(known), current().output, sys.stdout)
        return
    folder = into if into is not None else Path()
    actions = plan(_chosen(template, known), folder, force)
    if not dry_run:
        write(actions)
    show(_written_view(template, folder, actions, dry_run), current().output, sys.stdout)


def templates() -> dict[str, Path]:
    """Every template by name: a single task file `NAME.yaml`, or a folder with a gpucloud.yaml in it."""
    from gpucloud.remote.scripts import template_dir

    shelf = template_dir() / "tasks"
    if not shelf.is_dir():
        raise UsageError(
            f"There are no templates in {shelf}.", "Unset GPUCLOUD_TEMPLATE_DIR or let it name a copy of the templates."
        )
    files = {path.stem: path for path in shelf.glob("*.yaml")}
    folders = {path.parent.name: path.parent for path in shelf.glob(f"*/{TASK_FILE}")}
    return dict(sorted({**files, **folders}.items()))


def sources(template: Path) -> dict[str, Path]:
    """The files of a template by the relative path they get; a single file becomes gpucloud.yaml."""
    if template.is_file():
        return {TASK_FILE: template}
    found = (path for path in template.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(template).as_posix(): path for path in sorted(found)}


def about(template: Path) -> str:
    """The first sentence of its task file."""
    task_file = template if template.is_file() else template / TASK_FILE
    first, _, _ = task_file.read_text(encoding="utf-8").partition("\n")
    return first.lstrip("# ").partition(". ")[0].rstrip(".")


def _chosen(name: str, known: dict[str, Path]) -> Path:
    if name in known:
        return known[name]
    close = nearest(name, list(known), 1)
    listed = ", ".join(known) or "none"
    hint = f"Did you mean '{close[0]}'? There are {listed}." if close else f"There are {listed}."
    raise UsageError(f"There is no template '{name}'.", hint)


def plan(template: Path, folder: Path, force: bool) -> list[dict[str, Any]]:
    """What has to be written: `{path, source, action}` with created, overwritten or unchanged.

    Raises, before anything is written: UsageError when `folder` is a file, StateConflict when a file of another
    content is there and not `force`.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder.", "Give another one with --into DIR.")
    actions = [
        {"path": folder / name, "source": source, "action": _action(folder / name, source)}
        for name, source in sources(template).items()
    ]
    taken = [str(item["path"]) for item in actions if item["action"] == "overwritten"]
    if taken and not force:
        verb = "is" if len(taken) == 1 else "are"
        raise StateConflict(
            f"{', '.join(taken)} {verb} there already and nothing was written.",
            "Use --force to overwrite, or --into another folder.",
        )
    return actions


def _action(target: Path, source: Path) -> str:
    if target.is_dir():
        raise StateConflict(f"{target} is a folder, and a file has to go there.", "Use --into another folder.")
    if not os.path.lexists(target):
        return "created"
    same = target.is_file() and not target.is_symlink() and target.read_bytes() == source.read_bytes()
    return "unchanged" if same else "overwritten"


def write(actions: list[dict[str, Any]]) -> None:
    """Each file appears whole or not at all; a link that is in the way is replaced, not followed."""
    for item in actions:
        if item["action"] == "unchanged":
            continue
        target: Path = item["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        number, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(item["source"].read_bytes())
            Path(partial).chmod(MODE)
            Path(partial).replace(target)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise


def _list_view(known: dict[str, Path]) -> View:
    rows = [{"name": name, "about": about(path), "files": list(sources(path))} for name, path in known.items()]
    notes = ("", f"gpucloud init TEMPLATE copies one; {DEFAULT} is the default.")
    return View("init", {"templates": rows}, TEMPLATE_COLUMNS, rows, notes, "There are no templates.")


def _written_view(template: str, folder: Path, actions: list[dict[str, Any]], dry_run: bool) -> View:
    rows = [{"path": str(item["path"]), "action": item["action"]} for item in actions]
    body = {"template": template, "folder": str(folder.absolute()), "dry_run": dry_run, "files": rows}
    notes = (
        ("Nothing was written (--dry-run).",) if dry_run else (f"Next: read {folder / TASK_FILE}, then gpucloud up",)
    )
    return View("init", body, FILE_COLUMNS, rows, notes)
