"""From the words of `run` to the request that `flows.session` carries out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpucloud.core.errors import UsageError
from gpucloud.core.task import Sync, Task

if TYPE_CHECKING:
    from gpucloud.core.wire import Secret
    from gpucloud.flows.session import RunRequest


@dataclass(frozen=True, kw_only=True)
class RunWords:
    """A task and what only `run` takes. `folder` None syncs the task's; `nodes` None means all of them."""

    task: Task
    command: tuple[str, ...] = ()
    folder: Path | None = None
    no_sync: bool = False
    exclude: tuple[str, ...] = ()
    nodes: str | None = None
    tty: bool = False
    detach: bool = False
    one_shot: bool = False

    def request(self, deployment: str | None) -> RunRequest:
        """The request for this deployment; None is the only one. Raises UsageError for words that make no sense."""
        from gpucloud.flows.session import RunRequest

        task = self.task
        return RunRequest(
            command=self._command(),
            folder=Path.cwd(),
            deployment=deployment,
            sync=self._sync(),
            env=task.env,
            secrets=self._secrets(),
            pull=task.pull,
            setup=task.setup,
            env_from=task.env_from,
            launcher=task.launcher,
            nodes=self.nodes,
            tty=self.tty,
            detach=self.detach,
            one_shot=self.one_shot,
        )

    def _command(self) -> str | tuple[str, ...]:
        """One word is shell text, several are passed on as they are; without any the task's `run:`."""
        from gpucloud.core.launcher import plain_words

        if len(self.command) > 1:
            return self.command
        words = "".join(self.command) or plain_words(self.task.run.strip())
        if not words:
            raise UsageError(
                "There is no command to run.",
                "Give one, as in `gpucloud run python train.py`, or `run:` in gpucloud.yaml.",
            )
        return words

    def _sync(self) -> Sync | None:
        if self.no_sync:
            return None
        path = str(self.folder) if self.folder is not None else self.task.sync.path
        return Sync(path, (*self.task.sync.exclude, *self.exclude))

    def _secrets(self) -> dict[str, Secret]:
        from gpucloud.core.wire import Secret

        missing = [key for key in self.task.secrets if key not in os.environ]
        if missing:
            raise UsageError(
                f"The secret {missing[0]} is not set here.", f"Set it in the environment: export {missing[0]}=VALUE"
            )
        return {key: Secret(os.environ[key]) for key in self.task.secrets}


def environment(texts: list[str]) -> dict[str, str]:
    """Variables from the words of `--env`: KEY=VALUE, or KEY for its value here. Raises UsageError."""
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
