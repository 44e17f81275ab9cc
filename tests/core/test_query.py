"""Which offers meet the wishes, in what order, and which wish is to blame when none does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpucloud.core.accelerators import GpuRequest
from gpucloud.core.offers import Offer
from gpucloud.core.query import OfferQuery, meets, nearest_misses, order_by, rank_class, select, wishes_of

A100 = GpuRequest("A100", ("A100-SXM-40GB", "A100-SXM-80GB"))
P4D = Offer("aws", "p4d", "A100-SXM-40GB", 8, "us-east-1", usd_per_hour=22.0, gpu_memory_gib=40, age_days=10)
SHARE = Offer("azure", "nv6", "A10", 0.167, "eastus", usd_per_hour=0.45, gpu_memory_gib=4, age_days=10)


def test_a_count_is_exact_and_a_share_is_not_one():
    assert meets(SHARE, OfferQuery(gpus=(GpuRequest("A10", ("A10",)),)))
    assert not meets(SHARE, OfferQuery(gpus=(GpuRequest("A10:1", ("A10",), 1.0),)))


def test_several_gpus_are_alternatives():
    assert meets(SHARE, OfferQuery(gpus=(A100, GpuRequest("A10", ("A10",)))))


@pytest.mark.parametrize(
    "wish",
    [
        {"clouds": ("gcp",)},
        {"regions": ("eu-west-1",)},
        {"market": "spot"},
        {"min_gpu_memory_gib": 41.0},
        {"min_count": 9.0},
        {"max_usd_per_hour": 21.99},
        {"provisionable_only": True},
        {"instance_types": ("p5",)},
    ],
)
def test_each_wish_excludes(wish):
    assert meets(P4D, OfferQuery()) and not meets(P4D, OfferQuery(**wish))


def test_an_offer_without_a_price_is_below_no_limit():
    assert not meets(replace(P4D, usd_per_hour=None), OfferQuery(max_usd_per_hour=1e9))


def test_retired_and_suspect_only_when_asked():
    for status in ("retired", "suspect"):
        offer = replace(P4D, status=status)
        assert not meets(offer, OfferQuery()) and meets(offer, OfferQuery(**{status: True}))


def test_stale_suspect_and_unpriced_stand_behind_the_ranked():
    old = replace(P4D, region="old", usd_per_hour=1.0, age_days=366)
    odd = replace(P4D, region="odd", usd_per_hour=2.0, status="suspect")
    none = replace(P4D, region="none", usd_per_hour=None)
    assert [rank_class(offer) for offer in (P4D, old, odd, none)] == [0, 1, 1, 2]
    wishes = OfferQuery(all_regions=True, suspect=True)
    assert [offer.region for offer in select([none, odd, old, P4D], wishes)] == ["us-east-1", "old", "odd", "none"]
    assert select([P4D, old], replace(wishes, rank_stale=True))[0] == old


def test_the_cheapest_ranked_place_of_each_type():
    cheaper = replace(P4D, region="r2", usd_per_hour=20.0)
    old = replace(P4D, region="r3", usd_per_hour=1.0, age_days=None)
    assert select([P4D, old, cheaper, SHARE], OfferQuery()) == [SHARE, cheaper]
    spot = replace(P4D, market="spot", usd_per_hour=7.0)
    assert select([P4D, spot], OfferQuery(market="any")) == [spot, P4D]


def test_other_figures_keep_the_classes():
    old = replace(P4D, age_days=999)
    figures = {P4D: 5.0, SHARE: None, old: 0.1}
    order = sorted(figures, key=lambda offer: order_by(offer, figures[offer], OfferQuery()))
    assert order == [P4D, SHARE, old]


def search_in(offers):
    def search(query):
        found = select(offers, replace(query, all_regions=True))
        return len(found), found[0] if found else None

    return search


def test_the_single_wish_that_excludes_is_named():
    query = OfferQuery(gpus=(A100,), max_usd_per_hour=5.0, clouds=("aws",))
    (miss,) = nearest_misses(query, search_in([P4D, SHARE]))
    assert (miss.wishes, miss.offers, miss.best) == (("--max-usd-per-hour 5",), 1, P4D)


def test_when_no_single_wish_is_to_blame_the_smallest_set_is_named():
    query = OfferQuery(gpus=(A100,), max_usd_per_hour=5.0, clouds=("gcp",))
    assert [miss.wishes for miss in nearest_misses(query, search_in([P4D]))] == [
        ("--cloud gcp", "--max-usd-per-hour 5")
    ]


def test_every_wish_can_be_to_blame():
    query = OfferQuery((replace(A100, count=4.0),), ("c",), ("r",), (), "spot", 1.0, 2.0, 3.0)
    assert list(wishes_of(query)) == [
        "GPU count 4",
        "--cloud c",
        "--region r",
        "--market spot",
        "--min-gpu-memory 1GB",
        "--min-count 2",
        "--max-usd-per-hour 3",
        "the rule to leave out retired prices (--retired)",
        "the rule to leave out suspect prices (--suspect)",
    ]


def test_what_nobody_sells_has_no_miss():
    assert nearest_misses(OfferQuery(gpus=(GpuRequest("K80", ("K80",)),)), search_in([P4D])) == []
