"""Every call of a clean `up` and `down` goes wrong in every way, and what is left after the ordinary clean-up.

A case is one call and one kind of fault. The step runs in this process through the flows, on the simulator's clock;
then the cloud is well again, and a fresh command does `ls --refresh`, `down` and `gc --yes`. Whatever is left in the
simulator, an answer that hides it, a traceback, or an exit code that says "our bug" is a problem of that case.
"""

from __future__ import annotations

import re
import shutil
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpucloud.core.cloud import Resource
from gpucloud.core.errors import GpucloudError, Unreachable, UsageError
from gpucloud.core.plan import UpRequest
from gpucloud.flows import down, gc, up
from gpucloud.flows.context import Clouds, Context, Waits
from gpucloud.flows.ls import ls
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal
from tests.clouds.http import Fault, labels_of
from tests.clouds.worlds import World

NAME = "train"
USER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
# Of the clouds' clock, which sleeping moves. Every look is a real call, so they are few: each patience still holds
# several looks, and `settle` is longer than `settle_quiet`, so that `down` itself sees doubt end.
WAITS = Waits(
    settle_gap=2,
    settle_quiet=30,
    settle=40,
    destroy=90,
    destroy_again=30,
    silent=10,
    lock=5,
    throttle=12,
    poll=4,
    poll_max=15,
)
READY_S = 90
LATER_S = 4000.0  # for `gc`, which leaves young things alone
_CHANGES = re.compile(
    r"insert|delete|patch|set[A-Z]|^(Run|Create|Delete|Terminate|Authorize|Put)|PUT|POST|PATCH|DELETE"
)
NTH_AT_MOST = 2  # calls of one label beyond this are the same look again


@dataclass
class Ready:
    """Proves every machine that has an address and shows the GPU that was ordered; `spoil` comes first."""

    gpu: str
    spoil: Callable[[Resource], None] = lambda resource: None

    def prove(self, resource: Resource, proof_token: str, deployment_id: str) -> str:
        self.spoil(resource)
        if resource.endpoint is None:
            raise Unreachable("no address yet.")
        return f"ssh-ed25519 AAAA{resource.id}"

    def gpus(self, resource: Resource) -> Sequence[str]:
        return (f"GPU 0: NVIDIA {self.gpu} (UUID: GPU-0)",)

    def greet(self, resource: Resource) -> None: ...

    def set_deadline(self, resource: Resource, deployment_id: str, deadline_epoch_s: float | None) -> bool:
        return True

    def remember(self, name: str, deployment_id: str, nodes: Sequence[Resource]) -> None: ...

    def forget(self, name: str, deployment_id: str) -> None: ...


@dataclass
class Case:
    """What is done and what goes wrong: `fault` None is the clean run."""

    step: str  # up, down
    fault: Fault | None
    nodes: int = 1
    market: str = "on-demand"
    lose_journal: bool = False
    spoil: str = ""  # "taken": spot machines are taken back before they are ready

    def __str__(self) -> str:
        what = f"{self.fault.kind} at {self.fault.call} #{self.fault.nth}" if self.fault else "nothing wrong"
        more = f", N={self.nodes}" * (self.nodes > 1) + f", {self.market}" * (self.market != "on-demand")
        return f"{self.step}: {what}{more}{', journal lost' * self.lose_journal}"


@dataclass
class Tally:
    """How many cases there were, and the problems of each that had some."""

    cases: int = 0
    struck: int = 0  # cases whose fault met its call; the others were spared, as the step took another way
    leaked: int = 0
    problems: dict[str, list[str]] = field(default_factory=dict)

    def add(self, case: Case, problems: list[str], leaked: int) -> None:
        self.cases += 1
        self.leaked += leaked
        if problems:
            self.problems[str(case)] = problems


