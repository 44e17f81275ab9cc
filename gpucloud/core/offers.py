"""The nouns of the catalog: accelerator, instance type (what a machine is), offer (one way to buy it)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FRESH_DAYS, RECENT_DAYS, STALE_DAYS = 7, 90, 366
MARKETS = ("on-demand", "spot", "reserved")
TOGETHER = "+"  # between the places of an offer whose machines stand in several (own machines)
CLOUDS_WITH_DRIVER = ("aws", "gcp", "azure")
CLOUDS_WITH_LIVE_PRICES = ("aws", "azure", "gcp", "lambda")  # what `catalog refresh` can ask


@dataclass(frozen=True)
class Accelerator:
    """A GPU or TPU and its datasheet. Missing figures are None. Memory in GiB, dense peaks in TFLOPS."""

    name: str
    family: str
    vendor: str = ""
    architecture: str = ""
    year: int | None = None
    memory_gib: float | None = None
    bandwidth_gb_s: float | None = None
    fp32_tflops: float | None = None
    tf32_tflops: float | None = None
    fp16_tensor_tflops: float | None = None
    fp8_tflops: float | None = None
    tdp_w: float | None = None
    form: str = ""
    compute_capability: str = ""
    nvlink_gb_s: float | None = None
    msrp_usd: float | None = None
    note: str = ""


@dataclass(frozen=True)
class InstanceType:
    """What a machine is. `accelerator_count` is what the guest sees; fractions of a card are allowed."""

    cloud: str
    instance_type: str
    accelerator: str
    accelerator_count: float
    vcpus: float | None = None
    memory_gib: float | None = None
    gpu_memory_gib: float | None = None
    arch: str = "x86_64"
    intra_link: str = ""
    fabric: str = ""
    local_ssd_gib: float | None = None
    stop_supported: bool = True
    status: str = "current"


@dataclass(frozen=True)
class Offer:
    """One way to buy a machine: a place, a market and a price for the whole machine, host included.

    `usd_per_hour` is None where none is published. `age_days` is relative to the day of the question.
    """

    cloud: str
    instance_type: str
    accelerator: str
    accelerator_count: float
    region: str = ""
    zone: str = ""
    market: str = "on-demand"
    usd_per_hour: float | None = None
    gpu_memory_gib: float | None = None
    vcpus: float | None = None
    memory_gib: float | None = None
    arch: str = "x86_64"
    term_months: int | None = None
    price_kind: str = "list"
    availability: str = "unknown"
    billing_increment_s: float = 1.0
    minimum_s: float = 0.0
    observed_on: str = ""
    age_days: int | None = None
    status: str = "current"
    provisionable: bool = False
    stop_supported: bool = True
    fabric: str = ""
    source: str = ""
    flags: tuple[str, ...] = ()
    on_demand_usd_per_hour: float | None = None  # what spot can rise to
    disk_usd_per_gib_month: float | None = None
    address_usd_per_hour: float | None = None
    egress_usd_per_gb: float | None = None  # what leaves the cloud
    extras_observed_on: str = ""

    @property
    def usd_per_gpu_hour(self) -> float | None:
        """Price of one accelerator with its share of the host."""
        if self.usd_per_hour is None or not self.accelerator_count:
            return None
        return self.usd_per_hour / self.accelerator_count


def places_of(region: str) -> tuple[str, ...]:
    """The places of a region that may be several: `box1+box2` has been asked when both have."""
    return tuple(region.split(TOGETHER))


def refresh_command(clouds: Iterable[str]) -> str:
    """The command that asks these clouds what they charge today; empty where none of them can be asked."""
    asked = sorted(set(clouds) & set(CLOUDS_WITH_LIVE_PRICES))
    return f"gpucloud catalog refresh {' '.join(asked)}" if asked else ""


def age_bucket(age_days: int | None) -> str:
    """fresh (≤ 7 days), recent (≤ 90), old, stale (> 1 year); unknown age is stale."""
    if age_days is None or age_days >= STALE_DAYS:
        return "stale"
    if age_days <= FRESH_DAYS:
        return "fresh"
    return "recent" if age_days <= RECENT_DAYS else "old"
