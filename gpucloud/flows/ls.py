"""`ls`: what there is, from the journal alone or after a look at the clouds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpucloud.core.answers import deployment_json
from gpucloud.core.deployments import Deployment
from gpucloud.core.errors import CleanupIncomplete, GpucloudError
from gpucloud.core.plan import find_deployment
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
    unscanned: dict[Place, str] = {}
    if refresh:
        for deployment in chosen:
            if not deployment.closed:
                unscanned.update(refresh_one(ctx, deployment.id))
    now = ctx.journal.present().deployments
    shown = [now[item.id] for item in chosen]
    rows = [row_of(ctx, item) for item in shown if names or everything or _worth_showing(item, shown)]
    return Listing(tuple(rows), unscanned, refresh)


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
