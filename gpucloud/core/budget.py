"""A deployment's budget against a later end: what everything will have cost by then, and what to raise it to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpucloud.core.cost import spent_usd
from gpucloud.core.deployments import Deployment
from gpucloud.core.units import iso_utc

CENT = 0.01


@dataclass(frozen=True)
class Overrun:
    """A new end that the budget does not pay for: all of it until then costs up to `usd`."""

    budget_usd: float
    usd: float
    deadline_epoch_s: float

    @property
    def enough_usd(self) -> float:
        """The least budget, in whole cents, that pays for it."""
        return math.ceil(round(self.usd / CENT, 6)) * CENT

    @property
    def sentence(self) -> str:
        """What to say before anybody agrees."""
        return (
            f"Until {iso_utc(self.deadline_epoch_s)} it costs up to {self.usd:,.2f} USD in all; "
            f"its budget is {self.budget_usd:,.2f} USD."
        )


def left_usd(deployment: Deployment, now: float, budget_usd: float | None) -> float | None:
    """What is left of that budget, never below 0; None without one."""
    return None if budget_usd is None else max(0.0, budget_usd - (spent_usd(deployment, now) or 0.0))


def overrun(deployment: Deployment, deadline_epoch_s: float, now: float, budget_usd: float | None) -> Overrun | None:
    """Whether that end breaks that budget (by more than a cent); an hour counts what it can cost at most."""
    hourly = deployment.current.most_usd_per_hour if deployment.current else None
    if budget_usd is None or hourly is None:
        return None
    usd = (spent_usd(deployment, now) or 0.0) + hourly * max(0.0, deadline_epoch_s - now) / 3600
    return Overrun(budget_usd, usd, deadline_epoch_s) if usd > budget_usd + CENT else None
