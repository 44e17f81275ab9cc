"""`gpucloud gpus`: accelerators and their specs, and where one is sold."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from gpucloud.catalog.catalog import Catalog
from gpucloud.cli.names_asked import commas
from gpucloud.cli.offer_view import whole
from gpucloud.cli.options import current
from gpucloud.cli.outside import opened_catalog
from gpucloud.core.accelerators import GpuRequest, parse_request
from gpucloud.core.offers import Accelerator, Offer
from gpucloud.core.query import OfferQuery, is_stale
from gpucloud.render.text import count, significant
from gpucloud.render.view import Column, Section, View, plain, show, usd

COLUMNS = (
    Column("name", "GPU"),
    Column("vendor", "Vendor", keep=2),
    Column("architecture", "Architecture", keep=1),
    Column("year", "Year", right=True, keep=4),
    Column("memory_gib", "GiB", right=True),
    Column("bandwidth_gb_s", "GB/s", right=True, write=significant, keep=8),
    Column("fp32_tflops", "FP32 TFLOPS", right=True, write=significant, keep=3),
    Column("fp16_tensor_tflops", "FP16 TFLOPS", right=True, write=significant, keep=8),
    Column("fp8_tflops", "FP8 TFLOPS", right=True, write=significant, keep=2),
    Column("tdp_w", "W", right=True, write=significant, keep=3),
    Column("form", "Form", keep=4),
    Column("cloud_count", "Clouds", right=True, keep=6),
    Column("usd_per_gpu_hour_from", "From USD/GPU-h", right=True, write=usd(3), keep=7),
    Column("tf32_tflops", "TF32 TFLOPS", right=True, wide=True, write=significant),
    Column("compute_capability", "Capability", wide=True),
    Column("nvlink_gb_s", "NVLink GB/s", right=True, wide=True, write=significant),
    Column("msrp_usd", "MSRP USD", right=True, wide=True, write=significant),
    Column("aliases", "Also called", wide=True),
    Column("note", "Note", wide=True),
)
SOLD_COLUMNS = (
    Column("accelerator", "GPU", floor=18),
    Column("cloud", "Cloud"),
    Column("accelerator_counts", "In a machine", write=lambda counts: ", ".join(map(count, counts))),
    Column("region_count", "Regions", right=True, keep=6, write=lambda number: plain(number or None)),
    Column("usd_per_gpu_hour_from", "From USD/GPU-h", right=True, write=usd(3)),
    Column("instance_type", "With", keep=7),
)


def gpus(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="A family, a full name or an alias.")
    ] = None,
) -> None:
    """Accelerators and their specs: dense peaks, memory, and the lowest current on-demand price of one.

    With a name: every detail of that card or family, its other names, and the clouds that sell it.
    """
    with opened_catalog() as catalog:
        cards, aliases = catalog.accelerators(), catalog.aliases()
        asked = [parse_request(name, cards, aliases) for name in commas(names)]
        chosen = _chosen(cards, asked)
        sold = _sold(catalog, tuple(asked))
        records = [_record(card, aliases, sold) for card in chosen]
        show(_view(records, detailed=bool(asked)), current().output)


def _chosen(cards: tuple[Accelerator, ...], asked: list[GpuRequest]) -> list[Accelerator]:
    names = {name for request in asked for name in request.accelerators}
    return [card for card in cards if not asked or card.name in names]


def _sold(catalog: Catalog, asked: tuple[GpuRequest, ...]) -> dict[str, list[dict[str, Any]]]:
    """For each card the clouds that sell it on demand, cheapest first."""
    offers = catalog.offers(OfferQuery(gpus=asked, sort="gpu-price", all_regions=bool(asked)))
    found: dict[str, dict[str, list[Offer]]] = {}
    for offer in offers:
        found.setdefault(offer.accelerator, {}).setdefault(offer.cloud, []).append(offer)
    return {card: [_of_cloud(offers) for offers in clouds.values()] for card, clouds in found.items()}


def _of_cloud(offers: list[Offer]) -> dict[str, Any]:
    best = offers[0]
    ranked = best.usd_per_gpu_hour is not None and not is_stale(best)
    return {
        "accelerator": best.accelerator,
        "cloud": best.cloud,
        "accelerator_counts": [whole(number) for number in sorted({offer.accelerator_count for offer in offers})],
        "region_count": len({offer.region for offer in offers if offer.region}),
        "usd_per_gpu_hour_from": best.usd_per_gpu_hour if ranked else None,
        "instance_type": best.instance_type,
        "provisionable": any(offer.provisionable for offer in offers),
    }


def _record(card: Accelerator, aliases: dict[str, str], sold: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    specs = {key: whole(value) if isinstance(value, float) else value for key, value in asdict(card).items()}
    clouds = sold.get(card.name, [])
    prices = [cloud["usd_per_gpu_hour_from"] for cloud in clouds if cloud["usd_per_gpu_hour_from"] is not None]
    return {
        **{key: None if value == "" else value for key, value in specs.items()},
        "aliases": sorted(alias for alias, name in aliases.items() if name == card.name),
        "usd_per_gpu_hour_from": min(prices, default=None),
        "sold": clouds,
    }


def _view(records: list[dict[str, Any]], detailed: bool) -> View:
    rows = [{**record, "cloud_count": len(record["sold"]) or None} for record in records]
    if not detailed:
        listed = [{key: value for key, value in record.items() if key != "sold"} for record in records]
        notes = [
            f"{len(rows)} accelerators; `gpucloud gpus NAME` shows one in full, `gpucloud compare NAME` its offers."
        ]
        notes.append("Peaks are dense. Prices are the lowest current on-demand ones of the last year.")
        return View("gpus", {"accelerators": listed}, COLUMNS, rows, notes)
    sold = [cloud for record in records for cloud in record["sold"]]
    sections = [Section("Sold on demand", SOLD_COLUMNS, sold)] if sold else []
    notes = [*_also(records), *([] if sold else ["No cloud in the catalog sells it on demand."])]
    return View("gpus", {"accelerators": records}, COLUMNS, rows, notes, sections=sections)


def _also(records: list[dict[str, Any]]) -> list[str]:
    called = [f"{one['name']} is also called {', '.join(one['aliases'])}." for one in records if one["aliases"]]
    return [*called, *(f"{one['name']}: {one['note']}." for one in records if one["note"])]
