"""The options every command has: how to print, how much to say, whether to ask."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

from typer.core import TyperOption

OUTPUTS = ("table", "wide", "json", "csv", "markdown")


class Globals(NamedTuple):
    """What was said on the command line about the command itself."""

    output: str = "table"
    quiet: bool = False
    debug: bool = False
    no_input: bool = False


_CURRENT: ContextVar[Globals] = ContextVar("gpucloud_globals")
Aside = Callable[[], AbstractContextManager[None]]
_ASIDE: ContextVar[Aside] = ContextVar("gpucloud_aside", default=nullcontext)


def current() -> Globals:
    """The global options of the running command."""
    return _CURRENT.get(Globals())


def reset() -> None:
    """Forget what an earlier command in this process was told (tests, library use)."""
    _CURRENT.set(Globals())


def restore(options: Globals) -> None:
    """Make these the global options again, after a command that ran inside another one."""
    _CURRENT.set(options)


def narrate(sentence: str) -> None:
    """Say on stderr what is going on, unless `--quiet`."""
    if current().quiet:
        return
    try:
        from gpucloud.render.paint import painter, with_commands

        with _ASIDE.get()():
            print(with_commands(sentence, painter(sys.stderr)), file=sys.stderr, flush=True)
    except OSError:  # a listener who left does not stop a machine half way
        from gpucloud.cli.streams import mute

        mute(sys.stderr)


@contextmanager
def spoken_aside(aside: Aside) -> Iterator[None]:
    """Inside, what is narrated is said within `aside()`: a live line is away meanwhile."""
    before = _ASIDE.set(aside)
    try:
        yield
    finally:
        _ASIDE.reset(before)


def _remember(field: str) -> Callable[[Any, Any, Any], Any]:
    def keep(ctx: Any, param: Any, value: Any) -> Any:
        if value is not None and value is not False:
            _CURRENT.set(current()._replace(**{field: _checked(field, value)}))
        return value

    return keep


def _checked(field: str, value: Any) -> Any:
    if field == "output" and value not in OUTPUTS:
        from gpucloud.core.errors import UsageError

        raise UsageError(f"There is no output format '{value}'.", "Use one of " + ", ".join(OUTPUTS) + ".")
    return value


def global_options() -> list[TyperOption]:
    """Fresh option objects: each command carries them, so they may stand before or after its name."""
    return [
        TyperOption(
            param_decls=["--output", "-o"],
            metavar="|".join(OUTPUTS),
            help="How to print the result.",
            callback=_remember("output"),
            expose_value=False,
        ),
        _flag("--quiet", "quiet", "Say nothing on stderr but errors."),
        _flag("--no-input", "no_input", "Never ask; take the safe answer."),
        _flag("--debug", "debug", "Show the traceback of an error and keep a bundle for a report."),
    ]


def _flag(name: str, field: str, help_text: str) -> TyperOption:
    return TyperOption(
        param_decls=[name], is_flag=True, help=help_text, callback=_remember(field), expose_value=False, default=False
    )
