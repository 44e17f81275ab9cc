"""Which offers one round of `up` tries, and in which order: spread over zones, without those known to be in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from gpucloud.core.cloud import NamesPlaces, TellsQuotas
from gpucloud.core.deployments import Deployment
from gpucloud.core.errors import CapacityError, GpucloudError, QuotaError
from gpucloud.core.failover import RuledOut, short_since
from gpucloud.core.offers import Offer
from gpucloud.core.plan import UpRequest
from gpucloud.core.quotas import shortage
from gpucloud.core.units import show_duration
from gpucloud.flows.ahead import Quotas
from gpucloud.flows.context import Context

Skip = Callable[[Offer, GpucloudError], str]


class Choosing:
    """One round over the offers of a request. `skip` writes down an offer that is passed over, with the reason."""

    def __init__(self, ctx: Context, deployment_id: str, request: UpRequest, quotas: Quotas, skip: Skip) -> None:
        self._ctx, self._id, self._request, self._quotas, self._skip = ctx, deployment_id, request, quotas, skip
        self.ruled_out = RuledOut()

    def offers(self) -> Iterator[Offer]:
        """One after the other, as long as they are asked for; those that lately had no capacity come last.

        The caller tells `refused` what came of each before it asks for the next.
        """
        cooling: list[Offer] = []
        for offer in self._request.offers:
            if self.ruled_out.covers(offer) or self._too_much(offer):
                continue
            for place in self._places(offer):
                if self._short_lately(place):
                    cooling.append(place)
                elif not self.ruled_out.covers(place):
                    yield place
        for place in cooling:
            if not self.ruled_out.covers(place):
                yield place

    def refused(self, code: str, offer: Offer) -> None:
        """That offer was refused: what else need not be tried."""
        self.ruled_out = self.ruled_out.after(code, offer)

    def _too_much(self, offer: Offer) -> bool:
        provider = self._ctx.clouds.open(offer.cloud)
        if not isinstance(provider, TellsQuotas) or not self._quotas.get(offer.cloud):
            return False
        needs, told = provider.quota_needs(offer), self._quotas[offer.cloud]
        reason = shortage(offer, self._request.nodes, needs, told)
        if reason and not self._said(offer, reason):
            self._skip(offer, QuotaError(reason))
        return bool(reason)

    def _places(self, offer: Offer) -> Sequence[Offer]:
        provider = self._ctx.clouds.open(offer.cloud)
        if not isinstance(provider, NamesPlaces):
            return (offer,)
        try:
            self._ctx.clouds.identity(offer.cloud)  # who cannot log in need not ask for zones
            return provider.places(offer, self._request.options)
        except GpucloudError as error:
            self.refused(self._skip(offer, error), offer)
            return ()

    def _short_lately(self, place: Offer) -> bool:
        present = self._ctx.journal.present()
        last = short_since(present, place)
        if last is None or self._ctx.clock() - last >= self._ctx.waits.cooling:
            return False
        if not _tried_here(present.deployments[self._id], place):
            ago = show_duration(self._ctx.clock() - last)
            self._skip(place, CapacityError(f"There was no capacity {ago} ago, so it is left for last."))
        return True

    def _said(self, offer: Offer, reason: str) -> bool:
        return any(
            line["message"] == reason for line in _lines(self._ctx.journal.present().deployments[self._id], offer)
        )


def _tried_here(deployment: Deployment, place: Offer) -> bool:
    return bool(_lines(deployment, place))


def _lines(deployment: Deployment, offer: Offer) -> list[Mapping[str, object]]:
    keys = ("cloud", "region", "zone", "instance_type", "market")
    return [line for line in deployment.tried if all(line[key] == getattr(offer, key) for key in keys)]
