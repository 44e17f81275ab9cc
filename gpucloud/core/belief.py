"""Whether a fetched price is believed, and what the catalog becomes with it; nothing known is ever deleted.

A price that looks wrong is kept beside the known one as a `suspect` row, which nothing ranks; the known row
stays as it was, with its old date. Rows that a whole answer no longer has become `retired`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from statistics import median
from typing import NamedTuple

from gpucloud.core.fresh import Cover, Key, PriceRow, Quote, Told
from gpucloud.core.rules import OUTLIER_FACTOR, PLACEHOLDERS

MOST_VANISH = 0.2  # an answer without more than this share of what was known is taken for a cut one
FEW = 3  # … unless so few are missing, and not all that were known in that place
OWN_KINDS = ("own",)


class Change(NamedTuple):
    """What a refresh did to one row: new, moved, returned, retired or suspect (with the reason)."""

    kind: str
    row: PriceRow
    before: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Merged:
    """The overlay's rows after an answer, what changed, how many prices only got a newer date, and doubts."""

    rows: tuple[PriceRow, ...]
    changes: tuple[Change, ...]
    confirmed: int = 0
    kept_own: int = 0
    unknown_types: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()  # places whose answer lacked too much to be believed about what it lacks
    by_kind: Mapping[str, int] = field(default_factory=dict)


def merge(
    known: Mapping[Key, PriceRow],
    overlay: Iterable[PriceRow],
    told: Told,
    *,
    types: Collection[str],
    doubtful_types: Collection[str] = (),
    source: str,
    today: str,
    believed: Collection[str] = (),
) -> Merged:
    """The overlay's new rows. `known` are the rows in force (shipped and own), `overlay` those of the overlay file.

    `types` are the instance types that can be sold, `doubtful_types` those whose GPU is not known;
    `believed` are types for which the user has confirmed a big move.
    """
    return _Merger(known, overlay, told, types, doubtful_types, source, today, believed).merged()


class _Merger:
    """The state of one merge: what is known, what is written, what has changed."""

    def __init__(
        self,
        known: Mapping[Key, PriceRow],
        overlay: Iterable[PriceRow],
        told: Told,
        types: Collection[str],
        doubtful: Collection[str],
        source: str,
        today: str,
        believed: Collection[str],
    ) -> None:
        rows = list(overlay)
        self.known, self.told = known, told
        self.out = {row.key: row for row in rows if row.status != "suspect"}
        self.suspects = {row.key: row for row in rows if row.status == "suspect"}
        self.types, self.doubtful, self.believed = frozenset(types), frozenset(doubtful), frozenset(believed)
        self.source, self.today = source, today
        self.changes: list[Change] = []
        self.confirmed = self.kept_own = 0
        self.unknown: set[str] = set()
        self.places = _Places(known.values())
        self.lists = _list_prices(known.values(), told.quotes)
        self.seen: set[Key] = set()
        self.zoned: set[tuple[str, str, str]] = set()

    def merged(self) -> Merged:
        for quote in self.told.quotes:
            self._take(quote)
        cut = self._retire()
        counts: dict[str, int] = defaultdict(int)
        for change in self.changes:
            counts[change.kind] += 1
        rows = sorted((*self.out.values(), *self.suspects.values()), key=_order)
        unknown = tuple(sorted(self.unknown))
        return Merged(tuple(rows), tuple(self.changes), self.confirmed, self.kept_own, unknown, cut, counts)

    def _take(self, quote: Quote) -> None:
        if quote.instance_type not in self.types:
            self.unknown.add(quote.instance_type)
            return
        for key in self.places.keys_of(quote):
            if key not in self.seen:
                self._take_one(key, quote)

    def _take_one(self, key: Key, quote: Quote) -> None:
        self.seen.add(key)
        if quote.zone:
            self.zoned.add((quote.instance_type, quote.region, quote.market))
        before = self.known.get(key)
        if before is not None and before.price_kind in OWN_KINDS:
            self.kept_own += 1
            return
        reason = self._doubt(key, quote, before)
        if reason:
            self._suspect(key, quote, before, reason)
            return
        row = self._row(key, quote, before)
        self.suspects.pop(key, None)
        self.out[key] = row
        self._note(row, before)

    def _doubt(self, key: Key, quote: Quote, before: PriceRow | None) -> str:
        price = quote.usd_per_hour
        if not isfinite(price) or price <= 0:
            return "no_price"
        if price in PLACEHOLDERS:
            return "placeholder"
        if quote.instance_type in self.doubtful:
            return "unknown_accelerator"
        if quote.market == "spot" and price > self.lists.get((key[0], key[1]), float("inf")):
            return "spot_above_on_demand"
        usual = None if quote.instance_type in self.believed else self._usual(key, before)
        return "moved_beyond_3x" if usual is not None and not _near(price, usual) else ""

    def _usual(self, key: Key, before: PriceRow | None) -> float | None:
        """What this price was, or what this machine costs elsewhere."""
        if before is not None and before.usd_per_hour is not None and before.status == "current":
            return before.usd_per_hour
        return self.places.usual(key[0], key[3])

    def _row(self, key: Key, quote: Quote, before: PriceRow | None) -> PriceRow:
        equal = quote.market == "spot" and quote.usd_per_hour == self.lists.get((key[0], key[1]))
        base = before or PriceRow(*key, availability="open")
        return base._replace(
            usd_per_hour=quote.usd_per_hour,
            price_kind="list",
            observed_on=self.today,
            status="current",
            source=self.source,
            flags="no_discount" if equal else "",
        )

    def _suspect(self, key: Key, quote: Quote, before: PriceRow | None, reason: str) -> None:
        price = quote.usd_per_hour if isfinite(quote.usd_per_hour) and quote.usd_per_hour > 0 else None
        row = PriceRow(*key, price, observed_on=self.today, status="suspect", source=self.source, flags=reason)
        again = self.suspects.get(key)
        self.suspects[key] = row
        if again is None or again.usd_per_hour != price:
            self.changes.append(Change("suspect", row, before.usd_per_hour if before else None, reason))

    def _note(self, row: PriceRow, before: PriceRow | None) -> None:
        if before is None or before.status == "suspect":
            self.changes.append(Change("new", row))
        elif before.status == "retired":
            self.changes.append(Change("returned", row, before.usd_per_hour))
        elif before.usd_per_hour != row.usd_per_hour:
            self.changes.append(Change("moved", row, before.usd_per_hour))
        else:
            self.confirmed += 1

    def _retire(self) -> tuple[str, ...]:
        """Mark what vanished; returns the places whose answers lack too much."""
        by_cover = _vanished(self.known.values(), self.told.covers, self.seen)
        cut = []
        for cover, (gone, held) in by_cover.items():
            if gone and (len(gone) == held or len(gone) > max(FEW, MOST_VANISH * held)):
                cut.append(" ".join(filter(None, (cover.region or "all regions", cover.market, cover.prefix))))
                gone = []
            for row in (*gone, *self._superseded(cover)):
                self._retire_one(row)
        return tuple(cut)

    def _superseded(self, cover: Cover) -> list[PriceRow]:
        """Estimates of a whole region where the source now tells the price of each zone."""
        return [
            row
            for row in self.places.regional
            if cover.holds(row) and (row.instance_type, row.region, row.market) in self.zoned
        ]

    def _retire_one(self, row: PriceRow) -> None:
        if row.status == "current" and row.key not in self.seen and row.price_kind not in OWN_KINDS:
            flags = ";".join(filter(None, (row.flags, f"gone_on={self.today}")))
            self.seen.add(row.key)
            self.out[row.key] = gone = row._replace(status="retired", flags=flags)
            self.changes.append(Change("retired", gone, row.usd_per_hour))


