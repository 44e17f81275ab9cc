"""Turns a verb and its arguments into the one command line that a machine understands, in either dialect.

A login shell may be sh, bash, zsh, fish or csh. Single quotes mean the same in all of them as long as the text
between holds no quote, backslash sequence they know, `!`, newline or byte above 126; those travel as octal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from gpucloud.core.wire import Process, Transport
from gpucloud.remote.scripts import script

Argument = str | int | bool | Sequence[str]

# verb -> the shell scripts that make it up, and the Python programs these may need as variables
SCRIPTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "push": (("tree.sh", "extract.sh", "push.sh"), ("walk.py", "untar.py")),
    "part": (("tree.sh", "extract.sh", "part.sh"), ("walk.py", "untar.py")),
    "pull": (("tree.sh", "send.sh", "pull.sh"), ("walk.py", "tar.py")),
    "fetch": (("tree.sh", "send.sh", "fetch.sh"), ("walk.py", "tar.py")),
    "hash": (("hash.sh",), ("hash.py",)),
    "blocks": (("blocks.sh",), ("blocks.py",)),
    "start": (("start.sh",), ("run.sh", "supervise.sh", "session.py", "terminal.py")),
    "follow": (("run.sh", "follow.sh"), ()),
    "signal": (("run.sh", "signal.sh"), ()),
    "status": (("run.sh", "status.sh"), ()),
    "deadline": (("deadline.sh",), ()),
}
PLAIN = frozenset(range(32, 127)) - set(b"'\\!")


def shell_quoted(text: str) -> str:
    """`text` as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def octal(data: bytes) -> str:
    """`data` for `printf %b`, in characters that every login shell leaves alone between single quotes."""
    return "".join(chr(byte) if byte in PLAIN else f"\\0{byte:03o}" for byte in data)


def through_any_shell(posix_text: str) -> str:
    """A command line that runs `posix_text` in sh, whatever the login shell is."""
    packed = octal(posix_text.encode("utf-8", "surrogateescape"))
    return f"exec sh -c 'eval \"$(printf %b \"$1\")\"' sh '{packed}'"


def command(dialect: str, verb: str, arguments: Mapping[str, Argument]) -> str:
    """The command line of `verb`. Arguments become shell variables or one JSON object."""
    if dialect == "embedded":
        return f"gpucloud-host {verb} {json.dumps(arguments)}"
    scripts, programs = SCRIPTS[verb]
    variables = [f"{key}={shell_quoted(_as_text(value))}" for key, value in arguments.items()]
    variables += [f"{one.replace('.', '_')}={shell_quoted(script(one))}" for one in programs]
    return through_any_shell("\n".join([*variables, script("common.sh"), *map(script, scripts)]))


def _as_text(value: Argument) -> str:
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, (str, int)):
        return str(value)
    return " ".join(shell_quoted(one) for one in value)  # for `eval "set -- $runs"`


def run_verb(transport: Transport, verb: str, arguments: Mapping[str, Argument]) -> Process:
    """Start `verb` on the machine."""
    return transport.run(command(transport.dialect, verb, arguments))
