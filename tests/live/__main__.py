"""`make live-aws|live-gcp|live-azure`: the whole loop on a real account, for cents; whatever happens is removed.

    python -m tests.live CLOUD

It takes the credentials that the cloud's own tools use, a home of its own in a temporary folder, and one small
machine without GPU at a time. Every machine carries a deadline of half an hour from its boot on. Each step prints
what it proves; the last lines say what was spent at most and that nothing is left. The exit code is 0 only then.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST_S = 1200.0
KILLED_AFTER_S = "0.5 2 6 15"  # while nothing is sent yet, while it is made, while it boots; LIVE_KILLED_AFTER_S


class Live:
    """One account, one home: commands of gpucloud in processes of their own."""

    def __init__(self, cloud: str, folder: Path) -> None:
        self.cloud, self.home, self.work = cloud, folder / "home", folder / "work"
        self.work.mkdir(parents=True)
        self.environ = {**os.environ, "GPUCLOUD_HOME": str(self.home), "PYTHONPATH": str(Path.cwd())}
        self.spent = 0.0

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A module of ours in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", *words], cwd=self.work, env=self.environ, text=True, stdout=subprocess.PIPE
        )

    def __call__(self, *words: str, code: int | None = 0) -> str:
        """A command of gpucloud; SystemExit when it ends with another code (None: any)."""
        process = self.start("gpucloud", *words)
        out, _ = process.communicate(timeout=LONGEST_S)
        if code is not None and process.returncode != code:
            raise SystemExit(f"gpucloud {' '.join(words)} ended with {process.returncode}, not {code}:\n{out}")
        return out

    def json(self, *words: str, code: int | None = 0) -> dict[str, Any]:
        """The same, read as JSON."""
        body: dict[str, Any] = json.loads(self("-o", "json", *words, code=code))
        return body

    def up(self, name: str) -> None:
        """One small machine; SystemExit when it does not come up."""
        process = self.start("tests.live.up_one", self.cloud, name)
        process.communicate(timeout=LONGEST_S)
        if process.returncode:
            raise SystemExit(f"{name} did not come up: {process.returncode}")

    def left(self) -> list[str]:
        """What the cloud still shows of this home, whoever owns it."""
        orphans = self.json("gc", "--dry-run", code=None)["orphans"]
        ours = (self.home / "home_id").read_text().strip() if (self.home / "home_id").exists() else ""
        return [f"{o['kind']} {o['id']}" for o in orphans if ours and o["tags"].get("gpucloud-home") == ours]

    def lose_journal(self) -> None:
        """As after a crash of the disk; what was spent until then is remembered here."""
        self.note_cost()
        for path in self.home.glob("state.db*"):
            path.unlink()

    def note_cost(self) -> None:
        """Add what the journal says was spent, by prices that are certainly too high."""
        self.spent += self.json("cost")["total_usd"] or 0.0


def names() -> Iterator[str]:
    """Names that no other live test has at the same time."""
    word = f"live-{secrets.token_hex(3)}"
    number = 0
    while True:
        number += 1
        yield f"{word}-{number}"


def loop(live: Live, name: str) -> None:
    """up → run → pull → extend → stop → start → down, with the command's own exit code."""
    live.up(name)
    live("run", "--on", name, "--no-sync", "--pull", "note", "hostname > note; exit 3", code=3)
    assert (live.work / "note").read_text().strip(), "the output was not pulled"
    before = live.json("ls", name)["deployments"][0]["deadline_at"]
    assert live.json("extend", name, "10m", "--yes")["deployments"][0]["deadline_at"] > before
    live("stop", name, "--yes")
    live("start", name, "--max-hours", "0.5", "--yes")
    assert live("exec", name, "--", "echo back").strip() == "back"
    live("down", name, "--yes")


def killed(live: Live, name: str, after_s: float) -> None:
    """`up` killed with SIGKILL after that time; then `down` leaves nothing."""
    process = live.start("tests.live.up_one", live.cloud, name)
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    live("ls", "--refresh", code=None)
    until_down(live, name)


def without_journal(live: Live, name: str) -> None:
    """A lost `state.db`: `down` finds the machine by its tags."""
    live.up(name)
    live.lose_journal()
    until_down(live, name)


def until_down(live: Live, name: str) -> None:
    """`down` until it says that nothing bills: an unanswered request takes a quarter of an hour to be certain."""
    end = time.monotonic() + LONGEST_S
    while True:
        process = live.start("gpucloud", "down", name, "--yes")
        process.communicate(timeout=LONGEST_S)
        if process.returncode in (0, 2):  # 2: nobody ever heard of it
            return
        if time.monotonic() > end:
            raise SystemExit(f"down {name} ended with {process.returncode}")
        time.sleep(30)


@contextmanager
def removed(live: Live) -> Iterator[None]:
    """Whatever the block does, in the end nothing of this home is left; SystemExit names what is."""
    try:
        yield
    finally:
        live("down", "--all", "--yes", code=None)
        live.note_cost()
        if live.left():
            live("gc", "--yes", *ids(live), code=None)
        left = live.left()
        print(f"spent at most {live.spent:.2f} USD; left: {', '.join(left) or 'nothing'}", flush=True)
        if left:
            raise SystemExit(9)


def ids(live: Live) -> list[str]:
    """The words for `gc` that name what is left."""
    return [words.split(" ", 1)[1] for words in live.left()]


def main(cloud: str) -> None:
    """All steps on one account."""
    with tempfile.TemporaryDirectory(prefix="gpucloud-live-") as folder:
        live, name = Live(cloud, Path(folder)), names()
        live("check", cloud)
        kills = [float(word) for word in os.environ.get("LIVE_KILLED_AFTER_S", KILLED_AFTER_S).split()]
        with removed(live):
            steps: list[tuple[str, Callable[[], None]]] = [
                ("the whole loop", lambda: loop(live, next(name))),
                *((f"killed after {s:g} s", lambda s=s: killed(live, next(name), s)) for s in kills),
                ("the journal lost", lambda: without_journal(live, next(name))),
            ]
            for title, step in steps:
                begun = time.monotonic()
                step()
                print(f"{title}: passed in {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
