"""Money guards as arithmetic: when a machine ends, what that can cost at worst, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gpucloud.core.cloud import Guard
from gpucloud.core.errors import UsageError
from gpucloud.core.offers import Offer

DEFAULT_MAX_S, DEFAULT_IDLE_S = 24 * 3600.0, 3600.0
BACKSTOP_S = 24 * 3600.0  # how long after the deadline the provider's own guard fires
EXPIRED_AFTER_S = 3600.0  # past its deadline by this much, anybody's machine may be collected
LOST_AFTER_S = 1800.0  # a machine of ours that no deployment owns must be this old to be collected


def deadline_epoch_s(
    now: float, max_s: float | None, budget_usd: float | None, usd_per_hour: float | None
) -> float | None:
    """The moment everything ends: the earlier of the time limit and the budget at that price; None = never.

    `max_s` of None or 0 switches the time limit off. A budget needs a price: without one, UsageError.
    """
    limits = [now + max_s] if max_s else []
    if budget_usd is not None:
        if usd_per_hour is None:
            raise UsageError("A budget needs a price, and this offer has none.", "Use --max-hours instead.")
        if usd_per_hour > 0:
            limits.append(now + 3600 * budget_usd / usd_per_hour)
    return min(limits) if limits else None


def default_guards(deadline: float | None, idle_s: float | None, at_end: str) -> tuple[Guard, ...]:
    """The guards of a cloud that does not tell its own: in the machine, and this client."""
    guards: list[Guard] = []
    if deadline is not None:
        guards.append(Guard("in_machine_deadline", at_end, deadline, ("client killed", "network lost")))
    if idle_s:
        guards.append(Guard("in_machine_idle", at_end, None, ("client killed", "network lost")))
    return (*guards, Guard("client", "delete", None, ()))


def usd_per_hour(offer: Offer, nodes: int) -> float | None:
    """All nodes of an offer, per hour."""
    return None if offer.usd_per_hour is None else offer.usd_per_hour * nodes


def worst_case_usd(
    most_usd_per_hour: float | None, now: float, deadline: float | None, guards: Sequence[Guard]
) -> float | None:
    """What it costs when everything but the last guard fails: until the latest guard with a time.

    None when no guard has a time, or the offer no price: then nothing bounds the bill.
    """
    times = [guard.ends_epoch_s for guard in guards if guard.ends_epoch_s is not None]
    if most_usd_per_hour is None or deadline is None:
        return 0.0 if most_usd_per_hour == 0 else None
    return most_usd_per_hour * (max([deadline, *times]) - now) / 3600


def first_line(now: datetime, deadline: datetime | None, name: str) -> str:
    """`ends 14:05 tomorrow, whatever is running`; both times in the zone the reader lives in."""
    if deadline is None:
        return f"never ends by itself: it bills until `gpucloud down {name}`"
    return f"ends {clock_words(now, deadline)}, whatever is running"


def clock_words(now: datetime, then: datetime) -> str:
    """`14:05 today`, `14:05 tomorrow`, or `14:05 on 2026-12-01`."""
    days = (then.date() - now.date()).days
    day = {0: "today", 1: "tomorrow"}.get(days, f"on {then:%Y-%m-%d}")
    return f"{then:%H:%M} {day}"
