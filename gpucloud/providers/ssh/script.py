"""The lease scripts: put together, sent through stdin (no list of processes shows them), their answers as lines."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpucloud.core.errors import AmbiguousError, BootstrapError, Unreachable, UsageError
from gpucloud.core.wire import START_MARK, Transport

# Every login shell leaves this alone; what is cut on its way is half a function, which no shell begins to run.
COMMAND = "exec sh -c 'eval \"$(cat)\"'"
GRACE_S = 30  # after its end a lease is still not given to others, while its own watcher ends what runs
MOST_PAYLOAD = 760  # a symbolic link on XFS holds 1023 bytes
VERBS = ("look", "take", "extend", "free")


class HostUnfit(BootstrapError):
    """The host answers but cannot be used for a lease; nothing was left on it."""


class Refused(Exception):
    """The script's own refusal: `kind` is shelf, home, taken, gone or runs, the text says why."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def script_text(templates: Path, verb: str, variables: Mapping[str, str]) -> str:
    """The script of a verb with its variables as one function and the call of it."""
    shelf = templates / "remote"
    given = "\n".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    common = "\n".join(_read(shelf / name) for name in ("common.sh", "run.sh", "lease.sh"))
    texts = [given]
    if verb in ("take", "extend"):
        texts.append(
            f"watch_text={shlex.quote(f'{given}{chr(10)}{common}{chr(10)}' + _read(shelf / 'lease-watch.sh'))}"
        )
    if verb == "take":
        texts.append(f"environment_text={shlex.quote(_read(shelf / 'lease-environment.sh'))}")
    body = "\n".join([*texts, common, _read(shelf / f"lease-{verb}.sh")])
    return f"gpucloud_lease() {{\n{body}\n}}\ngpucloud_lease </dev/null\n"


def _read(path: Path) -> str:
    """A script without its comment lines. Raises UsageError when the templates are not complete."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        hint = "Unset GPUCLOUD_TEMPLATE_DIR or let it name a complete copy of the templates."
        raise UsageError(f"The script {path} cannot be read: {error.strerror}.", hint) from None
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))


def ask(transport: Transport, text: str) -> list[str]:
    """Run a script; its lines after the start mark, the closing `done` left out.

    Raises Refused, HostUnfit when the host never began, AmbiguousError when it began and the end never came.
    """
    process = transport.run(COMMAND)
    try:
        said, complaint = _exchange(process, text)
    except Unreachable as error:
        raise AmbiguousError(f"The connection was lost while the host worked: {error}") from error
    finally:
        process.close()
    head, mark, answer = said.partition("\n" + START_MARK.decode())
    if not mark:
        quoted = " ".join((head + " " + complaint).split())[-300:]
        raise HostUnfit(f"The login shell there does not run commands: {quoted or 'it says nothing'}.")
    lines = answer.splitlines()[1:]
    for line in lines:
        if line.startswith("fail "):
            _, kind, reason = line.split(" ", 2)
            raise Refused(kind, reason)
    if not lines or lines[-1] != "done":
        raise AmbiguousError(f"The host stopped in the middle: {complaint.strip()[-300:] or 'it says nothing'}.")
    return lines[:-1]


def _exchange(process: Any, text: str) -> tuple[str, str]:
    with suppress(BrokenPipeError):  # it has ended already, and what it said tells why
        process.write(text.encode())
    process.end_input()
    said = b"".join(iter(lambda: process.read(65536), b""))
    complaint = b"".join(iter(lambda: process.read_error(65536), b""))
    return "\n" + said.decode(errors="replace"), complaint.decode(errors="replace")


def packed(payload: Mapping[str, Any]) -> str:
    """What a lease carries for us, as one word. Raises UsageError when a link cannot hold it."""
    text = json.dumps(payload, separators=(",", ":"), sort_keys=True)
    word = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    if len(word) > MOST_PAYLOAD:
        raise UsageError("The tags are too long for a lease.", "Use fewer or shorter --tag.")
    return word


def unpacked(word: str) -> dict[str, Any]:
    """The payload of a lease; empty for what is not ours to read."""
    try:
        body = json.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
