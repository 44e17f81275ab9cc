"""Electricity of a job: power × time × PUE, and what it costs in money and CO2."""

from __future__ import annotations


def energy_kwh(watts: float, hours: float, count: float = 1.0, pue: float = 1.0, utilisation: float = 1.0) -> float:
    """kWh of `count` devices that draw `watts` each for `utilisation` of the time; PUE is the building's share."""
    return watts / 1000 * hours * count * utilisation * pue
