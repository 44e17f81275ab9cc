"""`ls`: what there is, from the journal alone or after a look at the clouds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpucloud.core.answers import deployment_json
from gpucloud.core.deployments import Deployment
from gpucloud.core.errors import CleanupIncomplete, GpucloudError, WaitTimeout
from gpucloud.core.plan import find_deployment
from gpucloud.flows.at_once import at_once
from gpucloud.flows.context import Context
from gpucloud.flows.looks import Place
from gpucloud.flows.refresh import refresh_one
from gpucloud.state.locks import holder


@dataclass(frozen=True)
class Row:
    """One deployment as `ls` shows it. `state` also knows whether a command is at work on it now."""

    deployment: Deployment
    state: str
    busy: str = ""  # the command that holds its lock


@dataclass(frozen=True)
class Listing:
    """The rows, and the used regions that could not be asked (cloud, region) → why."""

    rows: tuple[Row, ...]
    unscanned: Mapping[Place, str] = field(default_factory=dict)
    refreshed: bool = False

    @property
    def error(self) -> GpucloudError | None:
        """Exit 9 when a region that was used did not answer: it is not known to be empty."""
        if not self.unscanned:
            return None
        places = ", ".join(f"{cloud} {region} ({why})" for (cloud, region), why in self.unscanned.items())
        return CleanupIncomplete(f"Not asked, so not known: {places}.", "Run `gpucloud ls --refresh` again later.")

    def as_json(self, now: float) -> list[dict[str, Any]]:
        """`deployments` of the outward contract."""
        return [deployment_json(row.deployment, now, row.state) for row in self.rows]


def ls(ctx: Context, names: Sequence[str] = (), *, refresh: bool = False, everything: bool = False) -> Listing:
    """Live deployments and the ones that ended by themselves; all of them with `everything`."""
    present = ctx.journal.present()
    chosen = [find_deployment(present, name) for name in names] if names else list(present.deployments.values())
    unscanned = _refreshed(ctx, [item for item in chosen if not item.closed]) if refresh else {}
    now = ctx.journal.present().deployments
    shown = [now[item.id] for item in chosen]
    rows = [row_of(ctx, item) for item in shown if names or everything or _worth_showing(item, shown)]
    return Listing(tuple(rows), unscanned, refresh)


def _refreshed(ctx: Context, deployments: Sequence[Deployment]) -> Mapping[Place, str]:
    """Ask the clouds about all of them at once; the used regions that did not answer, with why."""
    unscanned: dict[Place, str] = {}
    answers = at_once(lambda item: refresh_one(ctx, item.id), deployments, 2 * ctx.waits.cloud)
    for deployment, answer in zip(deployments, answers, strict=True):
        if isinstance(answer.error, WaitTimeout):
            late = [(cloud, region) for (cloud, _), regions in deployment.places.items() for region in regions]
            unscanned.update(dict.fromkeys(late, answer.error.message))
        else:
            unscanned.update(answer.get())
    return unscanned


def _worth_showing(deployment: Deployment, among: Sequence[Deployment]) -> bool:
    if not deployment.closed:
        return True
    newest = max((item for item in among if item.name == deployment.name), key=lambda item: item.created_at)
    return deployment.phase not in ("down", "failed") and newest is deployment


def row_of(ctx: Context, deployment: Deployment) -> Row:
    """A request whose command is gone is in doubt, whatever the journal's last word is."""
    busy = holder(ctx.home, deployment.name) if not deployment.closed else ""
    if not busy and deployment.state == "creating" and deployment.open_attempts:
        return Row(deployment, "settling")
    return Row(deployment, deployment.state, busy)
