"""`kill -9` at every journal write and every provider call, and what is left after `ls`, `down` and `gc`.

    python tests/flows/killpoints.py CLOUD FOLDER [VERB…]

One warm process forks a child per point. The child makes a home, does the step and kills itself at point k;
the parent then cleans up with the ordinary flows: with the journal, without it, and (for `up`) after the same
`up` once more. It prints one JSON object: points per step, and every point after which something was left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpucloud.core.deployments import Present
from gpucloud.core.errors import GpucloudError, UsageError
from gpucloud.core.events import Draft
from gpucloud.core.plan import UpRequest
from gpucloud.flows import changes, down, gc, up
from gpucloud.flows.context import Clouds, Context, Waits
from gpucloud.flows.ls import ls
from gpucloud.providers import registry
from gpucloud.providers.site import Site
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal

NAME = "train"
USER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
VERBS = ("launch", "find", "destroy", "stop", "start", "extend")
NODES = 1 if os.environ.get("GPUCLOUD_FAKE_SSH") == "1" or "local" in sys.argv else 2  # servers take their time
KEPT, LOST, AGAIN = "journal kept", "journal lost", "up again"
AFTERWARDS = {"up": (KEPT, LOST, AGAIN), "run": (KEPT, LOST), "stop": (KEPT,), "start": (KEPT,), "down": (KEPT, LOST)}
WAITS = Waits(settle_gap=0.01, settle_quiet=0.03, settle=5, destroy=30, lock=5, silent=1, poll=0.01, poll_max=0.05)


@dataclass
class Tap:
    """Counts the points passed; at number `deadly` the process kills itself."""

    deadly: int = 0
    passed: list[str] = field(default_factory=list)

    def hit(self, label: str) -> None:
        self.passed.append(label)
        if len(self.passed) == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, label: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def tapped(*words: Any, **options: Any) -> Any:
            self.hit(f"before {label}")
            answer = call(*words, **options)
            self.hit(f"after {label}")
            return answer

        return tapped


class TappedJournal(Journal):
    """A journal whose writes are points."""

    tap: Tap

    def transact(self, decide: Callable[[Present], Sequence[Draft]]) -> Present:
        def listening(present: Present) -> Sequence[Draft]:
            drafts = decide(present)
            if drafts:
                self.tap.hit(f"inside {drafts[0].kind}")
            return drafts

        before = self._present.last_seq
        present = super().transact(listening)
        if present.last_seq != before:
            self.tap.hit("after commit")
        return present


class NoReadiness:
    """For clouds whose machines cannot be reached."""

    def remember(self, name: str, deployment_id: str, nodes: Any) -> None: ...

    def forget(self, name: str, deployment_id: str) -> None: ...


def open_context(cloud: str, root: Path, tap: Tap | None = None) -> Context:
    """An ordinary context of that home; with a tap, every write and call passes it."""
    home = Home(root)
    journal = TappedJournal.open(home) if tap else Journal.open(home)
    provider = registry.open_provider(cloud, Site(root, home.home_id(), dict(os.environ)))
    if tap:
        journal.tap = tap  # type: ignore[attr-defined]
        for verb in VERBS:
            if hasattr(provider, verb):
                setattr(provider, verb, tap.around(verb, getattr(provider, verb)))
    readiness, key = _reach(cloud, home)
    return Context(
        home=home,
        journal=journal,
        clouds=Clouds(Site(root, home.home_id(), {}), {cloud: provider}, only=True),
        readiness=readiness,
        public_key=key,
        waits=WAITS,
    )


def _reach(cloud: str, home: Home) -> tuple[Any, Callable[[], str]]:
    if cloud == "fake" and os.environ.get("GPUCLOUD_FAKE_SSH") != "1":
        return NoReadiness(), lambda: USER_KEY
    from gpucloud.flows.over_ssh import OverSsh, public_key

    return OverSsh(home), lambda: public_key(home)


# ---- the steps of the loop


def do_up(ctx: Context) -> None:
    cloud = ctx.clouds.usual()[0]
    offers = sorted(ctx.clouds.open(cloud).offers(), key=lambda offer: (offer.usd_per_hour or 0, offer.zone))  # type: ignore[attr-defined]
    request = UpRequest(NAME, tuple(offers[:2]), {"gpu": None}, nodes=NODES, ready_timeout_s=30)
    up.up(ctx, up.plan(ctx, request))


def do_down(ctx: Context) -> None:
    down.down(ctx, down.plan(ctx, (NAME,)))


def do_stop(ctx: Context) -> None:
    changes.stop(ctx, changes.plan_stop(ctx, NAME))


def do_start(ctx: Context) -> None:
    changes.start(ctx, changes.plan_start(ctx, NAME))


def do_run(ctx: Context) -> None:
    """Sync a folder, run a command, follow it, pull what it wrote."""
    from gpucloud.flows.follow import Follower
    from gpucloud.flows.over_ssh import dialer
    from gpucloud.flows.session import RunRequest, run

    folder = ctx.home.root / "project"
    folder.mkdir(exist_ok=True)
    (folder / "words").write_text("hello")
    log: list[bytes] = []
    dial = dialer(ctx.home)
    if isinstance(ctx.journal, TappedJournal):
        dial = ctx.journal.tap.around("dial", dial)
    request = RunRequest("cp words copy; echo done", folder, NAME, pull=("copy",), env_from="none")
    made = run(ctx, dial, request, Follower(ctx, dial, log.append))
    if made.state != "succeeded" or (folder / "copy").read_text() != "hello" or b"done\n" not in b"".join(log):
        raise SystemExit(f"the run went wrong: {made} {log}")


STEPS: dict[str, tuple[tuple[Callable[[Context], None], ...], Callable[[Context], None]]] = {
    "up": ((), do_up),
    "stop": ((do_up,), do_stop),
    "start": ((do_up, do_stop), do_start),
    "run": ((do_up,), do_run),
    "down": ((do_up,), do_down),
}


def child(cloud: str, root: Path, verb: str, tap: Tap) -> None:
    """The forked process: everything before the step without the tap, then the step itself."""
    before, step = STEPS[verb]
    ctx = open_context(cloud, root)
    for prelude in before:
        prelude(ctx)
    ctx.journal.close()
    step(open_context(cloud, root, tap))


def killed(cloud: str, root: Path, verb: str, deadly: int) -> bool:
    """Fork and let the child run into its point; False when it came through."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child(cloud, root, verb, Tap(deadly))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{verb} at point {deadly} ended with {status} by itself")
    return False