class Matrix:
    """One simulated cloud, and a folder for the homes of the cases."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        world.server.slow_s = 0.05
        self.tally = Tally()
        self._number = 0
        self._said: list[str] = []

    # ---- the commands, each with a context of its own as a process would have

    def context(self, root: Path, case: Case) -> Context:
        home = Home(root)
        world = self.world
        site = world.site(root, home.home_id())
        offer = world.offers(case.market)[0]
        ready = Ready(offer.accelerator)
        if case.spoil == "taken":
            ready.spoil = _once(world.take_back)
        journal = Journal.open(home, clock=world.clock)
        journal._connection.execute("PRAGMA synchronous=OFF")  # a power cut is none of these faults
        return Context(
            home=home,
            journal=journal,
            clouds=Clouds(site, {world.cloud: world.open_driver(site)}, only=True),
            readiness=ready,
            public_key=lambda: USER_KEY,
            narrate=self._said.append,
            waits=WAITS,
            clock=world.clock,
            sleep=world.sleep,
        )

    def up(self, ctx: Context, case: Case) -> None:
        request = UpRequest(
            NAME,
            self.world.offers(case.market),
            {"gpu": None},
            nodes=case.nodes,
            ssh_from=("203.0.113.7/32",),
            ready_timeout_s=READY_S,
        )
        up.up(ctx, up.plan(ctx, request))

    def down(self, ctx: Context) -> None:
        result = down.down(ctx, down.plan(ctx, (NAME,)))
        if result.error is not None:
            raise result.error

    # ---- one case

    def run(self, case: Case) -> None:
        """Do it and add what came of it to the tally."""
        self._number += 1
        root = self.folder / str(self._number)
        self._said = []
        world = self.world
        ctx = self.context(root, case)
        try:
            if case.step == "down":
                self.up(ctx, case)
            world.server.forget_calls()
            world.server.struck = 0
            world.server.faults[:] = [case.fault] if case.fault else []
            problems = self._faulted(ctx, case)
        finally:
            ctx.journal.close()
            world.server.heal()
        problems += self._clean_up(root, case)
        left = world.left()
        problems += [f"left: {name}" for name in left]
        self.tally.struck += bool(world.server.struck) or case.fault is None
        self.tally.add(case, problems + (self._said if problems else []), len(left))
        shutil.rmtree(root)
        assert not left, f"{case}: the next case would begin with {left}\n" + "\n".join(problems + self._said)

    def _faulted(self, ctx: Context, case: Case) -> list[str]:
        """The step itself: only a sentence may come out of it, and a good end must be true."""
        work = (lambda: self.up(ctx, case)) if case.step == "up" else (lambda: self.down(ctx))
        problems, error = attempt(work)
        if error is not None:
            return problems
        left = self.world.left()
        machines = [name for name in left if name.startswith(("machine", "instance", "vm", "virtualMachine"))]
        if case.step == "up" and len(machines) != case.nodes:
            problems.append(f"`up` ended well with {machines}")
        if case.step == "down" and left:
            problems.append(f"`down` ended well with {left}")
        return problems

    def _clean_up(self, root: Path, case: Case) -> list[str]:
        """`ls --refresh`, `down`, and where that says "later", `down` later; then `gc --yes`."""
        if case.lose_journal:
            for path in root.glob("state.db*"):
                path.unlink()
        ctx = self.context(root, case)
        try:
            listing = ls(ctx, refresh=True)
            problems = [] if listing.error is None else [f"ls --refresh: {listing.error.message}"]
            known = bool(ctx.journal.present().deployments)
            found, error = attempt(lambda: self.down(ctx))
            if error is not None and error.exit_code == 9:
                self.world.advance(60)
                found, error = attempt(lambda: self.down(ctx))
            if error is not None and (known or not isinstance(error, UsageError)):
                problems.append(f"down: {error.exit_code} {error.message} {error.hint}")
            if known or not case.lose_journal:
                problems += [f"down left: {name}" for name in self.world.left()]
            self.world.advance(LATER_S)
            result = gc.gc(ctx, gc.plan_gc(ctx, clouds=(self.world.cloud,)))
            if result.error is not None:
                problems.append(f"gc: {result.error.message}")
            present = ctx.journal.present().deployments.values()
            problems += [f"{one.id} is {one.state}" for one in present if not one.closed or one.open_attempts]
            return found + problems
        finally:
            ctx.journal.close()

    # ---- many cases

    def calls(self, case: Case, nth_at_most: int = NTH_AT_MOST) -> list[tuple[str, int]]:
        """The calls of the clean step, each as (label, which one of that label)."""
        ctx_root = self.folder / "clean"
        ctx = self.context(ctx_root, case)
        try:
            if case.step == "down":
                self.up(ctx, case)
            self.world.server.forget_calls()
            (self.up(ctx, case) if case.step == "up" else self.down(ctx))
            made = list(self.world.server.calls)
            if case.step == "up":
                self.down(ctx)
        finally:
            ctx.journal.close()
            shutil.rmtree(ctx_root)
        left = self.world.left()
        assert not left, f"a clean {case.step} and down leave {left}"
        return [(label, nth) for label, nth in labels_of(made) if nth <= nth_at_most]

    @staticmethod
    def changes(label: str) -> bool:
        """Whether a call of that name makes or removes something."""
        return _CHANGES.search(label) is not None

    def sweep(self, kinds: Sequence[str], steps: Sequence[str] = ("up", "down"), **more: Any) -> None:
        """Every call of every step with every kind. A call that changes nothing is the same before and after."""
        for step in steps:
            for label, nth in self.calls(Case(step, None, **more)):
                for kind in kinds:
                    if kind.endswith("_before") and not self.changes(label):
                        continue
                    self.run(Case(step, Fault(label, kind, nth), **more))


def attempt(work: Callable[[], None]) -> tuple[list[str], GpucloudError | None]:
    """The problems of a command, and how it ended: None is exit 0."""
    try:
        work()
    except GpucloudError as error:
        return ([f"our bug: {error.message} {_where(error)}"] if error.exit_code == 1 else []), error
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        return [f"traceback: {words} {_where(error)}"], GpucloudError(words)
    return [], None


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " < ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in reversed(frames))


def _once(take_back: Callable[[str], None]) -> Callable[[Resource], None]:
    """The first machine that is asked for its proof is taken back, and never answers."""
    taken: list[str] = []

    def spoil(resource: Resource) -> None:
        if not taken:
            taken.append(resource.id)
            take_back(resource.id)
        if resource.id in taken:
            raise Unreachable("it is gone.")

    return spoil
