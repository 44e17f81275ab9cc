"""`compare --cloud ssh|local`: what your own machines offer, beside what the catalog has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gpucloud.catalog.catalog import Catalog
from gpucloud.core.offers import Offer
from gpucloud.core.query import OfferQuery, meets, select

OWN_CLOUDS = ("local", "ssh")


def with_own(catalog: Catalog, clouds: Sequence[str]) -> Catalog:
    """The catalog, and the offers of your own machines where they are named. Raises UsageError for a bad hosts.yaml."""
    named = [cloud for cloud in OWN_CLOUDS if cloud in {word.casefold() for word in clouds}]
    if not named:
        return catalog
    from gpucloud.cli.outside import own_offers

    return CatalogWithOwn(catalog, own_offers(named), named)


class CatalogWithOwn(Catalog):
    """A catalog whose queries also see these offers."""

    def __init__(self, base: Catalog, own: Sequence[Offer], clouds: Sequence[str]) -> None:
        super().__init__(base.connection, base.folder, base.overlay, base.today)
        self._own, self._clouds = own, clouds

    def offers(self, query: OfferQuery) -> list[Offer]:
        """As in the catalog, own ones included."""
        return select([*super().offers(replace(query, limit=None)), *self._own], query)

    def count(self, query: OfferQuery) -> int:
        """As in the catalog, own ones included."""
        return super().count(query) + sum(meets(offer, query) for offer in self._own)

    def tally(self, query: OfferQuery) -> dict[tuple[str, str], int]:
        """As in the catalog, own ones included."""
        wide = replace(query, market="any", retired=True, suspect=True)
        own = Counter((offer.market, offer.status) for offer in self._own if meets(offer, wide))
        return dict(own + Counter(super().tally(query)))

    def clouds(self) -> list[str]:
        """As in the catalog, and the own ones that were named."""
        return sorted({*super().clouds(), *self._clouds})

    def regions(self, clouds: tuple[str, ...] = ()) -> list[str]:
        """As in the catalog, and the names of own machines."""
        own = {offer.region for offer in self._own if not clouds or offer.cloud in clouds}
        return sorted({*super().regions(clouds), *own})
