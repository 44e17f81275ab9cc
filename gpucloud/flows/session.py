"""`run`: sync the folder, start the command detached on every node, follow it, pull its outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from gpucloud.core.deployments import Deployment, Run
from gpucloud.core.environment import CANDIDATES, Setup, plan_setup, within
from gpucloud.core.errors import BootstrapError, GpucloudError, Interrupted, SyncError, UsageError
from gpucloud.core.launcher import (
    World,
    launched_command,
    launcher_words,
    price_environment,
    rank_environment,
    rendezvous_port,
)
from gpucloud.core.plan import find_deployment
from gpucloud.core.task import Sync
from gpucloud.core.wire import WORK_DIR, Secret
from gpucloud.flows import run_events, runs
from gpucloud.flows.context import Context
from gpucloud.flows.follow import Follower
from gpucloud.flows.machines import Dial, Fleet, Node, chosen, usable
from gpucloud.remote import sync
from gpucloud.remote.runs import RunSpec, start
from gpucloud.remote.verbs import shell_quoted, through_any_shell

Progress = Callable[[int, int], None]
PULLED = "pulled"  # in a run's folder on the machine, once its outputs are here


@dataclass(frozen=True)
class RunRequest:
    """One command to run. `sync` None leaves the machine's folder as it is; `folder` is where paths start."""

    command: str | tuple[str, ...]
    folder: Path
    deployment: str | None = None
    sync: Sync | None = field(default_factory=Sync)
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    pull: tuple[str, ...] = ()
    setup: str = ""
    env_from: str = "auto"
    launcher: str = "auto"
    nodes: str | None = None
    tty: bool = False
    detach: bool = False
    one_shot: bool = False


def run(ctx: Context, dial: Dial, request: RunRequest, follower: Follower, progress: Progress | None = None) -> Run:
    """Do it all; the run as it stands at the end. Errors of ours are raised, the command's own code is in the run."""
    deployment = usable(find_deployment(ctx.journal.present(), request.deployment))
    machines = chosen(deployment, request.nodes)
    folder = _sync_folder(request)
    requirements = _requirements(request, folder)
    _check_words(request, deployment)
    with Fleet(machines, dial) as fleet:
        spec = {"folder": str(folder), "nodes": len(machines), "one_shot": request.one_shot}
        words = runs.command_text(request.command)
        made = run_events.create_run(ctx, deployment.id, words, pull=request.pull, spec=spec)
        try:
            _send(fleet, request, folder, outputs_stay(deployment, request.pull, folder), progress)
            made = _start(ctx, fleet, deployment, made, request, requirements)
        except KeyboardInterrupt:
            run_events.ended(ctx, made, None, "cancelled")
            name = deployment.name
            hint = f"`gpucloud run --on {name}` starts it anew, `gpucloud down {name}` ends the machine."
            raise Interrupted(f"{made.id} was interrupted before its command was started.", hint) from None
        except GpucloudError:
            run_events.ended(ctx, made, None, "failed")
            raise
    if request.detach:
        return made
    made = follower.follow(deployment, made)
    return pull_outputs(ctx, dial, deployment, made) if not made.open else made


def _check_words(request: RunRequest, deployment: Deployment) -> None:
    """What can be wrong with the words is said before anything is sent."""
    launcher_words(request.launcher, request.command, _world(deployment, request, "x"), 0)


def _sync_folder(request: RunRequest) -> Path:
    path = request.folder / (request.sync.path if request.sync else ".")
    if not path.is_dir():
        raise UsageError(f"There is no folder {path} to sync.", "Give another one with --sync DIR, or use --no-sync.")
    return path.resolve()


def _requirements(request: RunRequest, folder: Path) -> tuple[str, bytes] | None:
    """Name (relative to the synced folder) and content of the file that the environment is made from."""
    if request.env_from == "none" or (request.env_from == "auto" and request.sync is None):
        return None
    names = CANDIDATES if request.env_from == "auto" else (request.env_from,)
    for name in names:
        if (folder / name).is_file():
            return name, (folder / name).read_bytes()
    if request.env_from == "auto":
        return None
    raise UsageError(
        f"There is no file {request.env_from} in {folder}.", "Give --env-from a file inside the synced folder."
    )


def _send(fleet: Fleet, request: RunRequest, folder: Path, stay: tuple[str, ...], progress: Progress | None) -> None:
    if request.sync is None:
        return
    rules = sync.SyncRules(exclude=(*request.sync.exclude, *stay))

    def send(node: Node) -> None:
        sync.push(node.transport, folder, work_dir(node), rules, progress if node.rank == 0 else None)

    on_all(fleet.nodes, send)


