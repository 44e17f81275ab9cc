"""What the inventory has to offer: each host without a GPU, and with every number of each of its cards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, islice

from gpucloud.core.offers import TOGETHER, Offer
from gpucloud.providers.ssh.inventory import Host

CLOUD = "ssh"
MOST_GROUPS = 40


def offers_of(hosts: Sequence[Host]) -> tuple[Offer, ...]:
    """One offer per host, card and count; a part of the GPUs costs its share of the host."""
    found: list[Offer] = []
    for host in hosts:
        found.append(_offer(host, host.name, "", 0, None, host.usd_per_hour if not host.gpu_count else 0.0))
        for name in dict.fromkeys(item.card.name for item in host.gpus):
            card = next(item.card for item in host.gpus if item.card.name == name)
            for count in range(1, len(host.indexes(name)) + 1):
                usd = host.usd_per_hour * count / host.gpu_count
                found.append(_offer(host, f"{host.name}+{name}:{count}", name, count, card.memory_gib, usd))
    return tuple(found)


def _offer(
    host: Host, instance_type: str, accelerator: str, count: int, memory_gib: float | None, usd_per_hour: float
) -> Offer:
    return Offer(
        cloud=CLOUD,
        instance_type=instance_type,
        accelerator=accelerator,
        accelerator_count=count,
        region=host.name,
        zone=host.name,
        usd_per_hour=usd_per_hour,
        gpu_memory_gib=memory_gib,
        arch="",
        price_kind="own",
        availability="unknown",
        observed_on=time.strftime("%Y-%m-%d", time.gmtime()),
        age_days=0,
        provisionable=True,
        stop_supported=False,
        source="hosts.yaml",
    )


def groups_of(offers: Sequence[Offer], nodes: int) -> tuple[Offer, ...]:
    """Offers of one host each as offers of `nodes` different hosts with equal GPUs; the region names them all.

    The price is that of one node on average, as flows multiply it by the number of nodes.
    """
    kinds: dict[tuple[str, float], list[Offer]] = {}
    for offer in offers:
        kinds.setdefault((offer.accelerator, offer.accelerator_count), []).append(offer)
    found: list[Offer] = []
    for (accelerator, count), alike in kinds.items():
        for group in islice(combinations(alike, nodes), MOST_GROUPS):
            region = TOGETHER.join(offer.region for offer in group)
            usd = sum(offer.usd_per_hour or 0.0 for offer in group) / nodes
            kind = f"{accelerator}:{count:g}" if accelerator else "host"
            found.append(replace(group[0], instance_type=kind, region=region, zone="", usd_per_hour=usd))
    return tuple(found)
