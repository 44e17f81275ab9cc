"""Whether an account may have what is asked for, by the quotas that its cloud tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpucloud.core.cloud import Quota
from gpucloud.core.offers import Offer

EVERYWHERE = ("", "global")  # the region of a quota that counts for all regions together


def shortage(offer: Offer, nodes: int, needs: Mapping[str, float], quotas: Sequence[Quota]) -> str:
    """The sentence with the numbers when `nodes` machines do not fit; empty when they do, or when nobody tells.

    `needs` is what one machine takes, by name of the quota; of several that are too small the tightest is said.
    """
    short = [
        (quota.limit - quota.used - needs[quota.name] * nodes, quota)
        for quota in quotas
        if quota.name in needs and quota.region in (offer.region, *EVERYWHERE)
    ]
    missing = [(rest, quota) for rest, quota in short if rest < -1e-9]
    if not missing:
        return ""
    _, quota = min(missing, key=lambda item: item[0])
    where = "all regions together" if quota.region in EVERYWHERE else quota.region
    need = needs[quota.name] * nodes
    return f"The quota {quota.name} of {where} is {quota.limit:g}, {quota.used:g} in use; this takes {need:g}."
