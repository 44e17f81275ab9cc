"""The SQL answers every query as the plain function over all offers does."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucloud.catalog.catalog import open_catalog
from gpucloud.catalog.location import catalog_folder
from gpucloud.core.accelerators import GpuRequest
from gpucloud.core.query import OfferQuery, select
from tests.small_catalog import write

TODAY = date(2026, 7, 1)
EVERYTHING = OfferQuery(all_regions=True, market="any", retired=True, suspect=True)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """Prices, ages, states and places in every mixture."""
    lines = ["instance_type,region,zone,market,term_months,usd_per_hour,availability,price_kind,observed_on,status\n"]
    days = ("2026-06-30", "2025-07-01", "2025-06-30", "2024-01-01", "")
    for number in range(240):
        kind = ("p4d", "p4de", "p2")[number % 3]
        market = ("on-demand", "spot", "reserved")[number * 7 % 11 % 3]
        term = ("", "12", "36")[number % 7 % 3] if market == "reserved" else ""
        price = "" if number % 13 == 0 else str(1 + number * 37 % 50)
        status = ("current", "current", "suspect", "retired")[number * 5 % 17 % 4]
        how = ("open", "unknown", "capacity_block", "spot_only")[number % 5 % 4]
        what = ("list", "community")[number % 9 == 0]
        place = ("", "r1", "r2", "r3")[number % 19 % 4]
        lines.append(f"{kind},{place},z{number},{market},{term},{price},{how},{what},{days[number % 5]},{status}\n")
    folder = write(tmp_path_factory.mktemp("csv"), offers_aws="".join(lines))
    with open_catalog(folder=folder, today=TODAY) as opened:
        yield opened


REQUESTS = st.sampled_from(
    [
        GpuRequest("A100", ("A100-PCIE-80GB", "A100-SXM-40GB", "A100-SXM-80GB")),
        GpuRequest("A100-SXM-40GB:8", ("A100-SXM-40GB",), 8.0),
        GpuRequest("A10:1", ("A10",), 1.0),
        GpuRequest("K80", ("K80",)),
    ]
)
SOMETIMES = st.booleans()
QUERIES = st.builds(
    OfferQuery,
    gpus=st.lists(REQUESTS, max_size=2).map(tuple),
    clouds=st.sampled_from([(), ("aws",), ("aws", "azure"), ("lambda",)]),
    regions=st.sampled_from([(), ("r1",), ("r1", "eastus")]),
    instance_types=st.sampled_from([(), ("p4d",)]),
    market=st.sampled_from(["on-demand", "spot", "reserved", "any"]),
    min_gpu_memory_gib=st.sampled_from([None, 20.0, 80.0]),
    min_count=st.sampled_from([None, 1.0, 4.0]),
    max_usd_per_hour=st.sampled_from([None, 5.0, 30.0]),
    all_regions=SOMETIMES,
    retired=SOMETIMES,
    suspect=SOMETIMES,
    rank_stale=SOMETIMES,
    provisionable_only=SOMETIMES,
    sort=st.sampled_from(["price", "gpu-price"]),
    limit=st.sampled_from([None, 1, 5]),
)


@settings(max_examples=300, deadline=None)
@given(query=QUERIES)
def test_sql_and_plain_python_agree(catalog, query):
    assert catalog.offers(query) == select(catalog.offers(EVERYTHING), query)


@settings(max_examples=100, deadline=None)
@given(query=QUERIES)
def test_counts_agree_with_the_offers(catalog, query):
    whole = replace(query, all_regions=True, limit=None)
    assert catalog.count(query) == len(catalog.offers(whole))
    every = catalog.offers(replace(whole, market="any", retired=True, suspect=True))
    if not query.provisionable_only:
        assert sum(catalog.tally(query).values()) == len(every)


def test_a_stale_price_is_older_than_a_year_or_of_no_known_day(catalog):
    ages = {offer.observed_on: offer.age_days for offer in catalog.offers(EVERYTHING)}
    assert (ages["2025-07-01"], ages["2025-06-30"], ages[""]) == (365, 366, None)


def test_what_can_be_started(tmp_path):
    with open_catalog(folder=write(tmp_path), today=TODAY) as catalog:
        can = {(o.instance_type, o.region, o.market): o.provisionable for o in catalog.offers(EVERYTHING)}
    assert can["p4d", "us-east-1", "on-demand"] and can["p4d", "us-east-1", "spot"]
    assert can["nv6", "eastus", "on-demand"]
    for kind in ("p2", "tpu-v3-8", "gpu_8x"):
        assert not any(able for (name, _, _), able in can.items() if name == kind)
    assert not can["p4de", "us-east-1", "on-demand"] and not can["p4de", "us-west-2", "on-demand"]


def test_memory_as_sold_falls_back_on_the_cards(tmp_path):
    with open_catalog(folder=write(tmp_path), today=TODAY) as catalog:
        memory = {kind.instance_type: kind.gpu_memory_gib for kind in catalog.instance_types()}
    assert (memory["nv6"], memory["nv36"]) == (4, 24)


def test_every_shipped_price_is_the_files_own():
    folder = catalog_folder({})
    expected = []
    for path in sorted(Path(folder, "offers").glob("*.csv")):
        for row in csv.DictReader(path.read_text().splitlines()):
            price = float(row["usd_per_hour"]) if row["usd_per_hour"] else None
            expected.append((path.stem, row["instance_type"], row["region"], row["zone"], row["market"], price))
    with open_catalog(folder=folder) as catalog:
        found = [
            (o.cloud, o.instance_type, o.region, o.zone, o.market, o.usd_per_hour) for o in catalog.offers(EVERYTHING)
        ]
    assert sorted(map(repr, found)) == sorted(map(repr, expected)) and len(found) > 10_000
