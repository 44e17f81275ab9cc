"""From an offer and a speed to a rented option: hours, money, spot at its effective price, warnings, command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf, log

from gpucloud.core.extras import Besides, ExtraUsd, extra_usd
from gpucloud.core.memory import Fit
from gpucloud.core.offers import Offer, age_bucket
from gpucloud.core.options import Option
from gpucloud.core.pricing import cost_of_work, usd_per_unit_work
from gpucloud.core.speed import Speed
from gpucloud.core.spot import best_stretch, job_mtbf_s, stretch
from gpucloud.core.units import SECONDS

ASSUMED_MTBF_H = 24.0  # no band in the catalog, none stated
SECONDS_PER_MONTH = SECONDS["y"] / 12
OPEN_BAND = 0.30  # `>20%`: the band has no upper end
MARK_AFTER_DAYS = 30
FEW_CPU_RATE = 150.0  # images a second that one vCPU decodes and augments at most
LATE_SHARE = 1.25


@dataclass(frozen=True)
class Interruptions:
    """What spot machines do to this work. `mtbf_s` None: the catalog's band, else an assumption."""

    checkpoint_s: float = 180.0
    restart_s: float = 600.0
    mtbf_s: float | None = None
    interval_s: float | None = None


NOTHING = Besides()


def band_mtbf_s(offer: Offer) -> float | None:
    """MTBF from the share of machines reclaimed in a month, at the unlucky end of the catalog's band."""
    band = next((flag.split("=")[1] for flag in offer.flags if flag.startswith("interruption=")), None)
    if band is None:
        return None
    digits = band.strip("<>%").split("-")[-1].rstrip("%")
    share = OPEN_BAND if band.startswith(">") else float(digits) / 100
    return SECONDS_PER_MONTH / -log(1 - share)


def node_mtbf_s(offer: Offer, about: Interruptions) -> tuple[float, str]:
    """MTBF of one spot machine, and where it comes from."""
    if about.mtbf_s is not None:
        return about.mtbf_s, "as stated"
    band = band_mtbf_s(offer)
    if band is not None:
        return band, "from the catalog's interruption band"
    return ASSUMED_MTBF_H * 3600, f"assumed {ASSUMED_MTBF_H:g} h"


def spot_stretch(offer: Offer, nodes: int, about: Interruptions) -> float:
    """Wall time over useful time on `nodes` spot machines that must all live."""
    mtbf = job_mtbf_s(node_mtbf_s(offer, about)[0], nodes)
    if about.interval_s is None:
        return best_stretch(about.checkpoint_s, mtbf, about.restart_s)
    return stretch(about.interval_s, about.checkpoint_s, mtbf, about.restart_s)


def rented(
    offer: Offer,
    nodes: int,
    speed: Speed,
    work: float,
    about: Interruptions,
    besides: Besides = NOTHING,
    *,
    memory: Fit | None = None,
    spot: Offer | None = None,
) -> Option | None:
    """The option of renting `nodes` of `offer` for `work` units; None when there is no price or no end.

    `spot` is the same machine on the spot market, for the effective price beside an on-demand one.
    """
    factor = spot_stretch(offer, nodes, about) if offer.market == "spot" else 1.0
    if offer.usd_per_hour is None or factor == inf:
        return None
    bills = [_bill(offer, nodes, work * factor, rate, besides) for rate in (speed.value, speed.high, speed.low)]
    (hours, usd), (low_hours, low_usd), (high_hours, high_usd) = bills
    extra = extra_usd(offer, nodes, hours, besides)
    found = Option(
        "rent", offer.accelerator, offer.accelerator_count, nodes, speed, hours, low_hours, high_hours,
        usd, low_usd, high_usd, offer=offer, memory=memory,
        usd_per_unit_work=usd_per_unit_work(offer.usd_per_hour * nodes * factor, speed.value, speed.unit),
        effective_spot=_effective_usd_per_hour(offer, nodes, about, spot), besides=extra,
        reasons=tuple(_besides_words(offer, extra, besides)),
    )  # fmt: skip
    return replace(found, warnings=tuple(_warnings(found, about, besides)), command=command(found, besides.disk_gib))


