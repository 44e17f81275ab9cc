"""In which zones an offer can be asked for, where its price is for a whole region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpucloud.core.errors import NotOffered
from gpucloud.core.offers import Offer
from gpucloud.providers.gcp.api import Api, last
from gpucloud.providers.gcp.machines import region_of
from gpucloud.providers.gcp.shapes import shape_of


def places(api: Api, offer: Offer) -> Sequence[Offer]:
    """The offer in each zone of its region that has the machine type, in the order of their names."""
    machine_type = shape_of(offer).machine_type
    if offer.zone:
        return (offer,)
    if not offer.region:
        raise NotOffered(f"The price of {offer.instance_type} is for no region of gcp.", "Refresh the catalog.")
    zones = _zones_with(api, machine_type)
    found = [zone for zone in zones if region_of(zone) == offer.region]
    if not found:
        raise NotOffered(f"No zone of {offer.region} has {offer.instance_type}.")
    return tuple(replace(offer, zone=zone) for zone in found)


def _zones_with(api: Api, machine_type: str) -> list[str]:
    pages = api.pages("MachineTypes", "aggregated_list", filter=f"name eq {machine_type}")
    return sorted(last(scope) for page in pages for scope, part in page.items.items() if part.machine_types)
