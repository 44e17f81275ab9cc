"""`gpucloud run`: sync the folder, run there, follow the log, pull the outputs, return the command's own code."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpucloud.cli import taskfile
from gpucloud.cli import up as up_words
from gpucloud.cli.options import current, narrate
from gpucloud.cli.outside import ask, can_ask, context, dial, home
from gpucloud.cli.views import runs_view
from gpucloud.core.errors import CleanupIncomplete, GpucloudError, HostError, UsageError
from gpucloud.core.task import Sync, Task, parse_fields
from gpucloud.render.view import show

if TYPE_CHECKING:
    from gpucloud.core.deployments import Deployment, Run
    from gpucloud.flows.context import Context
    from gpucloud.flows.session import RunRequest

OURS_FAILED = 125  # the exit code when the command's own cannot be trusted


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
        "env": _environment(env or []),
        "secrets": secret,
    }
    given = parse_fields({k: v for k, v in flags.items() if v}, "the command line")
    task = taskfile.load(given, file, home().config_file, Path.cwd())
    fresh = on is None and bool(gpu or cloud or region or instance_type)
    with context() as ctx:
        wanted = None if fresh else on or (task.name if _lives(ctx, task.name) else None)
        request = _request(task, command, wanted, sync, no_sync, exclude or [], nodes, tty, detach, fresh and not keep)
        if dry_run:
            narrate(f"would sync {request.folder} and run: {request.command}")
            return
        if not fresh:
            _finish(ctx, *_session(ctx, request))
            return
        name = _fresh(ctx, flags, file, instance_type, yes, keep or detach)
        _one_shot(ctx, request, name, keep or detach)


def _lives(ctx: Context, name: str) -> bool:
    found = ctx.journal.present().named(name) if name else None
    return found is not None and not found.closed


def _environment(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key:
            raise UsageError(
                f"--env {text} has no name.", "Write it like --env SEED=1, or --env SEED for its value here."
            )
        if not equals and key not in os.environ:
            raise UsageError(f"{key} is not set here.", f"Set it, or give its value with --env {key}=VALUE.")
        found[key] = value if equals else os.environ[key]
    return found


def _request(
    task: Task,
    command: list[str] | None,
    name: str | None,
    folder: Path | None,
    no_sync: bool,
    exclude: list[str],
    nodes: str | None,
    tty: bool,
    detach: bool,
    one_shot: bool,
) -> RunRequest:
    from gpucloud.core.launcher import plain_words
    from gpucloud.core.wire import Secret
    from gpucloud.flows.session import RunRequest

    words: str | tuple[str, ...] = (
        tuple(command or ()) if len(command or ()) > 1 else "".join(command or ()) or plain_words(task.run.strip())
    )
    if not words:
        raise UsageError(
            "There is no command to run.", "Give one, as in `gpucloud run python train.py`, or `run:` in gpucloud.yaml."
        )
    missing = [key for key in task.secrets if key not in os.environ]
    if missing:
        raise UsageError(
            f"The secret {missing[0]} is not set here.", f"Set it in the environment: export {missing[0]}=VALUE"
        )
    path = str(folder) if folder is not None else task.sync.path
    return RunRequest(
        command=words,
        folder=Path.cwd(),
        deployment=name,
        sync=None if no_sync else Sync(path, (*task.sync.exclude, *exclude)),
        env=task.env,
        secrets={key: Secret(os.environ[key]) for key in task.secrets},
        pull=task.pull,
        setup=task.setup,
        env_from=task.env_from,
        launcher=task.launcher,
        nodes=nodes,
        tty=tty,
        detach=detach,
        one_shot=one_shot,
    )


def follower(ctx: Context, wait: bool = True) -> Any:
    """Follows to stdout, or to stderr when stdout is for the JSON object."""
    from gpucloud.flows.follow import Follower

    stream = (sys.stderr if current().output == "json" else sys.stdout).buffer

    def sink(data: bytes) -> None:
        stream.write(data)
        stream.flush()

    def leave(question: str) -> bool:
        return can_ask() and ask(question, default=True)

    return Follower(ctx, dial(), sink, leave, wait)


def _session(ctx: Context, request: RunRequest) -> tuple[Run | None, GpucloudError | None]:
    """The run, and the error of ours if there was one."""
    from gpucloud.flows import session
    from gpucloud.render.progress import ProgressBar

    before = {run.id for run in ctx.journal.present().runs}
    try:
        with ProgressBar(sys.stderr, "sync", enabled=None if not current().quiet else False) as progress:
            return session.run(ctx, dial(), request, follower(ctx), progress), None
    except GpucloudError as error:
        made = [run for run in ctx.journal.present().runs if run.id not in before]
        return (made[-1] if made else None), error


def _finish(ctx: Context, made: Run | None, error: GpucloudError | None) -> None:
    """Show the run and end with its code, or with 125 when something of ours failed."""
    from gpucloud.core.answers import run_json
    from gpucloud.flows.session import setup_failure

    if made is not None:
        deployment = ctx.journal.present().deployments[made.deployment]
        _show(run_json(deployment, made, ctx.clock()), made)
    if error is None and made is not None and made.setup_failed:
        error = setup_failure(made)
    if error is not None:
        raise as_ours(error)
    raise typer.Exit(exit_code_of(made))


def as_ours(error: GpucloudError) -> GpucloudError:
    """Errors of the machine or of its removal end `run`, `exec` and `wait` with 125: the code is not known."""
    if isinstance(error, (HostError, CleanupIncomplete)):
        error.exit_code = OURS_FAILED
    return error


def exit_code_of(made: Run | None) -> int:
    """The command's own code; 0 for one that was left running on request."""
    if made is None or made.open:
        return 0
    return OURS_FAILED if made.exit_code is None else made.exit_code


