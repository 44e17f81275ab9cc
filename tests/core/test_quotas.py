"""Quotas against what is asked for."""

import math

import pytest

from gpucloud.core.cloud import Quota
from gpucloud.core.offers import Offer
from gpucloud.core.quotas import shortage

OFFER = Offer("gcp", "a2-highgpu-1g", "A100-SXM-40GB", 1, region="us-central1", zone="us-central1-a")
NEEDS = {"NVIDIA_A100_GPUS": 1.0, "GPUS_ALL_REGIONS": 1.0}


@pytest.mark.parametrize(
    ("quotas", "nodes", "short"),
    [
        ([], 1, False),  # nobody tells
        ([Quota("us-central1", "NVIDIA_A100_GPUS", 8, 7)], 1, False),
        ([Quota("us-central1", "NVIDIA_A100_GPUS", 8, 7)], 2, True),
        ([Quota("us-east1", "NVIDIA_A100_GPUS", 0, 0)], 1, False),  # another region's
        ([Quota("us-central1", "NVIDIA_T4_GPUS", 0, 0)], 1, False),  # another GPU's
        ([Quota("global", "GPUS_ALL_REGIONS", 0, 0)], 1, True),
        ([Quota("", "GPUS_ALL_REGIONS", 0, 0)], 1, True),
        ([Quota("us-central1", "NVIDIA_A100_GPUS", math.inf, 99)], 64, False),
    ],
)
def test_what_fits(quotas, nodes, short):
    assert bool(shortage(OFFER, nodes, NEEDS, quotas)) is short


def test_the_sentence_has_the_numbers_of_the_tightest():
    quotas = [Quota("us-central1", "NVIDIA_A100_GPUS", 4, 1), Quota("global", "GPUS_ALL_REGIONS", 2, 2)]
    assert shortage(OFFER, 4, NEEDS, quotas) == (
        "The quota GPUS_ALL_REGIONS of all regions together is 2, 2 in use; this takes 4."
    )
    assert shortage(OFFER, 4, NEEDS, quotas[:1]) == (
        "The quota NVIDIA_A100_GPUS of us-central1 is 4, 1 in use; this takes 4."
    )
