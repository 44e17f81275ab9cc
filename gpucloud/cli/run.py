"""`gpucloud run`: sync the folder, run there, follow the log, pull the outputs, return the command's own code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpucloud.cli import taskfile, up_words
from gpucloud.cli.following import finish, run_through
from gpucloud.cli.options import narrate
from gpucloud.cli.outside import context, home
from gpucloud.cli.run_request import RunWords, environment
from gpucloud.core.task import parse_fields

if TYPE_CHECKING:
    from gpucloud.flows.context import Context


def run(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="CMD...", help="The command; `run:` of the task file by default.")
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", metavar="NAME", help="Where; the only deployment by default.")
    ] = None,
    gpu: up_words.Gpu = None,
    cloud: up_words.Cloud = None,
    region: up_words.Region = None,
    market: up_words.Market = None,
    spot: up_words.Spot = False,
    instance_type: up_words.InstanceType = None,
    max_hours: up_words.MaxHours = None,
    budget: up_words.Budget = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the fresh machine when the command has ended.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once it is started.")] = False,
    no_sync: Annotated[bool, typer.Option("--no-sync", help="Leave the machine's folder as it is.")] = False,
    sync: Annotated[
        Path | None, typer.Option("--sync", metavar="DIR", help="The folder to sync; the current one by default.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="P", help="Gitignore pattern of what stays here; repeat."),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="K[=V]", help="Environment; without =V the value here; repeat."),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="K", help="Environment whose value is never shown or kept; repeat."),
    ] = None,
    pull: Annotated[
        list[str] | None,
        typer.Option("--pull", metavar="PATH", help="Fetch this from node 0 when it has ended; repeat."),
    ] = None,
    setup: up_words.Setup = None,
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Give the command a terminal (progress bars).")] = False,
    nodes: Annotated[str | None, typer.Option("--nodes", metavar="all|N", help="On how many nodes.")] = None,
    launcher: Annotated[
        str | None, typer.Option("--launcher", metavar="auto|none|torchrun", help="How ranks are started.")
    ] = None,
    env_from: Annotated[
        str | None,
        typer.Option("--env-from", metavar="auto|none|FILE", help="Requirements to make an environment of."),
    ] = None,
    file: up_words.File = None,
    yes: up_words.Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
) -> None:
    """Sync the folder, run the command detached on the machine, follow its log and pull its outputs.

    The exit code is the command's own. Ctrl-C asks (or interrupts), the second one terminates, the third kills;
    the command survives a lost connection. One word is shell text, several words are passed on as they are.
    Without --on, and with --gpu (or --cloud, --region, --instance-type), a fresh machine is made, and removed
    when the command has ended.
    """
    flags = {
        "gpu": gpu,
        "clouds": cloud,
        "regions": region,
        "market": "spot" if spot else market,
        "max_hours": max_hours,
        "budget_usd": budget,
        "setup": setup,
        "launcher": launcher,
        "env_from": env_from,
        "pull": pull,
        "env": environment(env or []),
        "secrets": secret,
    }
    given = parse_fields({k: v for k, v in flags.items() if v}, "the command line")
    task = taskfile.load(given, file, home().config_file, Path.cwd())
    fresh = on is None and bool(gpu or cloud or region or instance_type)
    words = RunWords(
        task=task,
        command=tuple(command or ()),
        folder=sync,
        no_sync=no_sync,
        exclude=tuple(exclude or ()),
        nodes=nodes,
        tty=tty,
        detach=detach,
        one_shot=fresh and not keep,
    )
    with context() as ctx:
        request = words.request(None if fresh else on or (task.name if _lives(ctx, task.name) else None))
        if dry_run:
            narrate(f"would sync {request.folder} and run: {request.command}")
            return
        if fresh:
            from gpucloud.cli import run_fresh

            kept = keep or detach
            wishes = run_fresh.wishes_of(flags, file, instance_type, one_shot=not kept)
            made, error = run_fresh.run_there(ctx, request, run_fresh.provision(ctx, wishes, yes), kept)
        else:
            made, error = run_through(ctx, request)
        finish(ctx, made, error)


def _lives(ctx: Context, name: str) -> bool:
    found = ctx.journal.present().named(name) if name else None
    return found is not None and not found.closed
