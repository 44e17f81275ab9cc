"""`kill -9` after every call that a simulated cloud has served, and around every journal write.

    python -m tests.clouds.killpoints CLOUD FOLDER

One warm process holds the simulator and forks a child per point. The child does the step; the simulator kills it
when the call has had its effect and before the answer is sent, or the child kills itself at its journal write. Then
the parent cleans up as after any fault. It prints one JSON object: points, problems by point, resources leaked.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from tests.clouds.matrix import Case, Matrix
from tests.clouds.worlds import open_world
from tests.flows.killpoints import Tap, TappedJournal

PATIENCE_S, TRIES = 20.0, 3


class Deaths(Matrix):
    """The matrix whose faults are deaths."""

    def die_after_call(self, case: Case, number: int) -> bool:
        """Kill at the numbered call; False when the step made fewer."""
        server = self.world.server
        child: list[int] = []

        def strike(label: str) -> None:
            if child and len(server.calls) >= number:
                os.kill(child[0], signal.SIGKILL)

        return self._one(case, f"killed after call {number}", 0, child, strike)

    def die_at_write(self, case: Case, number: int) -> bool:
        """Kill at the numbered point around journal writes; False when the step passed fewer."""
        return self._one(case, f"killed at journal point {number}", number, [], lambda label: None)

    def _one(self, case: Case, what: str, deadly: int, child: list[int], strike: object) -> bool:
        """One point; a child that hangs at a lock it inherited from one of our threads is tried again."""
        for _ in range(TRIES):
            child.clear()
            died = self._tried(case, what, deadly, child, strike)
            if died is not None:
                return died
        self.tally.problems[f"{case.step} {what}"] = [f"no child of {TRIES} ended within {PATIENCE_S:.0f} s"]
        return True

    def _tried(self, case: Case, what: str, deadly: int, child: list[int], strike: object) -> bool | None:
        """Whether the child died at its point; None when it hung."""
        self._number += 1
        root = self.folder / f"k{self._number}"
        server = self.world.server
        if case.step == "down":
            ctx = self.context(root, case)
            self.up(ctx, case)
            ctx.journal.close()
        server.forget_calls()
        server.after_call = strike  # type: ignore[assignment]
        pid = os.fork()
        if pid == 0:
            self._in_child(root, case, deadly)
        child.append(pid)
        hung = threading.Event()
        watchdog = threading.Timer(PATIENCE_S, lambda: (hung.set(), os.kill(pid, signal.SIGKILL)))
        watchdog.daemon = True
        watchdog.start()
        _, status = os.waitpid(pid, 0)
        watchdog.cancel()
        server.after_call = lambda label: None
        if hung.is_set():
            self._clean_up(root, case)
            return None
        died = os.WIFSIGNALED(status)
        problems = [] if died or status == 0 else [f"it ended with {status} by itself"]
        if died:
            problems += self._clean_up(root, case)
            left = self.world.left()
            self.tally.cases += 1
            self.tally.leaked += len(left)
            problems += [f"left: {name}" for name in left]
        elif case.step == "up":
            self._clean_up(root, case)
        if problems:
            self.tally.problems[f"{case.step} {what} ({server.calls[-1:]})"] = problems
        return died

    def _in_child(self, root: Path, case: Case, deadly: int) -> None:
        code = 1
        try:
            self.world.disconnect()
            ctx = self.context(root, case)
            if deadly:
                ctx.journal.close()
                journal = TappedJournal.open(ctx.home, clock=self.world.clock)
                journal.tap = Tap(deadly)  # type: ignore[attr-defined]
                ctx = replace(ctx, journal=journal)
            (self.up(ctx, case) if case.step == "up" else self.down(ctx))
            code = 0
        except BaseException as error:
            print(f"{case.step}: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)


def main(cloud: str, folder: Path) -> dict[str, object]:
    """Every point of `up` and `down`."""
    world = open_world(cloud, folder / "cloud")
    deaths = Deaths(world, folder)
    try:
        for step in ("up", "down"):
            case = Case(step, None)
            deaths.calls(case)  # warm: libraries, connections, the clock of the simulator
            for die in (deaths.die_after_call, deaths.die_at_write):
                number = 1
                while die(case, number):
                    number += 1
    finally:
        world.close()
    tally = deaths.tally
    return {"points": tally.cases, "problems": tally.problems, "leaked": tally.leaked}


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "CLOUDSDK_", "AZURE_"))]:
        del os.environ[name]
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2])), indent=1))
