"""How many vCPUs of each family the account may run in a region, and runs now; EC2 counts GPUs that way."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from gpucloud.core.cloud import Quota
from gpucloud.core.errors import GpucloudError
from gpucloud.core.offers import Offer
from gpucloud.providers.aws.regions import Regions
from gpucloud.providers.aws.session import Clients
from gpucloud.providers.in_parallel import outcomes

# Service Quotas, service "ec2": code → (family of types, market). Read in a copy of AWS's page "Amazon EC2 endpoints
# and quotas" (docs.aws.amazon.com/general/latest/gr/ec2-service.html); its spot row L-7212CCBC is "P4, P3 and P2",
# L-C4BD4855 is P5, and it has none for P6.
CODES = {
    "L-417A185B": ("P", "on-demand"),
    "L-7212CCBC": ("P", "spot"),
    "L-C4BD4855": ("P5", "spot"),
    "L-DB2E81BA": ("G and VT", "on-demand"),
    "L-3819A6DF": ("G and VT", "spot"),
    "L-1216C47A": ("Standard", "on-demand"),
    "L-34B43A08": ("Standard", "spot"),
    "L-1945791B": ("Inf", "on-demand"),
    "L-B5D1601B": ("Inf", "spot"),
    "L-2C3B7624": ("Trn", "on-demand"),
    "L-6B0D517C": ("Trn", "spot"),
    "L-6E869C2A": ("DL", "on-demand"),
    "L-85EED4F7": ("DL", "spot"),
}
SHOWN = ("P", "P5", "G and VT")  # the others matter to offers, not to `check`
LETTERS = {"p": "P", "g": "G and VT", "gr": "G and VT", "vt": "G and VT", "inf": "Inf", "trn": "Trn", "dl": "DL"}
SPOT_P = {"2": "P", "3": "P", "4": "P", "5": "P5"}  # by generation; P6 spot has a quota whose code is not known
STANDARD = frozenset("acdhimrtz")
AT_ONCE = 32


def quota_name(family: str, market: str) -> str:
    """`P vCPUs, spot`."""
    return f"{family} vCPUs, {market}"


def family_of(instance_type: str, market: str) -> str:
    """The family whose quota a type counts against, empty for one that has its own."""
    match = re.match(r"[a-z]+", instance_type)
    prefix = match[0] if match else ""
    if prefix == "p" and market == "spot":
        return SPOT_P.get(instance_type[1:2], "")
    if prefix in LETTERS:
        return LETTERS[prefix]
    return "Standard" if prefix[:1] in STANDARD and len(prefix) <= 2 else ""


def quota_needs(offer: Offer) -> Mapping[str, float]:
    """vCPUs that one machine of the offer takes, by the name of the quota."""
    family = family_of(offer.instance_type, offer.market)
    if not family or not offer.vcpus:
        return {}
    return {quota_name(family, offer.market): offer.vcpus}


def quotas(clients: Clients, regions: Regions, asked: Sequence[str]) -> Sequence[Quota]:
    """GPU families of all regions, or everything that we know of in the regions asked for.

    A region that does not answer is left out; the first error is raised when none answers.
    """
    places = tuple(asked) or tuple(regions.enabled())
    answers = outcomes([partial(_of_region, clients, region) for region in places], AT_ONCE)
    errors = [answer for answer in answers if isinstance(answer, GpucloudError)]
    if errors and len(errors) == len(places):
        raise errors[0]
    found = [quota for answer in answers if not isinstance(answer, GpucloudError) for quota in answer]
    if asked:
        return found
    shown = {quota_name(family, market) for family in SHOWN for market in ("on-demand", "spot")}
    return [quota for quota in found if quota.name in shown]


def _of_region(clients: Clients, region: str) -> list[Quota]:
    rows = clients.pages("service-quotas", region, "ListServiceQuotas", "Quotas", ServiceCode="ec2", MaxResults=100)
    limits = {CODES[row["QuotaCode"]]: float(row["Value"]) for row in rows if row["QuotaCode"] in CODES}
    used = _used(clients, region) if limits else {}
    return [
        Quota(region, quota_name(family, market), limit, used.get((family, market), 0.0))
        for (family, market), limit in sorted(limits.items())
    ]


def _used(clients: Clients, region: str) -> dict[tuple[str, str], float]:
    """vCPUs that run now, by family and market."""
    only = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    used: dict[tuple[str, str], float] = {}
    for row in clients.pages("ec2", region, "DescribeInstances", "Reservations", Filters=only):
        for instance in row["Instances"]:
            market = "spot" if instance.get("InstanceLifecycle") == "spot" else "on-demand"
            key = (family_of(instance.get("InstanceType", ""), market), market)
            used[key] = used.get(key, 0.0) + _vcpus(instance)
    return used


def _vcpus(instance: Mapping[str, Any]) -> float:
    cpu = instance.get("CpuOptions", {})
    return float(cpu.get("CoreCount", 0) * cpu.get("ThreadsPerCore", 1))
