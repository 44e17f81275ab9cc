"""The runs of a machine as its guards see them: is anything running, end it, was everything pulled."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from gpucloud.core.wire import RUNS_DIR
from gpucloud.hostside.machine import Machine, log

ServeVerb = Callable[[str, Mapping[str, Any], BinaryIO, BinaryIO, BinaryIO, Machine], int]
PULLED_FILE = "pulled"  # in a run's folder: the client has its outputs
ACTIVE = (b"running", b"setup")


class Work:
    """The machine's runs, through the same verbs that clients use."""

    def __init__(self, machine: Machine, serve_verb: ServeVerb) -> None:
        self._machine = machine
        self._serve_verb = serve_verb

    def folders(self) -> list[Path]:
        """One folder per run."""
        runs = self._machine.base / RUNS_DIR
        return sorted(path for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []

    def running(self) -> list[Path]:
        """The runs that have not ended. Raises RuntimeError when the machine cannot tell."""
        folders = self.folders()
        if not folders:
            return []
        lines = self._ask("status", {"runs": [str(path) for path in folders]}).splitlines()
        states = [line.split()[0] for line in lines if line.strip() and not line.startswith(b"gpucloud:")]
        if len(states) != len(folders):
            raise RuntimeError(f"{len(folders)} runs, but {len(states)} states")
        return [path for path, state in zip(folders, states, strict=True) if state in ACTIVE]

    def unpulled(self) -> int:
        """How many runs have outputs that no client has pulled yet."""
        return sum(not (path / PULLED_FILE).exists() for path in self.folders())

    def end(self, grace_s: float) -> None:
        """Interrupt every run, after `grace_s` terminate, after another `grace_s` kill."""
        for signal in ("INT", "TERM", "KILL"):
            running = self.running()
            for path in running:
                log(f"{signal} to run {path.name}")
                self._ask("signal", {"run": str(path), "signal": signal})
            patience_ends = time.monotonic() + grace_s
            while running and time.monotonic() < patience_ends:
                time.sleep(0.05)
                running = self.running()
            if not running:
                return

    def _ask(self, verb: str, args: Mapping[str, Any]) -> bytes:
        answer, complaint = io.BytesIO(), io.BytesIO()
        code = self._serve_verb(verb, args, io.BytesIO(), answer, complaint, self._machine)
        if code:
            raise RuntimeError(f"{verb} ended with {code}: {complaint.getvalue().decode(errors='replace')}")
        return answer.getvalue()