def _show(body: dict[str, Any], made: Run) -> None:
    if current().output != "table":
        show(runs_view("run", [body]), current().output)
    elif made.open:
        narrate(f"{made.id} runs. Follow it with `gpucloud logs {made.id} -f`.")
    elif made.exit_code is not None:
        narrate(f"{made.id} {made.state}, exit code {made.exit_code}.")


# ---- a fresh machine for one run


def _fresh(
    ctx: Context, flags: dict[str, Any], file: Path | None, instance_type: str | None, yes: bool, keep: bool
) -> str:
    """Provision a machine for this run and return its name."""
    import secrets
    from dataclasses import replace

    from gpucloud.cli.wishes import Wishes

    allowed = ("gpu", "clouds", "regions", "market", "max_hours", "budget_usd", "setup")
    wishes = Wishes.of({k: flags[k] for k in allowed}, {}, file, None, instance_type, None, "15m", False)
    name = f"{wishes.name[:24].rstrip('-')}-{secrets.token_hex(2)}"
    wishes = replace(wishes, task=replace(wishes.task, name=name), one_shot=not keep)
    planned = up_words.plan(ctx, wishes, dry_run=False)
    up_words.show_plan(planned)
    ahead = up_words.begin_ahead(ctx, planned)
    up_words.agree(planned, yes)
    return up_words.carry_out(ctx, planned, ahead).deployment.name


def _one_shot(ctx: Context, request: RunRequest, name: str, keep: bool) -> None:
    """Run on the fresh machine; it goes down once the outputs are here, else it is left to its guard, and said."""
    from dataclasses import replace

    made, error = _session(ctx, replace(request, deployment=name))
    if keep:
        _finish(ctx, made, error)
        return
    if made is not None and (made.open or (made.wants_pull and made.exit_code is not None)):
        narrate(f"{name} is kept: its outputs are not here yet. Remove it with `gpucloud down {name}`.")
    else:
        trouble = _take_down(ctx, name)
        error = trouble or error
    _finish(ctx, made, error)


def _take_down(ctx: Context, name: str) -> GpucloudError | None:
    from gpucloud.flows import down

    try:
        return down.down(ctx, down.plan(ctx, (name,))).error
    except GpucloudError as error:
        return error


def refreshed(ctx: Context, deployments: list[Deployment]) -> None:
    """Ask the machines about open runs; say which could not be asked."""
    from gpucloud.flows import runs

    for sentence in runs.refresh(ctx, dial(), deployments):
        narrate(sentence)