def outputs_stay(deployment: Deployment, pull: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Patterns of outputs that a sync must leave alone on the machine: those that are not here (yet), and those
    of earlier runs that were never pulled. Results are not deleted because a copy of them is missing."""
    earlier = {path for run in deployment.runs for path in run.spec.get("pull", ())}
    waiting = {path for run in deployment.runs if run.wants_pull for path in run.spec["pull"]}
    names = {
        path.strip("/") for path in {*earlier, *pull} if path in waiting or not (folder / path.strip("/")).exists()
    }
    return tuple(f"/{name}" for name in sorted(names - {"", "."}))


def work_dir(node: Node) -> str:
    """Where the synced folder lies on a machine, and where its runs start."""
    return f"{node.transport.base_dir}/{WORK_DIR}"


def _world(deployment: Deployment, request: RunRequest, run_id: str) -> World:
    machines = chosen(deployment, request.nodes)
    addresses = tuple(m.private_ip or (m.endpoint.host if m.endpoint else "") for m in machines)
    current = deployment.current
    gpus = math.ceil(current.offer.accelerator_count) if current is not None else 0  # a part of a GPU is seen as one
    return World(addresses, gpus, rendezvous_port(run_id))


def _start(
    ctx: Context,
    fleet: Fleet,
    deployment: Deployment,
    made: Run,
    request: RunRequest,
    requirements: tuple[str, bytes] | None,
) -> Run:
    world = _world(deployment, request, made.id)
    price = _price(deployment)

    def begin(node: Node) -> None:
        start(node.transport, _spec(node, world, price, made, request, requirements))

    has_setup = bool(request.setup.strip()) or requirements is not None
    made = run_events.setting_up(ctx, made) if has_setup else run_events.started(ctx, made)
    on_all(fleet.nodes, begin)
    return made


def _price(deployment: Deployment) -> dict[str, str]:
    current = deployment.current
    return price_environment(current.usd_per_hour, current.offer.observed_on) if current is not None else {}


def _spec(
    node: Node,
    world: World,
    price: Mapping[str, str],
    made: Run,
    request: RunRequest,
    requirements: tuple[str, bytes] | None,
) -> RunSpec:
    base = node.transport.base_dir
    setup: Setup = plan_setup(request.setup, requirements, base)
    words = launcher_words(request.launcher, request.command, world, node.rank)
    return RunSpec(
        run_dir=runs.run_dir(base, made.number),
        work_dir=work_dir(node),
        command=launched_command(words, request.command),
        env={"GPUCLOUD_RUN": made.id, **price, **rank_environment(world, node.rank), **request.env},
        secrets=request.secrets,
        setup=setup.text,
        setup_key=setup.key,
        launcher=(*within(setup.env_dir), *words),
        tty=request.tty,
    )


def pull_outputs(ctx: Context, dial: Dial, deployment: Deployment, made: Run) -> Run:
    """Fetch what the run was to bring back into the folder it came from; once."""
    if not made.wants_pull or made.state == "lost":
        return made
    folder = Path(str(made.spec["folder"]))
    with Fleet(deployment.machines[:1], dial) as fleet:
        node = fleet.nodes[0]
        missing = [path for path in made.spec["pull"] if not _pull_one(node, path, folder)]
        if not missing or made.exit_code != 0:
            _mark_pulled(node, made)
    if missing and made.exit_code == 0:
        raise SyncError(f"The command did not write {', '.join(missing)}.", "Check the paths after --pull.")
    for path in missing:
        ctx.narrate(f"{path} is not there: nothing to pull.")
    return run_events.pulled(ctx, made)


def _mark_pulled(node: Node, made: Run) -> None:
    """Tell the machine that its results are here: its own guards may delete it now."""
    marker = f"{runs.run_dir(node.transport.base_dir, made.number)}/{PULLED}"
    process = node.transport.run(through_any_shell(f": >{shell_quoted(marker)}"))
    process.end_input()
    process.wait()
    process.close()


def _pull_one(node: Node, path: str, folder: Path) -> bool:
    relative = path.strip("/") or "."
    target = folder / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        sync.pull(node.transport, f"{work_dir(node)}/{relative}", target)
    except SyncError as error:
        if error.details.get("missing"):
            return False
        raise
    return True


def on_all(nodes: Sequence[Node], work: Callable[[Node], None]) -> None:
    """`work` on every node at once; the error of the lowest rank that failed is raised, naming its node."""
    if len(nodes) == 1:
        work(nodes[0])
        return
    with ThreadPoolExecutor(min(64, len(nodes))) as pool:
        futures = {node.rank: pool.submit(work, node) for node in nodes}
    for rank, future in futures.items():
        error = future.exception()
        if isinstance(error, GpucloudError):
            error.message = f"Node {rank}: {error.message}"
        if error is not None:
            raise error


def setup_failure(made: Run) -> BootstrapError:
    """What to say when the set-up ended before the command began."""
    return BootstrapError(
        f"The set-up of {made.id} failed with exit code {made.exit_code}; the command was not started.",
        f"Read it with `gpucloud logs {made.id}`.",
    )
