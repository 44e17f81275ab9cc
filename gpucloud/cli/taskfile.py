"""The layers of a task below the flags: `GPUCLOUD_…` variables, `gpucloud.yaml`, `config.yaml` of the home."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpucloud.core.errors import UsageError
from gpucloud.core.task import FIELDS, TEMPLATE, Task, parse_fields, settle

TASK_FILE = "gpucloud.yaml"
SETTINGS = ("max_usd_per_hour",)
SINGULAR = {"cloud": "clouds", "region": "regions"}  # GPUCLOUD_CLOUD and GPUCLOUD_CLOUDS mean the same
NOT_FROM_ENVIRONMENT = ("sync", "env", "tags")
DEFAULT_CAP_USD = 25.0


def load(flags: Mapping[str, Any], file: Path | None, home_config: Path, folder: Path) -> Task:
    """The task that flags, environment, task file and configuration add up to, strongest first.

    `file` None takes `gpucloud.yaml` of `folder` where there is one.
    """
    path = file if file is not None else folder / TASK_FILE
    from_file = read(path) if file is not None or path.is_file() else {}
    return settle(flags, from_environment(os.environ), from_file, config(home_config))


def read(path: Path, extra: tuple[str, ...] = ()) -> dict[str, Any]:
    """The checked fields of a YAML file. Raises UsageError naming file and line."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        raw = yaml.load(path.read_bytes(), Loader=loader)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Give another file with -f.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        reason = getattr(error, "problem", None) or "it is not YAML"
        raise UsageError(f"{path}{line}: {reason}.", TEMPLATE) from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise UsageError(f"{path} is not a list of KEY: value.", TEMPLATE)
    return parse_fields(raw, path.name, extra)


def config(path: Path) -> dict[str, Any]:
    """The fields of `config.yaml`; empty when there is none."""
    return read(path, SETTINGS) if path.is_file() else {}


def cap_usd_per_hour(path: Path) -> float:
    """The hourly price above which `--yes` is not enough."""
    value = config(path).get("max_usd_per_hour", DEFAULT_CAP_USD)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"max_usd_per_hour of {path.name} is not a number.", "Write it like 25.") from None


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The fields that variables such as `GPUCLOUD_GPU` or `GPUCLOUD_MAX_HOURS` set."""
    found: dict[str, Any] = {}
    for name in (*FIELDS, *SINGULAR):
        variable, field = f"GPUCLOUD_{name.upper()}", SINGULAR.get(name, name)
        if environ.get(variable) and field not in NOT_FROM_ENVIRONMENT:
            found.update(parse_fields({field: environ[variable]}, variable))
    return found