# ---- what is left


def clean_up(cloud: str, root: Path, keep_journal: bool) -> list[str]:
    """`ls --refresh`, `down`, `gc --yes`; the faults found in what they say and leave."""
    if not keep_journal:
        for path in root.glob("state.db*"):
            path.unlink()
    ctx, faults = open_context(cloud, root), []
    listing = ls(ctx, refresh=True)
    if listing.error is not None:
        faults.append(f"ls --refresh: {listing.error.message}")
    faults += _down(ctx)
    time.sleep(0.05)
    result = gc.gc(ctx, gc.plan_gc(ctx))
    if result.error is not None or result.plan.orphans:
        faults.append(f"gc: {result.plan.orphans} {result.error}")
    faults += _open_events(ctx) + _left_at_cloud(ctx, cloud) + _left_here(ctx)
    ctx.journal.close()
    return faults


def _down(ctx: Context) -> list[str]:
    """`down NAME`, where an unknown name (exit 2) is only right when nothing exists."""
    known = bool(ctx.journal.present().deployments)
    try:
        result = down.down(ctx, down.plan(ctx, (NAME,)))
    except UsageError as error:
        return [f"down: {error.message}"] if known else []
    except GpucloudError as error:
        return [f"down: {error.message}"]
    return [f"down: {result.error.message} {result.error.hint}"] if result.error is not None else []


def _open_events(ctx: Context) -> list[str]:
    deployments = ctx.journal.present().deployments.values()
    left = [f"{item.id} is {item.state}" for item in deployments if not item.closed or item.open_attempts]
    runs = [f"run {run.id} is {run.state}" for item in deployments for run in item.runs if run.open]
    return left + runs


def _left_at_cloud(ctx: Context, cloud: str) -> list[str]:
    return [f"{item.kind} {item.id}" for item in ctx.clouds.open(cloud).find(None).resources]


def _left_here(ctx: Context) -> list[str]:
    root = ctx.home.root
    files = [path.name for path in root.glob("keys/proof-*")] + [
        path.name for path in root.glob("local/*") if path.is_dir()
    ]
    processes = [
        entry.name
        for entry in Path("/proc").glob("[0-9]*")
        if int(entry.name) != os.getpid() and _mentions(entry / "cmdline", str(root))
    ]
    return [f"file {name}" for name in files] + [f"process {name}" for name in processes]


def _mentions(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return False


def up_again(cloud: str, root: Path) -> list[str]:
    """After a killed `up`, the same `up` goes on, and there is one set of machines."""
    ctx = open_context(cloud, root)
    faults = []
    try:
        do_up(ctx)
    except GpucloudError as error:
        faults.append(f"up again: {error.message}")
    machines = [item.id for item in ctx.clouds.open(cloud).find(None).resources if item.kind == "machine"]
    ctx.journal.close()
    return faults if len(machines) == NODES else [*faults, f"up again: machines {machines}"]


def main(cloud: str, folder: Path, verbs: Sequence[str]) -> dict[str, Any]:
    """Every point of every step, with and without the journal."""
    points: dict[str, int] = {}
    leaks: list[dict[str, Any]] = []
    for verb in verbs:
        for after in AFTERWARDS[verb]:
            number = 1
            while True:
                root = folder / f"{verb}-{number}-{after}"
                came_through = not killed(cloud, root, verb, number)
                faults = up_again(cloud, root) if after == AGAIN else []
                faults += clean_up(cloud, root, after != LOST)
                if faults:
                    leaks.append({"verb": verb, "point": number, "after": after, "faults": faults})
                shutil.rmtree(root)
                if came_through:
                    break
                points[verb] = points.get(verb, 0) + 1
                number += 1
    return {"points": points, "leaks": leaks}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:] or list(STEPS)), indent=1))
