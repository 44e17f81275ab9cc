"""What a profile's rule of thumb says (Full Stack Deep Learning 2021, lecture 6), and whether the numbers agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpucloud.core.errors import UsageError
from gpucloud.core.options import Option

PROFILES = ("hobbyist", "startup", "company")
STAGES = ("development", "training")
# The kind of option each rule starts from; `both` leaves the choice to the numbers.
RULE = {
    ("hobbyist", "development"): "own",
    ("hobbyist", "training"): "both",
    ("startup", "development"): "own",
    ("startup", "training"): "both",
    ("company", "development"): "own",
    ("company", "training"): "rent",
}


def check(profile: str | None, stage: str) -> None:
    """Raises UsageError for a profile or stage that no rule knows."""
    if profile is not None and profile not in PROFILES:
        raise UsageError(f"There is no profile '{profile}'.", "Use one of " + ", ".join(PROFILES) + ".")
    if stage not in STAGES:
        raise UsageError(f"There is no stage '{stage}'.", "Use one of " + ", ".join(STAGES) + ".")


def advice(
    profile: str | None, stage: str, rule: str, rent: Option | None, own: Sequence[Option], use: float
) -> dict[str, Any] | None:
    """The `advice` object: the rule, the verdict of the numbers and why. None without a profile.

    `rent` is the cheapest rented option, `own` are machines to buy; `use` is the share of hours assumed.
    """
    if profile is None:
        return None
    best = min(own, key=lambda option: (option.usd, option.system), default=None)
    wanted = RULE[profile, stage]
    winner = _winner(rent, best)
    agrees = wanted == "both" or winner in (None, wanted)
    return {
        "profile": profile,
        "stage": stage,
        "rule": rule,
        "verdict": "no numbers" if winner is None else "confirmed" if agrees else "overturned",
        "why": _why(rent, best, use),
        "candidates": [option.system for option in sorted(own, key=lambda option: option.usd)[:3]],
    }


def _winner(rent: Option | None, own: Option | None) -> str | None:
    if rent is None or own is None:
        return "own" if own else "rent" if rent else None
    return "own" if own.usd < rent.usd else "rent"


def _why(rent: Option | None, own: Option | None, use: float) -> str:
    if rent is None and own is None:
        return "nothing to compare"
    if own is None:
        return "no machine with a price can be bought for this work"
    if rent is None:
        return "nothing can be rented for this work within the wishes"
    crossing = own.own.break_even_utilisation if own.own else None
    where = "never" if crossing is None or crossing > 1 else f"above {crossing:.0%} use"
    return (
        f"at {use:.0%} use this work costs ${own.usd:,.2f} on an owned {own.system} and ${rent.usd:,.2f} on"
        f" {rent.name}; owning pays {where}"
    )
