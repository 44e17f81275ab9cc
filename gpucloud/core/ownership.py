"""Own or rent: total cost of a machine over its years, and where it crosses the price of renting.

Yearly costs fall due at the end of each year and are discounted at `rate`; hours are discounted the same way, so
that `usd_per_hour` is the rent at which both are equal. Everything is for all systems together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log1p

HOURS_PER_YEAR = 8766.0
DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Ownership:
    """A purchase and what it costs to run. Power in watts, shares between 0 and 1."""

    price_usd: float
    years: float
    utilisation: float = 1.0
    watts: float = 0.0
    usd_per_kwh: float = 0.0
    pue: float = 1.0
    idle_share: float = 0.0
    yearly_usd: float = 0.0
    resale_usd: float = 0.0
    rate: float = 0.0

    @property
    def power_usd_per_hour(self) -> float:
        """Electricity of one hour at full power."""
        return self.watts / 1000 * self.pue * self.usd_per_kwh

    def energy_usd_per_year(self) -> float:
        """Electricity of a year: full power while used, the idle share of it otherwise."""
        drawn = self.utilisation + self.idle_share * (1 - self.utilisation)
        return self.power_usd_per_hour * HOURS_PER_YEAR * drawn

    def discounts(self) -> list[tuple[float, float]]:
        """(share of the year, discount factor) of each started year of the horizon."""
        ends = [float(year) for year in range(1, int(self.years) + 1)]
        if self.years > len(ends):
            ends.append(self.years)
        starts = [0.0, *ends[:-1]]
        return [(end - start, (1 + self.rate) ** -end) for start, end in zip(starts, ends, strict=True)]

    def totals_usd(self) -> list[float]:
        """Present value of all costs up to the end of each year; the last one has the resale taken off."""
        per_year = self.yearly_usd + self.energy_usd_per_year()
        total, totals = self.price_usd, []
        for share, factor in self.discounts():
            total += per_year * share * factor
            totals.append(total)
        totals[-1] -= self.resale_usd * (1 + self.rate) ** -self.years
        return totals

    def discounted_hours(self) -> float:
        """Hours of the horizon, discounted like money."""
        return HOURS_PER_YEAR * sum(share * factor for share, factor in self.discounts())

    def usd_per_hour(self) -> float:
        """Cost of one used hour."""
        return self.totals_usd()[-1] / (self.discounted_hours() * self.utilisation)

    def break_even_utilisation(self, rent_usd_per_hour: float) -> float | None:
        """The use above which owning is cheaper (above 1: never); None when the power alone costs more than rent.

        Solves total(u) = rent × hours × u, where total(u) is linear in u.
        """
        hours = self.discounted_hours()
        idle_power = self.power_usd_per_hour * self.idle_share
        fixed = self.totals_usd()[-1] - self.energy_usd_per_year() / HOURS_PER_YEAR * hours + idle_power * hours
        margin = rent_usd_per_hour - self.power_usd_per_hour * (1 - self.idle_share)
        return max(0.0, fixed / (hours * margin)) if margin > 0 else None

    def break_even_days(self, rent_usd_per_hour: float) -> float | None:
        """Days after which the rent saved has repaid the price (resale not counted); None when it never does."""
        saved = rent_usd_per_hour * self.utilisation * HOURS_PER_YEAR - self.energy_usd_per_year() - self.yearly_usd
        if saved <= 0:
            return None
        if self.rate == 0:
            return self.price_usd / saved * DAYS_PER_YEAR
        remaining = 1 - self.price_usd * log(1 + self.rate) / saved
        return -log(remaining) / log1p(self.rate) * DAYS_PER_YEAR if remaining > 0 else None
