"""Finds the scripts that machines run: GPUCLOUD_TEMPLATE_DIR, else the installed package's data, else the checkout."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from gpucloud.core.errors import UsageError

PACKAGE = Path(__file__).resolve().parent.parent


def template_dir() -> Path:
    """The folder that holds `remote/`, `tasks/` and so on."""
    chosen = os.environ.get("GPUCLOUD_TEMPLATE_DIR")
    if chosen:
        return Path(chosen)
    installed = PACKAGE / "_data" / "templates"
    return installed if installed.is_dir() else PACKAGE.parent / "templates"


@lru_cache(maxsize=32)
def script(name: str) -> str:
    """The text of `remote/<name>` without its comment lines (they would travel with every command)."""
    path = template_dir() / "remote" / name
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(
            f"The script {name} cannot be read from {path.parent}: {error.strerror}.",
            "Unset GPUCLOUD_TEMPLATE_DIR or let it name a complete copy of the templates.",
        ) from error
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#")) + "\n"