def _bill(offer: Offer, nodes: int, work: float, rate: float, besides: Besides) -> tuple[float, float]:
    """(hours, USD) with set-up, disks, addresses and the download."""
    hours, usd = cost_of_work(
        work,
        rate,
        offer.usd_per_hour or 0.0,
        nodes=nodes,
        setup_s=besides.setup_s,
        billing_increment_s=offer.billing_increment_s,
        minimum_s=offer.minimum_s,
    )
    return hours, usd + extra_usd(offer, nodes, hours, besides).total


def _besides_words(offer: Offer, extra: ExtraUsd, besides: Besides) -> list[str]:
    """What of the sum is not the price of the hours."""
    known = {"disk": extra.disk, "address": extra.address, "download": extra.egress if besides.download_gb else None}
    words = [f"{name} ${usd:.2f}" for name, usd in known.items() if usd]
    found = [f"with {', '.join(words)} (prices of {extra.observed_on})"] if words else []
    return [*found, *([f"with {besides.setup_s / 60:.3g} min of set-up"] if besides.setup_s else [])]


def _effective_usd_per_hour(offer: Offer, nodes: int, about: Interruptions, spot: Offer | None) -> float | None:
    market = offer if offer.market == "spot" else spot
    if market is None or market.usd_per_hour is None:
        return None
    factor = spot_stretch(market, nodes, about)
    return None if factor == inf else market.usd_per_hour * nodes * factor


def _warnings(option: Option, about: Interruptions, besides: Besides) -> list[str]:
    offer = option.offer
    assert offer is not None
    found = []
    if offer.age_days is None or offer.age_days > MARK_AFTER_DAYS:
        found.append(f"price of {offer.observed_on or 'an unknown day'} ({age_bucket(offer.age_days)})")
    if offer.market == "spot":
        hours = node_mtbf_s(offer, about)
        found.append(f"spot: interrupted every {hours[0] / 3600:.0f} h ({hours[1]}); checkpoint and resume needed")
    if offer.arch == "arm64":
        found.append("arm64 host: images and wheels for x86 do not run")
    if offer.accelerator_count != int(offer.accelerator_count):
        found.append("a share of a card: its neighbours slow it down")
    if besides.download_gb and offer.egress_usd_per_gb is None:
        found.append("what the download costs there is not known, so it is not in the sum")
    found.extend(_input_warning(option, offer))
    if option.speed.high / option.speed.low > LATE_SHARE**2:
        found.append(f"speed is uncertain: {option.low_hours:.3g} to {option.high_hours:.3g} h")
    return found


def _input_warning(option: Option, offer: Offer) -> Sequence[str]:
    if not offer.vcpus or option.speed.unit != "samples/s":
        return ()
    per_cpu = option.speed.value / option.nodes / offer.vcpus
    if per_cpu <= FEW_CPU_RATE:
        return ()
    return (f"{per_cpu:.0f} samples/s per vCPU: loading the data may be the limit",)


def command(option: Option, disk_gib: float | None = None) -> str:
    """The `gpucloud up` that starts this option; empty where gpucloud cannot."""
    offer = option.offer
    if offer is None or not offer.provisionable:
        return ""
    words = ["gpucloud up", f"--gpu {offer.accelerator}:{offer.accelerator_count:g}", f"--cloud {offer.cloud}"]
    words.append(f"--instance-type {offer.instance_type} --region {offer.region}")
    words += [f"--zone {offer.zone}"] if offer.zone else []
    words += [f"--nodes {option.nodes}"] if option.nodes > 1 else []
    words += ["--spot"] if offer.market == "spot" else []
    words += [f"--disk-gib {ceil(disk_gib)}"] if disk_gib else []
    words.append(f"--max-hours {max(1, ceil(option.high_hours * 1.1))}")
    return " ".join(words)
