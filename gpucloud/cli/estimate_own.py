"""`estimate own`: from its options to an ownership, and from that to its totals and crossings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpucloud.cli.given import ranges, single, whole
from gpucloud.core.errors import UsageError
from gpucloud.core.ownership import DAYS_PER_YEAR, Ownership
from gpucloud.core.ranges import Range, spread

SHARES = ("utilisation", "idle_share")
YEARLY = ("colo_per_year", "ops_per_year", "other_per_year")
ASSUMED = {"pue": 1, "rate": 0, "resale": 0, "idle_share": 0, "utilisation": 1, "years": 1, "systems": 1}
ZERO_OK = ("usd_per_kwh", "rate", "resale", "idle_share", *YEARLY)


def estimate(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answers and what was assumed."""
    given = ranges(options, zero_ok=ZERO_OK, durations={"years": "y"})
    _sensible(given)
    years = (single(given, "years") or DAYS_PER_YEAR * 86400) / (DAYS_PER_YEAR * 86400)
    if years > 100:
        raise UsageError("--years is longer than a century.", "Give the years that the machine is kept.")

    def formula(at: dict[str, float]) -> dict[str, Any]:
        return _answer(_ownership(at, years, str(options.get("resale"))), at)

    return spread(formula, given), {key: value for key, value in ASSUMED.items() if options.get(key) is None}


def _sensible(given: Mapping[str, Range]) -> None:
    whole(given, "systems")
    if "price" not in given:
        raise UsageError("The purchase price is not given.", "Add --price, as in --price 116568.")
    for key in SHARES:
        if given.get(key, (0, 0))[1] > 1:
            raise UsageError(f"--{key.replace('_', '-')} is a share and cannot exceed 1.", "Write 35% or 0.35.")
    if given.get("pue", (1, 1))[0] < 1:
        raise UsageError("--pue cannot be below 1: the machines are part of the building.", "Typical is 1.1 to 1.6.")
    if ("watts" in given) != ("usd_per_kwh" in given):
        raise UsageError("--watts and --usd-per-kwh belong together.", "Give both, or none to leave power out.")


def _ownership(at: Mapping[str, float], years: float, resale_text: str) -> Ownership:
    resale = at.get("resale", 0.0)
    share = resale <= 1 and resale_text not in ("1", "0")
    return Ownership(
        price_usd=at["price"],
        years=years,
        utilisation=at.get("utilisation", 1.0),
        watts=at.get("watts", 0.0),
        usd_per_kwh=at.get("usd_per_kwh", 0.0),
        pue=at.get("pue", 1.0),
        idle_share=at.get("idle_share", 0.0),
        yearly_usd=sum(at.get(key, 0.0) for key in YEARLY),
        resale_usd=resale * at["price"] if share else resale,
        rate=at.get("rate", 0.0),
    )


def _answer(owned: Ownership, at: Mapping[str, float]) -> dict[str, Any]:
    totals = owned.totals_usd()
    rent, systems = at.get("versus"), at.get("systems", 1.0)
    days = None if rent is None else owned.break_even_days(rent)
    return {
        "total_usd": totals,
        "usd_per_hour": owned.usd_per_hour(),
        "usd_per_system_year": totals[-1] / systems / owned.years,
        "usd_per_system_hour": owned.usd_per_hour() / systems,
        "break_even_days": days,
        "break_even_months": None if days is None else days / (DAYS_PER_YEAR / 12),
        "break_even_utilisation": None if rent is None else owned.break_even_utilisation(rent),
    }
