"""What is asked before the first request: who we are, and how much the clouds allow; never longer than a moment.

`Ahead` does it on another thread while the plan is on screen; whatever it cannot learn blocks nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from gpucloud.core.cloud import Quota, TellsQuotas, Warms
from gpucloud.core.errors import GpucloudError
from gpucloud.core.offers import Offer
from gpucloud.flows.at_once import at_once
from gpucloud.flows.context import Context

Quotas = Mapping[str, tuple[Quota, ...]]  # by cloud


def ask_quotas(ctx: Context, offers: Sequence[Offer]) -> Quotas:
    """What the clouds of these offers tell of their regions: one call a region, all at once, in `waits.quotas`.

    A region that does not answer, or refuses to, is left out: then nothing is known of it.
    """
    places = [(cloud, region) for cloud, region in _places(offers) if _tells(ctx, cloud)]

    def ask(place: tuple[str, str]) -> Sequence[Quota]:
        cloud, region = place
        provider = ctx.clouds.open(cloud)
        return provider.quotas((region,)) if isinstance(provider, TellsQuotas) else ()

    found: dict[str, tuple[Quota, ...]] = {}
    for (cloud, _), answer in zip(places, at_once(ask, places, ctx.waits.quotas), strict=True):
        found[cloud] = (*found.get(cloud, ()), *(answer.value or ()))
    return found


def _places(offers: Sequence[Offer]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((offer.cloud, offer.region) for offer in offers))


def _tells(ctx: Context, cloud: str) -> bool:
    try:
        return isinstance(ctx.clouds.open(cloud), TellsQuotas)
    except GpucloudError:
        return False


class Ahead:
    """Libraries loaded, identities and quotas asked, from the moment that it is made; on a daemon thread."""

    def __init__(self, ctx: Context, offers: Sequence[Offer]) -> None:
        self._ctx, self._offers = ctx, offers
        self._quotas: Quotas = {}
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        clouds = list(dict.fromkeys(offer.cloud for offer in self._offers))
        for answer in at_once(self._greet, clouds, self._ctx.waits.cloud):
            if answer.error is not None and not isinstance(answer.error, (GpucloudError, ImportError)):
                return  # a bug: the same call on the way up will raise it where it is seen
        self._quotas = ask_quotas(self._ctx, self._offers)

    def _greet(self, cloud: str) -> None:
        provider = self._ctx.clouds.open(cloud)
        if isinstance(provider, Warms):
            provider.warm()
        self._ctx.clouds.identity(cloud)

    def quotas(self) -> Quotas:
        """What is known by now, or within `waits.quotas` from now; nothing where that was not enough."""
        self._thread.join(self._ctx.waits.quotas)
        return self._quotas
