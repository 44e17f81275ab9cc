"""The root of the command line: loads a command only when it is used, and turns errors into sentences."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from gpucloud.cli import complete, registry
from gpucloud.cli.options import current, global_options, reset

COMMAND_ENDS = 31  # column of the greeting in which its explanations begin
GREETING = """\
gpucloud: the GPU you need, at the lowest cost of the result.

  gpucloud compare A100:8      what it costs, everywhere
  gpucloud recommend --help    what to take for your work, rented or owned
  gpucloud up --cloud local    a machine: here, owned, or in a cloud
  gpucloud run python train.py sync this folder, run there, return its exit code
  gpucloud down                remove it; nothing bills after

`gpucloud --help` lists all commands.
"""


def _greeting() -> str:
    """The greeting; in a narrow terminal what a command does stands below it."""
    from gpucloud.render.paint import painter, with_commands
    from gpucloud.render.terminal import terminal_width
    from gpucloud.render.view import wrapped

    width, paint = terminal_width(sys.stdout), painter(sys.stdout)
    fits = width is None or width >= max(map(len, GREETING.splitlines()))
    lines: list[str] = []
    for line in GREETING.splitlines():
        if not line.startswith("  "):
            lines.append(with_commands(wrapped(line, width), paint))
            continue
        command, means = line[:COMMAND_ENDS], line[COMMAND_ENDS:]
        shown = paint(command.rstrip(), "command")
        lines += [command.replace(command.rstrip(), shown) + means] if fits else [shown, wrapped(f"    {means}", width)]
    return "\n".join(lines) + "\n"


class LazyGroup(TyperGroup):
    """A group whose commands are rows of the registry until somebody calls them."""

    table: registry.Group | None = None  # None: the root

    def list_commands(self, ctx: Any) -> list[str]:
        return registry.names() if self.table is None else list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = registry.find(cmd_name) if self.table is None else self.table.get(cmd_name)
        if entry is None:
            return None
        return build(cmd_name, entry) if isinstance(entry, registry.Entry) else build_group(cmd_name, *entry)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        sections = registry.SECTIONS if self.table is None else {"Commands": self.table}
        for title, table in sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, _help_line(entry)) for name, entry in table.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):  # not built here: that costs
            from gpucloud.cli import misspelt

            raise misspelt.unknown_command(name, self.list_commands(ctx), ctx.command_path)
        return super().resolve_command(ctx, args)


def _help_line(entry: registry.Entry | tuple[str, registry.Group]) -> str:
    return entry.help if isinstance(entry, registry.Entry) else entry[0]


def build(name: str, entry: registry.Entry) -> Any:
    """The command object of a registry row, with the global options added."""
    function = getattr(import_module(f"gpucloud.cli.{entry.module}"), entry.function)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    settings = {"ignore_unknown_options": entry.passes_options, "allow_interspersed_args": not entry.passes_words}
    app.command(name, context_settings=settings)(function)
    command = typer.main.get_command(app)
    command.params.extend(global_options())
    if complete.asked():
        complete.attach(command, name)
    return command


def build_group(name: str, help_text: str, table: registry.Group) -> Any:
    """A sub-group such as `catalog`."""
    group = LazyGroup(name=name, help=help_text, no_args_is_help=True, rich_markup_mode=None)
    group.table = table
    group.params.extend(global_options())
    return group


def _show_version(ctx: typer.Context, value: bool) -> None:
    if value:
        from gpucloud import __version__

        print(f"gpucloud {__version__}")
        raise typer.Exit()


def root() -> Any:
    """The whole command line as one object."""
    app = typer.Typer(cls=LazyGroup, rich_markup_mode=None, invoke_without_command=True, add_completion=True)

    @app.callback(help="Compare GPU options by the cost of the work, rent or own, and run training on them.")
    def greet(
        ctx: typer.Context,
        version: bool = typer.Option(
            False, "--version", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ) -> None:
        if ctx.invoked_subcommand is None:
            print(_greeting(), end="")

    group = typer.main.get_command(app)
    group.params[1:1] = global_options()
    return group


def main(args: list[str] | None = None) -> int:
    """Run one command line; the return value is the process's exit code."""
    from gpucloud.cli import failure, streams

    words = sys.argv[1:] if args is None else args
    reset()
    streams.prepare()
    if complete.SCRIPT_OPTIONS & {*words}:
        complete.answer_the_first_tab()
    try:
        answer = root().main(args=words, prog_name="gpucloud", standalone_mode=False)
        code = answer if isinstance(answer, int) else 0
        _flush()
        return code
    except BaseException as error:
        if complete.asked():
            return 0  # a line that cannot be completed is no error of the shell's
        return failure.report(error, words, current())


def _flush() -> None:
    """A reader who left before the last line changes nothing of the answer."""
    from gpucloud.cli import streams

    try:
        sys.stdout.flush()
    except BrokenPipeError:
        streams.mute(sys.stdout)
