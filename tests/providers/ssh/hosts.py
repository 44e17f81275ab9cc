"""The lease scripts run directly in a folder that plays the login home: fast, and any account can play a part."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpucloud.providers.ssh.script import script_text
from gpucloud.providers.ssh.sight import Sight, parsed

TEMPLATES = Path(__file__).parents[3] / "templates"
SHELL = ("sh", "-c", 'eval "$(cat)"')  # what the driver's command line comes to


@dataclass
class Account:
    """One login on a host. `become` are the words before a command that let it be another Unix user."""

    home: Path
    shelf: Path
    become: tuple[str, ...] = ()
    shell: tuple[str, ...] = SHELL
    grace_s: int = 30
    path: str = os.environ["PATH"]

    def clock_ahead(self, seconds: int) -> None:
        """Let the host's clock be that much later from now on, for this account."""
        folder = self.shelf.parent / f"clock-{seconds}"
        folder.mkdir(exist_ok=True)
        (folder / "date").write_text(f"#!/bin/sh\necho $(($(PATH={os.defpath} date +%s) + {seconds}))\n")
        (folder / "date").chmod(0o755)
        self.path = f"{folder}:{self.path}"

    def ask(self, verb: str, deployment: str, **variables: str) -> list[str]:
        """The lines of a script after its start mark; the closing `done` is checked and left out."""
        given = {
            "shelf": str(self.shelf),
            "id": deployment,
            "dir": deployment,
            "token": "",
            "payload": "-",
            "grace": str(self.grace_s),
            **variables,
        }
        text = script_text(TEMPLATES, verb, given)
        process = subprocess.run(
            [*self.become, *self.shell],
            input=text,
            cwd=self.home,
            env={"PATH": self.path, "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        _, mark, answer = process.stdout.partition("\ngpucloud:start \n")
        assert mark, (process.stdout, process.stderr)
        lines = answer.splitlines()
        if not lines[-1].startswith("fail "):
            assert lines.pop() == "done", (lines, process.stderr)
        return lines

    def take(
        self, deployment: str, want: int, gpus: Sequence[int] = (0, 1, 2, 3), left: str = "3600", **more: str
    ) -> list[int] | None:
        """The numbers of the GPUs got; None when there are not enough."""
        eligible = more.pop("eligible", " ".join(f"{index}:-" for index in gpus))
        words = {"token": f"{deployment}-t", "eligible": eligible, "want": str(want), "left": left, "smi": "no", **more}
        answer = self.ask("take", deployment, **words)
        if answer[0] == "full":
            return None
        assert answer[-1].startswith("took "), answer
        return [int(number) for number in answer[-1].split(" ")[2].split(",") if number]

    def free(self, deployment: str) -> None:
        assert self.ask("free", deployment) == []

    def look(self) -> Sight:
        return parsed(self.ask("look", "", dir="-"))
