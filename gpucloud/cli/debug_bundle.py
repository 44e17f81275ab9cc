"""What a failed command with --debug leaves for a report: one file without secrets, in the home's `debug` folder."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gpucloud.cli import registry
from gpucloud.core.errors import GpucloudError
from gpucloud.core.starring import SECRET_NAME, VARIABLE, known_forms, known_secrets, starred, starred_words
from gpucloud.state.home import Home, write_private

KEPT, EVENTS, CAUSES, FRAMES = 10, 40, 5, 60
VARIABLES = (
    "GPUCLOUD_", "AWS_", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "GCE_", "AZURE_", "ARM_", "IDENTITY_", "MSI_", "LAMBDA_",
    "BOTO_", "PYTHON", "LC_",
)  # fmt: skip
SINGLE = ("LANG", "TERM", "COLUMNS", "NO_COLOR", "SSH_AUTH_SOCK", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
FILE_BYTES = 1 << 20  # of a task file that are looked through
ASSIGNED = re.compile(
    r"([\w-]+)[\"']?[ \t]*[:=][ \t]*\[?[ \t]*(\"[^\"\n]*\"|'[^'\n]*'|(?![{\s])(?:(?! #)[^,}\]\n\r])+)"
)
TOLD_OF_EVENTS = (
    "attempt", "name", "cloud", "region", "code", "message", "state", "states", "exit_code", "rank", "verdict", "kept",
    "run", "nodes", "deadline_epoch_s", "ended_at", "nothing_left",
)  # fmt: skip
TOLD_OF_OFFERS = ("cloud", "region", "zone", "instance_type", "market", "accelerator", "accelerator_count")


def leave(error: BaseException, ours: GpucloudError, words: Sequence[str]) -> None:
    """Write the file and say on stderr where it is, or in a sentence why there is none. Never raises an error."""
    try:
        home = Home.from_environment(os.environ)
        path = _write(home, bundle(error, ours, words, home))
        print(f"Debug bundle, secrets starred (look before you share it): {path}", file=sys.stderr)
    except Exception as reason:  # it must not hide the error that it tells of
        why = getattr(reason, "message", "") or type(reason).__name__
        print(f"No debug bundle could be written: {why}", file=sys.stderr)


def _write(home: Home, found: Mapping[str, Any]) -> Path:
    folder = home.folder(home.root) / "debug"
    name = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S-%fZ.json")
    write_private(folder / name, (json.dumps(found, indent=2) + "\n").encode())
    for old in sorted(folder.glob("*Z.json"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return folder / name


def bundle(error: BaseException, ours: GpucloudError, words: Sequence[str], home: Home) -> dict[str, Any]:
    """Everything that is told. A part that cannot be found out says why instead."""
    known = known_secrets(words, os.environ) | _tokens(home) | _in_files(home, words)
    parts: dict[str, Callable[[], Any]] = {
        "versions": _versions,
        "extras": _libraries,
        "terminal": _terminal,
        "command": lambda: starred_words(words, _carrier(words), known),
        "error": lambda: {"code": ours.code, "message": ours.message, "hint": ours.hint, "exit_code": ours.exit_code},
        "exceptions": lambda: list(_exceptions(error)),
        "environment": lambda: sorted(name for name in os.environ if name.startswith(VARIABLES) or name in SINGLE),
        "home": lambda: _files(home),
        "journal": lambda: _events(home),
    }
    return {name: _clean(_tried(part), known) for name, part in parts.items()}


def _tried(part: Callable[[], Any]) -> Any:
    try:
        return part()
    except Exception as reason:
        return f"not known: {type(reason).__name__}: {reason}"


def _clean(value: Any, known: set[str]) -> Any:
    """The same tree with every string starred."""
    if isinstance(value, str):
        return starred(value, known)
    if isinstance(value, Mapping):
        return {_clean(key, known): _clean(item, known) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item, known) for item in value]
    return value if value is None or isinstance(value, (bool, int, float)) else type(value).__name__


def _tokens(home: Home) -> set[str]:
    """One-time tokens that wait in the home."""
    try:
        return {path.read_text(errors="replace").strip() for path in home.keys.glob("proof-*")} - {""}
    except OSError:
        return set()


def _in_files(home: Home, words: Sequence[str]) -> set[str]:
    """Values of variables, and of what is named like a secret, in the task file and the home's settings.

    Read line by line as well, because the error may be that a file cannot be parsed; a text of several lines is
    then not known.
    """
    named = (Path(word.partition("=")[2] or word) for word in words if word.endswith((".yaml", ".yml")))
    found: set[str] = set()
    for path in (Path("gpucloud.yaml"), *named, *sorted(home.root.glob("*.yaml"))):
        text = ""
        with suppress(OSError, ValueError):
            text = path.read_bytes()[:FILE_BYTES].decode(errors="replace")
        found |= {match[2] for match in ASSIGNED.finditer(text) if _hidden(match[1])} | set(_hidden_leaves(text))
    return known_forms({value.strip().strip("\"'") for value in found})


def _hidden(name: str) -> bool:
    return bool(VARIABLE.fullmatch(name) or SECRET_NAME.search(name))


def _hidden_leaves(text: str) -> Iterator[str]:
    import yaml

    try:
        left = [(yaml.safe_load(text), False)]
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    while left:
        tree, inside = left.pop()
        if isinstance(tree, dict):
            left += [(item, inside or key == "env" or _hidden(str(key))) for key, item in tree.items()]
        elif isinstance(tree, list):
            left += [(item, inside) for item in tree]
        elif inside and tree is not None:
            yield str(tree)


def _carrier(words: Sequence[str]) -> str | None:
    """The command, if it carries one of the user's; empty where it is not clear which command it is."""
    name, entry = next(((word, found) for word in words if (found := registry.find(word)) is not None), ("", None))
    carries = entry is None or (isinstance(entry, registry.Entry) and entry.passes_words)
    return name if carries else None


