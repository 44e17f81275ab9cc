"""Nothing fits: the sentence that says which wish excluded the nearest misses."""

from __future__ import annotations

from dataclasses import replace

from gpucloud.catalog.catalog import Catalog
from gpucloud.core.errors import NothingFits
from gpucloud.core.offers import Offer
from gpucloud.core.query import Miss, OfferQuery, nearest_misses
from gpucloud.render.text import count, plural

SHOWN = 3


def nothing_fits(catalog: Catalog, query: OfferQuery) -> NothingFits:
    """The error of a query without an answer; `misses` in JSON lists the wishes, how many offers, and the best."""

    def search(wishes: OfferQuery) -> tuple[int, Offer | None]:
        best = catalog.offers(replace(wishes, limit=1))
        return catalog.count(wishes), best[0] if best else None

    misses = nearest_misses(replace(query, sort="price"), search)
    if not misses:
        what = " or ".join(gpu.text for gpu in query.gpus) or "anything"
        return NothingFits(f"No cloud in the catalog sells {what}.", "`gpucloud gpus` shows what is sold.", misses=[])
    misses.sort(key=lambda miss: (-miss.offers, miss.wishes))
    blamed = " or ".join(_wishes(miss) for miss in misses[:SHOWN])
    hint = " ".join(
        f"Dropping {_wishes(miss)}: {plural(miss.offers, 'offer')}, {_best(miss.best)}." for miss in misses[:SHOWN]
    )
    return NothingFits(
        f"Nothing fits: the nearest are excluded by {blamed}.", hint, misses=[_as_json(miss) for miss in misses]
    )


def _wishes(miss: Miss) -> str:
    return " with ".join(miss.wishes)


def _best(offer: Offer) -> str:
    price = "without a price" if offer.usd_per_hour is None else f"from {offer.usd_per_hour:,.3f} USD/h"
    gpus = f"{count(offer.accelerator_count)} x {offer.accelerator}"
    return f"{price} ({offer.cloud} {offer.instance_type}, {gpus}, {offer.region or 'region not said'}, {offer.market})"


def _as_json(miss: Miss) -> dict[str, object]:
    best = miss.best
    place = {"cloud": best.cloud, "instance_type": best.instance_type, "region": best.region, "market": best.market}
    return {
        "wishes": list(miss.wishes),
        "offers": miss.offers,
        "best": {**place, "usd_per_hour": best.usd_per_hour, "status": best.status},
    }
