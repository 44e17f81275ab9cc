"""Where the data files lie: the user's choice, the wheel's own copy, the checkout."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gpucloud.core.errors import UsageError

PACKAGE = Path(__file__).parent.parent


def catalog_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the CSV files. Raises UsageError when GPUCLOUD_CATALOG_DIR is not a folder."""
    return data_folder("catalogs", "GPUCLOUD_CATALOG_DIR", environ)


def data_folder(name: str, variable: str, environ: Mapping[str, str]) -> Path:
    """`variable`, else the folder `name` in the wheel's data, else in the checkout."""
    chosen = environ.get(variable)
    if chosen:
        return _existing(Path(chosen).expanduser().absolute(), variable)
    for parent in (PACKAGE / "_data", PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise UsageError(f"The folder '{name}' is not part of this installation.", f"Set {variable} to one.")


def _existing(folder: Path, variable: str) -> Path:
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError(f"{variable} names '{folder}', which is not a readable folder.", "Correct or unset it.")
    return folder


def csv_files(folder: Path) -> list[str]:
    """The catalog's files in `folder`, relative with `/`, sorted; none when the folder does not exist."""
    try:
        own = [entry.name for entry in os.scandir(folder) if entry.name.endswith(".csv")]
        offers = folder / "offers"
        clouds = os.scandir(offers) if offers.is_dir() else ()
        return sorted([*own, *(f"offers/{entry.name}" for entry in clouds if entry.name.endswith(".csv"))])
    except FileNotFoundError:
        return []
