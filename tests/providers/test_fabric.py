"""The plan says where a fast network between the nodes is paid for and not set up."""

import pytest

from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.offers import Offer
from gpucloud.providers.aws import guards as aws
from gpucloud.providers.azure import guards as azure
from gpucloud.providers.gcp import guards as gcp

OFFERS = {
    aws: (Offer("aws", "p5.48xlarge", "H100-SXM-80GB", 8, region="us-east-1", fabric="efa-3200g"), "EFA"),
    gcp: (
        Offer("gcp", "a3-highgpu-8g", "H100-SXM-80GB", 8, zone="us-central1-a", fabric="gpudirect-tcpx"),
        "GPUDirect",
    ),
    azure: (Offer("azure", "Standard_ND96isr_H100_v5", "H100-SXM-80GB", 8, fabric="infiniband-3200g"), "InfiniBand"),
}


def notes(driver, offer, nodes):
    spec = LaunchSpec("train-aaaaaaaa", "train", 1, "", offer, nodes, {}, "")
    return [note for note in driver.outline(spec).notes if "not set up" in note]


@pytest.mark.parametrize("driver", OFFERS, ids=lambda driver: driver.__name__.split(".")[-2])
def test_several_nodes_are_told_that_the_fabric_is_not_set_up(driver):
    offer, name = OFFERS[driver]
    assert [note.split(" ")[0] for note in notes(driver, offer, 2)] == [name]
    assert notes(driver, offer, 1) == []