def _versions() -> dict[str, str]:
    from gpucloud import __version__

    return {
        "gpucloud": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "machine": platform.machine(),
    }


def _libraries() -> dict[str, dict[str, str | None]]:
    """The versions of what we use, by extra (`base` for what is always there); null where it is not installed."""
    from importlib import metadata

    found: dict[str, dict[str, str | None]] = {}
    for line in metadata.requires("gpucloud") or []:
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)", line)
        try:
            version: str | None = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = None
        if name != "gpucloud" and (extra is None or extra[1] not in ("dev", "all", "demo")):
            found.setdefault(extra[1] if extra else "base", {})[name] = version
    return found


def _terminal() -> dict[str, Any]:
    streams = {"stdin": sys.stdin, "stdout": sys.stdout, "stderr": sys.stderr}
    return {
        name: None if stream is None else {"encoding": stream.encoding, "terminal": stream.isatty()}
        for name, stream in streams.items()
    }


def _exceptions(error: BaseException | None) -> Iterator[dict[str, Any]]:
    """The error and what led to it: kinds, sentences and lines of code; no values of variables."""
    for _ in range(CAUSES):
        if error is None:
            return
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
        lines = [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
        yield {"kind": type(error).__name__, "message": str(error), "frames": lines}
        error = error.__cause__ or error.__context__


def _short(path: str) -> str:
    """The last four parts of a path."""
    return "/".join(Path(path).parts[-4:])


def _files(home: Home) -> dict[str, Any]:
    """Names and sizes of what lies directly in the home."""
    if not home.root.exists():
        return {}
    return {path.name: path.stat().st_size if path.is_file() else "folder" for path in sorted(home.root.iterdir())}


def _events(home: Home) -> list[dict[str, Any]]:
    from gpucloud.core.units import iso_utc
    from gpucloud.state.tail import last_events

    return [
        {"seq": one.seq, "at": iso_utc(one.at), "kind": one.kind, "deployment": one.deployment, **_told(one.data)}
        for one in last_events(home.state_db, EVENTS)
    ]


def _told(data: Mapping[str, Any]) -> dict[str, Any]:
    """What an event may tell: no command, no token, no address, no account."""
    told = {key: data[key] for key in TOLD_OF_EVENTS if key in data}
    offer = data.get("offer")
    if isinstance(offer, Mapping):
        told["offer"] = {key: offer[key] for key in TOLD_OF_OFFERS if key in offer}
    return told
