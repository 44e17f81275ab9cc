"""What was spent, from events alone: billed seconds of every attempt, shared among the runs in them.

The bill starts with the intent to launch (the earliest moment a cloud can count from) and ends when the
removal is confirmed; between a stop and the next start only the disk costs. An offer's minimum and billing
increment are applied to every stretch between starts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gpucloud.core.deployments import Attempt, Deployment, Run
from gpucloud.core.offers import Offer

Span = tuple[float, float]


@dataclass(frozen=True)
class CostItem:
    """One line of the bill. `kind`: `run`, `idle` (machine time of no run), `failed_attempt`, `disk`, `address`."""

    deployment: str
    run: str | None
    hours: float
    usd_per_hour: float | None
    price_observed_on: str | None
    usd: float | None
    kind: str


def billed_seconds(seconds: float, offer: Offer) -> float:
    """Seconds on the bill for one stretch: at least the minimum, rounded up to the increment."""
    if seconds <= 0:
        return 0.0
    step = offer.billing_increment_s or 1.0
    return math.ceil(round(max(seconds, offer.minimum_s) / step, 6)) * step


def billed_spans(deployment: Deployment, attempt: Attempt, now: float) -> tuple[Span, ...]:
    """The stretches in which the machines of an attempt ran, up to now."""
    life = lifetime(deployment, attempt, now)
    if life is None:
        return ()
    spans, (begin, end) = [], life
    for stopped, started in deployment.pauses:
        if attempt.opened_at <= stopped < end:
            spans.append((begin, stopped))
            begin = min(end, started) if started is not None else end
    return tuple(span for span in (*spans, (begin, end)) if span[1] > span[0])


def lifetime(deployment: Deployment, attempt: Attempt, now: float) -> Span | None:
    """From the intent until the machines of an attempt were gone, up to now; None when there were none."""
    if not (attempt.made or attempt.outcome == "removed"):
        return None
    ended = attempt.ended_at if attempt.ended_at is not None else deployment.billing_ended
    return attempt.opened_at, now if ended is None else ended


def disk_span(deployment: Deployment, attempt: Attempt, now: float) -> Span | None:
    """While the disks exist: like the machines, but a stop or a guard that stops leaves them."""
    life = lifetime(deployment, attempt, now)
    if life is None or deployment.billing_ended is not None or attempt.outcome == "removed":
        return life
    return attempt.opened_at, now


def attempt_usd(deployment: Deployment, attempt: Attempt, now: float) -> float | None:
    """What one attempt has cost up to now; None where the offer has no price."""
    hourly = attempt.usd_per_hour
    if hourly is None:
        return None
    spans = billed_spans(deployment, attempt, now)
    machines = hourly * sum(billed_seconds(end - begin, attempt.offer) for begin, end in spans) / 3600
    return machines + sum(item.usd or 0.0 for item in _extra_items(deployment, attempt, now, None))


def spent_usd(deployment: Deployment, now: float) -> float | None:
    """What a deployment has cost up to now, failed attempts included; None when a price is missing."""
    parts = [attempt_usd(deployment, attempt, now) for attempt in deployment.attempts]
    return None if None in parts else sum(part for part in parts if part is not None)


def run_shares(spans: Sequence[Span], runs: Sequence[Run], now: float) -> dict[int, float]:
    """Seconds of machine time per run number; runs at the same time share them equally. -1 is idle."""
    active = {
        r.number: (r.started_at, r.ended_at if r.ended_at is not None else now)
        for r in runs
        if r.started_at is not None
    }
    edges = sorted({edge for span in (*spans, *active.values()) for edge in span})
    shares: dict[int, float] = {}
    for begin, end in pairwise(edges):
        if not any(first <= begin and end <= last for first, last in spans):
            continue
        users = [number for number, (first, last) in active.items() if first <= begin and end <= last] or [-1]
        for number in users:
            shares[number] = shares.get(number, 0.0) + (end - begin) / len(users)
    return shares


def run_usd(deployment: Deployment, run: Run, now: float) -> float | None:
    """A run's part of the bill."""
    for attempt in deployment.attempts:
        spans = billed_spans(deployment, attempt, now)
        seconds = run_shares(spans, deployment.runs, now).get(run.number)
        if seconds is not None:
            return None if attempt.usd_per_hour is None else attempt.usd_per_hour * seconds / 3600
    return 0.0  # not started, or over before a moment of it could be billed


def cost_items(deployment: Deployment, now: float, since: float | None = None) -> list[CostItem]:
    """The bill of a deployment in lines that add up to what it spent (since then)."""
    return [
        line
        for attempt in deployment.attempts
        for part in (_attempt_items, _extra_items)
        for line in part(deployment, attempt, now, since)
    ]


def _extra_items(deployment: Deployment, attempt: Attempt, now: float, since: float | None) -> list[CostItem]:
    """Disks for as long as they exist, addresses while machines run; only where a price is known."""
    disks = disk_span(deployment, attempt, now)
    stretches = {"disk": (disks,) if disks else (), "address": billed_spans(deployment, attempt, now)}
    rates = {"disk": attempt.disk_usd_per_hour, "address": attempt.address_usd_per_hour}
    lines = []
    for kind, rate in rates.items():
        hours = sum(max(0.0, end - max(begin, since or begin)) for begin, end in stretches[kind]) / 3600
        if rate and hours:
            observed = attempt.offer.extras_observed_on or None
            lines.append(CostItem(deployment.name, None, hours, rate, observed, rate * hours, kind))
    return lines


def _attempt_items(deployment: Deployment, attempt: Attempt, now: float, since: float | None) -> list[CostItem]:
    spans = billed_spans(deployment, attempt, now)
    cut = [(max(begin, since), end) for begin, end in spans if end > since] if since is not None else list(spans)
    if not cut:
        return []
    total_s = sum(billed_seconds(end - begin, attempt.offer) for begin, end in cut)
    shares = {} if attempt.failure else run_shares(cut, deployment.runs, now)
    used = {number: seconds for number, seconds in shares.items() if number >= 0}
    rest = max(0.0, total_s - sum(used.values()))
    by_number = {run.number: run.id for run in deployment.runs}
    lines = [_item(deployment, attempt, by_number[number], used[number], "run") for number in sorted(used)]
    kind = "failed_attempt" if attempt.failure else "idle"
    return [*lines, _item(deployment, attempt, None, rest, kind)] if rest > 0 else lines


def _item(deployment: Deployment, attempt: Attempt, run: str | None, seconds: float, kind: str) -> CostItem:
    hourly = attempt.usd_per_hour
    usd = None if hourly is None else hourly * seconds / 3600
    observed = attempt.offer.observed_on or None
    return CostItem(deployment.name, run, seconds / 3600, hourly, observed, usd, kind)