def _order(row: PriceRow) -> tuple[str, str, str, str, float, str]:
    return (row.instance_type, row.region, row.zone, row.market, row.term_months or 0, row.status)


class _Places:
    """Where each type is known to be sold, and what it usually costs."""

    def __init__(self, rows: Iterable[PriceRow]) -> None:
        self._keys: dict[tuple[str, str], list[Key]] = defaultdict(list)
        self._by_region: dict[tuple[str, str, str], list[Key]] = defaultdict(list)
        self._prices: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._medians: dict[tuple[str, str], float | None] = {}
        self.regional: list[PriceRow] = []
        for row in rows:
            if row.term_months is not None:
                continue
            if row.region:
                self._keys[row.instance_type, row.market].append(row.key)
                self._by_region[row.instance_type, row.region, row.market].append(row.key)
            if row.region and not row.zone and row.price_kind == "estimate":
                self.regional.append(row)
            if row.status == "current" and row.usd_per_hour is not None and row.price_kind != "community":
                self._prices[row.instance_type, row.market].append(row.usd_per_hour)

    def keys_of(self, quote: Quote) -> Sequence[Key]:
        """The rows that a quote is about; a new one where none is known."""
        own: Key = (quote.instance_type, quote.region, quote.zone, quote.market, None)
        if quote.zone:
            return [own]
        if quote.region:
            return self._by_region.get((quote.instance_type, quote.region, quote.market)) or [own]
        return self._keys.get((quote.instance_type, quote.market)) or [own]

    def usual(self, instance_type: str, market: str) -> float | None:
        """The median over the known places; None where none is known."""
        at = (instance_type, market)
        if at not in self._medians:
            prices = self._prices.get(at)
            self._medians[at] = median(prices) if prices else None
        return self._medians[at]


def _list_prices(known: Iterable[PriceRow], quotes: Iterable[Quote]) -> dict[tuple[str, str], float]:
    """The on-demand price by type and region: what the source says now, else what was known."""
    prices = {
        (row.instance_type, row.region): row.usd_per_hour
        for row in known
        if row.market == "on-demand" and row.usd_per_hour is not None and row.status == "current"
    }
    for quote in quotes:
        at = (quote.instance_type, quote.region)
        usual = prices.get(at)
        # A list price that is itself absurd must not make room for an absurd spot price.
        if quote.market == "on-demand" and (usual is None or _near(quote.usd_per_hour, usual)):
            prices[at] = quote.usd_per_hour
    return prices


def _near(price: float, usual: float) -> bool:
    return usual / OUTLIER_FACTOR <= price <= usual * OUTLIER_FACTOR


def _vanished(
    known: Iterable[PriceRow], covers: Sequence[Cover], seen: Collection[Key]
) -> dict[Cover, tuple[list[PriceRow], int]]:
    """By place: the rows in force that have no quote, and how many were known there."""
    found: dict[Cover, tuple[list[PriceRow], int]] = {cover: ([], 0) for cover in covers}
    by_market: dict[str, list[Cover]] = defaultdict(list)
    for cover in covers:
        by_market[cover.market].append(cover)
    for row in known:
        if row.status != "current" or row.price_kind != "list" or row.term_months is not None:
            continue
        for cover in _holding(by_market.get(row.market, ()), row):
            gone, held = found[cover]
            if row.key not in seen:
                gone.append(row)
            found[cover] = (gone, held + 1)
    return found


def _holding(covers: Sequence[Cover], row: PriceRow) -> Iterator[Cover]:
    return (cover for cover in covers if cover.holds(row))
