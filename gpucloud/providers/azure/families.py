"""Which quota a size counts against: Azure's families of vCPUs, by the size's name.

Family names as `az vm list-usage` prints them; spelled in several ways (`Standard NCASv3_T4 Family`,
`StandardNCASv3_T4Family`), they are compared without blanks, underscores and case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gpucloud.core.offers import Offer

ALL_CORES, SPOT_CORES = "cores", "lowPriorityCores"
# A pattern for the size without `Standard_`, and its family; the first that fits counts. Rows without a mark stand
# in Red Hat's table of tested Azure sizes ("Installing on Azure", family names). (1): in published listings of
# `az vm list-usage` only. (2): from memory; a wrong name counts against the cores of the region alone.
FAMILIES: tuple[tuple[str, str], ...] = (
    (r"NC\d+as_T4_v3", "Standard NCASv3_T4 Family"),
    (r"NC\d+r?s_v2", "standardNCSv2Family"),  # (2)
    (r"NC\d+r?s_v3", "standardNCSv3Family"),
    (r"NC\d+ads_A100_v4", "StandardNCADSA100v4Family"),
    (r"NC\d+ads_A10_v4", "StandardNCADSA10v4Family"),  # (2)
    (r"NC\d+ad(i?)s_H100_v5", "StandardNCadsH100v5Family"),
    (r"NCC\d+ads_H100_v5", "StandardNCCads2023Family"),
    (r"NC\d+r?", "standardNCFamily"),  # (2)
    (r"ND\d+r?s_v2", "standardNDSv2Family"),
    (r"ND\d+r?s", "standardNDSFamily"),  # (2)
    (r"ND\d+asr_v4", "Standard NDASv4_A100 Family"),
    (r"ND\d+amsr_A100_v4", "Standard NDAMSv4_A100Family"),  # (1)
    (r"ND\d+isr_H100_v5", "standardNDSH100v5Family"),
    (r"ND\d+isr_H200_v5", "standardNDISRH200V5Family"),
    (r"ND\d+isr?_MI300X_v5", "standardNDISv5MI300XFamily"),  # (2)
    (r"ND\d+isr_NDR_GB200_v6", "standardNDISRGB200V6NDRFamily"),  # (2)
    (r"NV\d+s_v3", "standardNVSv3Family"),
    (r"NV\d+as_v4", "standardNVSv4Family"),  # (1)
    (r"NV\d+adm?s_A10_v5", "StandardNVADSA10v5Family"),
    (r"NV\d+adm?s_V710_v5", "StandardNVadsV710v5Family"),
    (r"NV\d+", "standardNVFamily"),  # (2)
)


def family_of(instance_type: str) -> str:
    """The family of a GPU size; empty for any other."""
    size = instance_type.removeprefix("Standard_")
    return next((family for pattern, family in FAMILIES if re.fullmatch(pattern, size)), "")


def folded(name: str) -> str:
    """A family's name in the form in which it is compared."""
    return re.sub(r"[\s_]|standard|family|vcpus", "", name.casefold())


KNOWN: Mapping[str, str] = {folded(family): family for _, family in FAMILIES}


def canonical(name: str) -> str:
    """The name that `quota_needs` uses for what Azure calls `name`; empty for families that have no GPU."""
    return name if name in (ALL_CORES, SPOT_CORES) else KNOWN.get(folded(name), "")


def quota_needs(offer: Offer) -> Mapping[str, float]:
    """The vCPUs that one machine takes, by quota. Spot counts against one quota of its own for all families."""
    if not offer.vcpus:
        return {}
    if offer.market == "spot":
        return {SPOT_CORES: float(offer.vcpus)}
    family = family_of(offer.instance_type)
    needs = {ALL_CORES: float(offer.vcpus)}
    return {**needs, family: float(offer.vcpus)} if family else needs
