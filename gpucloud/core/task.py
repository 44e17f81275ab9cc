"""What a user wants done, as in `gpucloud.yaml`: the machine, its guards, the code and the command.

The same fields can be set by flags, by `GPUCLOUD_…` variables, by the task file and by `config.yaml`, in this
order of precedence; `settle` puts the layers together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from gpucloud.core import units
from gpucloud.core.errors import UsageError, nearest
from gpucloud.core.names import check_name

LAUNCHERS = ("auto", "none", "torchrun")
TEMPLATE = "See the template with every key: `gpucloud init`."
FLAGS = "the command line"  # as `where` of what was typed
OPTIONS = {"clouds": "cloud", "regions": "region", "budget_usd": "budget", "idle_min": "idle", "tags": "tag"}
AT_END = ("", "stop", "delete")
MARKETS = ("on-demand", "spot", "any")
TAG_WORD = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Sync:
    """Which folder goes to the machine, and what of it stays here (gitignore patterns)."""

    path: str = "."
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One `gpucloud.yaml`. Empty strings, empty tuples and None mean: not said."""

    name: str = ""
    gpu: tuple[str, ...] = ()
    clouds: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    market: str = "on-demand"
    nodes: int = 1
    image: str = ""
    disk_gib: int | None = None
    max_hours: float = 24.0
    budget_usd: float | None = None
    idle_min: float = 60.0
    at_end: str = ""
    ssh_from: str = "auto"
    setup: str = ""
    env_from: str = "auto"
    sync: Sync = field(default_factory=Sync)
    run: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    launcher: str = "auto"
    pull: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


FIELDS = tuple(item.name for item in fields(Task))
SYNC_FIELDS = tuple(item.name for item in fields(Sync))


def parse_fields(raw: Mapping[str, Any], where: str, extra: tuple[str, ...] = ()) -> dict[str, Any]:
    """The known fields of `raw`, checked and in their final types. `where` names the file or variable in errors.

    Raises UsageError naming the field, and the nearest known one when it is unknown. Keys in `extra` pass as
    they are.
    """
    _refuse_unknown(raw, FIELDS + extra, where)
    return {
        key: value if key in extra else _parse(key, value, where) for key, value in raw.items() if value is not None
    }


def _refuse_unknown(raw: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in raw:
        if key not in known:
            close = nearest(str(key), known, 1)
            hint = f"Did you mean '{close[0]}'?" if close else "The known keys are " + ", ".join(known) + "."
            raise UsageError(f"{where} has an unknown key '{key}'.", hint)


def _parse(key: str, value: Any, where: str) -> Any:
    try:
        return _PARSERS[key](value)
    except UsageError as error:  # it names the value itself
        raise UsageError(_placed(key, error.message, where), error.hint) from None
    except (ValueError, TypeError) as error:
        hint = "See `gpucloud up --help`." if where == FLAGS else TEMPLATE
        raise UsageError(_placed(key, f"{key} cannot be {value!r}: {error}", where), hint) from None


def _placed(key: str, message: str, where: str) -> str:
    """With the file or variable before it, or with the option for the key where it was typed."""
    if where != FLAGS:
        return f"{where}: {message}"
    option = "--" + OPTIONS.get(key, key.replace("_", "-"))
    return option + message.removeprefix(key) if message.startswith(f"{key} ") else message


def _text(value: Any) -> str:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ValueError("it has to be a text.")
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, (list, tuple)):
        raise ValueError("it has to be a text or a list of texts.")
    return tuple(_text(item) for item in value)


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def choose(value: Any) -> str:
        if value not in choices:
            raise ValueError("it has to be one of " + ", ".join(choice for choice in choices if choice) + ".")
        return str(value)

    return choose


def _whole(smallest: int) -> Callable[[Any], int]:
    def count(value: Any) -> int:
        try:
            number = int(str(value))
        except ValueError:
            raise ValueError("it has to be a whole number.") from None
        if number < smallest:
            raise ValueError(f"it has to be {smallest} or more.")
        return number

    return count


def _number(value: Any) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError("it has to be a number, zero or more.")
    return number


def _hours(value: Any) -> float:
    return units.duration_s(str(value), "max_hours") / 3600


def _deployment_name(value: Any) -> str:
    return check_name(_text(value))


def _mapping(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("it has to be a list of KEY: value.")
    return {_text(key): "" if item is None else _text(item) for key, item in value.items()}


def _tags(value: Any) -> dict[str, str]:
    tags = _mapping(value)
    for key in tags:
        if TAG_WORD.fullmatch(key) is None or key.startswith("gpucloud-"):
            raise ValueError(f"the tag '{key}' has to be a-z, 0-9, - and _, and not begin with gpucloud-.")
    return tags


def _sync(value: Any) -> Sync:
    if isinstance(value, Sync):
        return value
    if isinstance(value, str):
        return Sync(path=value)
    if not isinstance(value, Mapping):
        raise ValueError("it has to hold path and exclude.")
    _refuse_unknown(value, SYNC_FIELDS, "sync")
    return Sync(_text(value.get("path", ".")), _texts(value.get("exclude") or ()))


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "name": _deployment_name,
    "gpu": _texts,
    "clouds": _texts,
    "regions": _texts,
    "market": _one_of(MARKETS),
    "nodes": _whole(1),
    "image": _text,
    "disk_gib": _whole(1),
    "max_hours": _hours,
    "budget_usd": _number,
    "idle_min": _number,
    "at_end": _one_of(AT_END),
    "ssh_from": _text,
    "setup": _text,
    "env_from": _text,
    "sync": _sync,
    "run": _text,
    "env": _mapping,
    "secrets": _texts,
    "launcher": _one_of(LAUNCHERS),
    "pull": _texts,
    "tags": _tags,
}


def settle(*layers: Mapping[str, Any]) -> Task:
    """One task from parsed layers, the strongest first. `env` and `tags` are joined, everything else replaces."""
    settled: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if key not in FIELDS:
                continue
            if key in ("env", "tags"):
                settled[key] = {**value, **settled.get(key, {})}
            else:
                settled.setdefault(key, value)
    return replace(Task(), **settled)
