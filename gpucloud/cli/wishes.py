"""From the words of `up` and `run --gpu` to a request: the task's layers, the candidates, the name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpucloud.cli import taskfile
from gpucloud.cli.address import ssh_from
from gpucloud.cli.outside import home
from gpucloud.core.task import Task, parse_fields
from gpucloud.core.units import duration_s

if TYPE_CHECKING:
    from gpucloud.core.offers import Offer
    from gpucloud.core.plan import UpRequest
    from gpucloud.flows.context import Context

WITHOUT_NETWORK = ("local", "ssh", "fake")  # there is no firewall of ours: no address to let in


@dataclass(frozen=True)
class Wishes:
    """A task and what only `up` takes."""

    task: Task
    options: Mapping[str, str]
    zone: str = ""
    instance_type: str = ""
    wait_capacity_s: float = 0.0
    timeout_s: float = 900.0
    keep: bool = False
    one_shot: bool = False

    @classmethod
    def of(
        cls,
        flags: Mapping[str, Any],
        options: Mapping[str, str | None],
        file: Path | None,
        zone: str | None,
        instance_type: str | None,
        wait_capacity: str | None,
        timeout: str,
        keep: bool,
    ) -> Wishes:
        """Parse everything that can be wrong in the words. Raises UsageError."""
        given = parse_fields({key: value for key, value in flags.items() if value is not None}, "the command line")
        given = {key: _commas(value) if key in ("clouds", "regions", "gpu") else value for key, value in given.items()}
        task = taskfile.load(given, file, home().config_file, Path.cwd())
        return cls(
            task=task,
            options={key: value for key, value in options.items() if value},
            zone=zone or "",
            instance_type=instance_type or "",
            wait_capacity_s=duration_s(wait_capacity, "--wait-capacity") if wait_capacity else 0.0,
            timeout_s=duration_s(timeout, "--timeout", bare="m"),
            keep=keep,
        )

    @property
    def name(self) -> str:
        """The name given, else one made from the folder's."""
        return self.task.name or name_from(Path.cwd().name)

    def asked(self) -> dict[str, Any]:
        """The words that decide whether a second `up` means the same."""
        fields = ("gpu", "clouds", "regions", "market", "nodes", "image", "disk_gib")
        task = asdict(self.task)
        asked = {key: list(task[key]) if isinstance(task[key], tuple) else task[key] for key in fields}
        return {**asked, "zone": self.zone, "instance_type": self.instance_type, "options": dict(self.options)}

    def request(self, ctx: Context, dry_run: bool) -> UpRequest:
        """The request with its candidates in order. Raises NothingFits when there are none."""
        from gpucloud.cli.candidates import candidates
        from gpucloud.core.plan import UpRequest

        task = self.task
        offers = candidates(ctx, self)
        at_end = task.at_end or ("delete" if self.one_shot else "")
        return UpRequest(
            name=self.name,
            offers=offers,
            asked=self.asked(),
            nodes=task.nodes,
            image=task.image,
            disk_gib=task.disk_gib,
            max_s=task.max_hours * 3600,
            budget_usd=task.budget_usd,
            idle_s=task.idle_min * 60,
            at_end=at_end,
            ssh_from=self._ssh_from(offers, dry_run),
            options=self._options(),
            tags=task.tags,
            ready_timeout_s=self.timeout_s,
            wait_capacity_s=self.wait_capacity_s,
            keep=self.keep,
            one_shot=self.one_shot,
        )

    def _options(self) -> dict[str, str]:
        """With the word for a driver whose cloud decides at launch whether a machine may end for good."""
        decided = not self.one_shot or bool(self.task.at_end)
        return {**self.options} if decided else {**self.options, "one-shot": "yes"}

    def _ssh_from(self, offers: tuple[Offer, ...], dry_run: bool) -> tuple[str, ...]:
        if all(offer.cloud in WITHOUT_NETWORK for offer in offers):
            return ()
        return ssh_from(self.task.ssh_from, ask=not dry_run)


def _commas(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.strip() for item in value for part in item.split(",") if part.strip())


def name_from(folder: str) -> str:
    """A legal deployment name made from a folder's."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.casefold()).strip("-")[:31].rstrip("-")
    if not name:
        return "train"
    return name if name[0].isalpha() else f"x{name}"[:31]
