"""How people ask for a GPU."""

from __future__ import annotations

import pytest

from gpucloud.core.accelerators import parse_request
from gpucloud.core.errors import UsageError
from gpucloud.core.offers import Accelerator, Offer, age_bucket

CARDS = (
    Accelerator("A100-SXM-40GB", "A100", memory_gib=40),
    Accelerator("A100-SXM-80GB", "A100", memory_gib=80),
    Accelerator("A100-PCIE-80GB", "A100", memory_gib=80),
    Accelerator("RTX3090", "RTX3090", memory_gib=24),
    Accelerator("A10", "A10", memory_gib=24),
)
ALIASES = {"3090": "RTX3090"}


@pytest.mark.parametrize(
    ("text", "names", "count"),
    [
        ("A100", ("A100-SXM-40GB", "A100-SXM-80GB", "A100-PCIE-80GB"), None),
        ("a100-80gb:8", ("A100-SXM-80GB", "A100-PCIE-80GB"), 8),
        ("a100-sxm-80gb:8", ("A100-SXM-80GB",), 8),
        ("a100-sxm", ("A100-SXM-40GB", "A100-SXM-80GB"), None),
        ("3090:2", ("RTX3090",), 2),
        ("A10:1", ("A10",), 1),
    ],
)
def test_what_a_request_matches(text, names, count):
    found = parse_request(text, CARDS, ALIASES)
    assert (found.accelerators, found.count) == (names, count)


@pytest.mark.parametrize("text", ["A100:0", "A100:x", "A100:-1", ":8", ""])
def test_malformed_requests(text):
    with pytest.raises(UsageError):
        parse_request(text, CARDS, ALIASES)


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(UsageError) as caught:
        parse_request("RTX3091", CARDS, ALIASES)
    assert "RTX3090" in caught.value.hint


def test_ages():
    assert [age_bucket(days) for days in (0, 7, 8, 90, 91, 365, 366, None)] == [
        "fresh", "fresh", "recent", "recent", "old", "old", "stale", "stale",
    ]  # fmt: skip


def test_price_per_gpu_needs_a_price_and_a_gpu():
    assert Offer("aws", "p", "A100", 8, usd_per_hour=32.0).usd_per_gpu_hour == 4.0
    assert Offer("aws", "p", "A100", 8).usd_per_gpu_hour is None
    assert Offer("local", "local", "", 0, usd_per_hour=0.0).usd_per_gpu_hour is None
