"""An OfferQuery in SQL: the same answer as `core.query.select`, without reading what is not asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, NamedTuple

from gpucloud.core.offers import CLOUDS_WITH_DRIVER, STALE_DAYS, Offer
from gpucloud.core.query import OfferQuery, cheapest_per_type, order_key

# Startable: a driver for the cloud, a place, and nothing that an ordinary create request cannot buy.
PROVISIONABLE = (
    f"(t.cloud IN {CLOUDS_WITH_DRIVER!r} AND coalesce(t.form, '') != 'tpu' AND t.status = 'current'"
    " AND o.status = 'current' AND o.region != '' AND o.price_kind != 'community' AND o.market != 'reserved'"
    " AND (o.availability IN ('open', 'unknown') OR (o.availability = 'spot_only' AND o.market = 'spot')))"
)
COLUMNS = f"""t.cloud, t.instance_type, t.accelerator, t.accelerator_count, o.region, o.zone, o.market,
    o.usd_per_hour, t.gpu_memory_gib, t.vcpus, t.memory_gib, t.arch, o.term_months, o.price_kind, o.availability,
    o.billing_increment_s, o.minimum_s, o.observed_on, o.status, {PROVISIONABLE}, t.stop_supported, t.fabric,
    o.source, o.flags"""
NAMES = "t.cloud, t.instance_type, o.market, coalesce(o.term_months, 0), o.region, o.zone"
ANY_MARKET = ("on-demand", "spot", "reserved")


class Condition(NamedTuple):
    """A piece of WHERE and its values."""

    sql: str = "1"
    values: tuple[Any, ...] = ()

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"{self.sql} AND {other.sql}", (*self.values, *other.values))


def _is_in(column: str, values: tuple[Any, ...]) -> Condition:
    if not values:
        return Condition()
    return Condition(f"{column} IN ({', '.join('?' * len(values))})", values)


def _compared(column: str, operator: str, value: float | None) -> Condition:
    return Condition() if value is None else Condition(f"{column} {operator} ?", (value,))


def type_wishes(query: OfferQuery) -> Condition:
    """The wishes that an instance type meets or not."""
    return (
        _gpus(query)
        & _is_in("t.cloud", query.clouds)
        & _is_in("t.instance_type", query.instance_types)
        & _compared("t.gpu_memory_gib", ">=", query.min_gpu_memory_gib)
        & _compared("t.accelerator_count", ">=", query.min_count)
    )


def _gpus(query: OfferQuery) -> Condition:
    if not query.gpus:
        return Condition()
    one_each = []
    for gpu in query.gpus:
        count = Condition() if gpu.count is None else Condition("t.accelerator_count = ?", (gpu.count,))
        one_each.append(_is_in("t.accelerator", gpu.accelerators) & count)
    values = tuple(value for one in one_each for value in one.values)
    return Condition("(" + " OR ".join(f"({one.sql})" for one in one_each) + ")", values)


def offer_wishes(query: OfferQuery) -> Condition:
    """The wishes that an offer of a fitting type meets or not, market and status left out."""
    startable = Condition(PROVISIONABLE) if query.provisionable_only else Condition()
    return _is_in("o.region", query.regions) & _compared("o.usd_per_hour", "<=", query.max_usd_per_hour) & startable


def markets(query: OfferQuery) -> tuple[str, ...]:
    """The markets that are asked for."""
    return ANY_MARKET if query.market == "any" else (query.market,)


class OfferReader:
    """Answers offer queries from one index, with ages relative to `today`."""

    def __init__(self, connection: sqlite3.Connection, today: date) -> None:
        self.connection = connection
        self.today = today
        self.newest_stale = (today - timedelta(days=STALE_DAYS)).isoformat()

    def offers(self, query: OfferQuery) -> list[Offer]:
        """What `core.query.select` gives over all offers."""
        if query.all_regions:
            return list(self._every_place(query))
        best = [offer for market in markets(query) for offer in self._best_places(query, market)]
        best.sort(key=lambda offer: order_key(offer, query))
        return best[: query.limit] if query.limit is not None else best

    def _every_place(self, query: OfferQuery) -> Iterator[Offer]:
        where = self._all_wishes(query)
        price = "o.usd_per_hour / t.accelerator_count" if query.sort == "gpu-price" else "o.usd_per_hour"
        known_age = "o.observed_on > ?"
        ranked = "o.status = 'current'" + ("" if query.rank_stale else f" AND {known_age}")
        order = f"CASE WHEN o.usd_per_hour IS NULL THEN 2 WHEN {ranked} THEN 0 ELSE 1 END, {price}, {NAMES}"
        limit = "" if query.limit is None else f" LIMIT {int(query.limit)}"
        cutoff = () if query.rank_stale else (self.newest_stale,)
        sql = f"SELECT {COLUMNS} FROM types t JOIN offers o ON o.type_id = t.rowid WHERE {where.sql} ORDER BY {order}"
        return self._read(sql + limit, (*where.values, *cutoff))

    def _best_places(self, query: OfferQuery, market: str) -> Iterator[Offer]:
        for status in query.statuses:
            if market == "reserved":  # a type may be sold for several terms
                yield from cheapest_per_type(self._every_place_of(query, market, status))
            else:
                yield from self._best_place_of_each_type(query, market, status)

    def _every_place_of(self, query: OfferQuery, market: str, status: str) -> list[Offer]:
        from dataclasses import replace

        wanted = replace(query, market=market, all_regions=True, limit=None)
        return [offer for offer in self._every_place(wanted) if offer.status == status]

    def _best_place_of_each_type(self, query: OfferQuery, market: str, status: str) -> Iterator[Offer]:
        """Walks the index of each type from its cheapest price to the first that may be ranked."""
        types, wishes = type_wishes(query), offer_wishes(query)
        steps, values = self._steps(query, status)
        walk = "SELECT o.rowid FROM offers o WHERE o.type_id = t.rowid AND o.market = ? AND o.status = ?"
        order = "ORDER BY o.usd_per_hour, o.region, o.zone LIMIT 1"
        choices = [f"({walk} AND {wishes.sql} AND {step} {order})" for step in steps]
        given = [(market, status, *wishes.values, *values[number]) for number in range(len(steps))]
        sql = (
            f"SELECT {COLUMNS} FROM types t CROSS JOIN offers o "  # CROSS: types outside
            f"WHERE o.rowid = coalesce({', '.join(choices)}) AND {types.sql}"
        )
        return self._read(sql, (*(value for part in given for value in part), *types.values))

    def _steps(self, query: OfferQuery, status: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        priced, unpriced = "o.usd_per_hour IS NOT NULL", "o.usd_per_hour IS NULL"
        if query.rank_stale or status != "current":
            return [priced, unpriced], [(), ()]
        return [f"{priced} AND o.observed_on > ?", priced, unpriced], [(self.newest_stale,), (), ()]

    def _all_wishes(self, query: OfferQuery) -> Condition:
        return (
            type_wishes(query)
            & offer_wishes(query)
            & _is_in("o.market", markets(query))
            & _is_in("o.status", query.statuses)
        )

    def count(self, query: OfferQuery) -> int:
        """How many offers meet the wishes, in all regions."""
        where = self._all_wishes(query)
        sql = f"SELECT count(*) FROM types t JOIN offers o ON o.type_id = t.rowid WHERE {where.sql}"
        return int(self.connection.execute(sql, where.values).fetchone()[0])

    def tally(self, query: OfferQuery) -> dict[tuple[str, str], int]:
        """Offers that meet the other wishes, by (market, status)."""
        where = type_wishes(query) & offer_wishes(query)
        sql = (
            f"SELECT o.market, o.status, count(*) FROM types t JOIN offers o ON o.type_id = t.rowid "
            f"WHERE {where.sql} GROUP BY o.market, o.status"
        )
        return {(market, status): count for market, status, count in self.connection.execute(sql, where.values)}

    def _read(self, sql: str, values: tuple[Any, ...]) -> Iterator[Offer]:
        ages: dict[str, int | None] = {"": None}
        for row in self.connection.execute(sql, values):
            yield self._offer(row, ages)

    def _offer(self, row: tuple[Any, ...], ages: dict[str, int | None]) -> Offer:
        observed_on = row[17]
        if observed_on not in ages:
            ages[observed_on] = max(0, (self.today - date.fromisoformat(observed_on)).days)
        flags = tuple(row[23].split(";")) if row[23] else ()
        switches = (bool(row[19]), bool(row[20]))
        fields: list[Any] = [*row[:18], ages[observed_on], row[18], *switches, row[21] or "", row[22], flags]
        return Offer(*fields)  # in the order of its declaration, which COLUMNS follows
