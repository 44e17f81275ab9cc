"""The command line against a simulated cloud whose machines are real SSH servers."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.clouds.boots import free_port

TRAIN = """\
import os
print('rank', os.environ.get('NODE_RANK', '0'), 'price', os.environ.get('GPUCLOUD_USD_PER_HOUR'))
open('model.txt', 'w').write('weights')
"""
WAITS = {
    "POLL": "0.05",
    "POLL_MAX": "0.3",
    "SETTLE_GAP": "0.1",
    "SETTLE_QUIET": "0.5",
    "SETTLE": "3",
    "DESTROY_AGAIN": "1",
}


class Lab:
    """A simulated cloud with machines, a home, a folder to work in, and the command line.

    `up_words` ask for its usual machine; `machines` puts SSH servers behind `sim` (sim, folder, port). A command may
    take `patience_s`.
    """

    def __init__(
        self,
        folder: Path,
        sim: Any,
        machines: Callable[[Any, Path, int], Any],
        up_words: Sequence[str],
        patience_s: float = 50,
    ) -> None:
        self.home, self.work = folder / "home", folder / "work"
        self.work.mkdir()
        (self.work / "train.py").write_text(TRAIN)
        self.sim, self.port = sim, free_port("127.0.0.1")
        self.machines = machines(sim, folder / "machines", self.port)
        self._up_words, self._patience_s = (*up_words, "--ssh-user", getpass.getuser(), "--yes"), patience_s
        waits = {f"GPUCLOUD_WAIT_{name}": value for name, value in WAITS.items()}
        own = {"GPUCLOUD_HOME": str(self.home), "GPUCLOUD_SSH_PORT": str(self.port)}
        own["GPUCLOUD_SSH_FROM"] = "127.0.0.1/32"
        self.environment = {**os.environ, **sim.environ, **own, **waits}

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        """A command in the background."""
        command = [sys.executable, "-m", "gpucloud", *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.work, env={**self.environment, **more}, text=True, **pipes)

    def __call__(self, *words: str, code: int = 0, **more: str) -> str:
        """A command that ends with `code`; what it printed on both streams."""
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=self._patience_s)
        assert process.returncode == code, f"{words} ended with {process.returncode}, not {code}\n{out}\n{err}"
        assert "Traceback" not in err
        return out + err

    def json(self, *words: str, code: int = 0) -> dict:
        """The object of a command."""
        process = self.start("-o", "json", *words)
        out, err = process.communicate(timeout=self._patience_s)
        assert process.returncode == code, err
        return json.loads(out)

    def up(self, *more: str) -> None:
        """The usual machine."""
        self(*self._up_words, *more)

    def start_up(self) -> subprocess.Popen[str]:
        """The usual machine, in the background."""
        return self.start(*self._up_words)

    def left(self) -> list[str]:
        """What still exists in the cloud."""
        return self.sim.left()

    def lose_journal(self) -> None:
        """Delete `state.db`."""
        for file in self.home.glob("state.db*"):
            file.unlink()
