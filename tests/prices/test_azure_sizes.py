"""New Azure sizes: what the known ones of a series say about another one, and what nobody can say."""

from __future__ import annotations

import pytest

from gpucloud.core.offers import InstanceType
from gpucloud.prices.azure_sizes import described


def test_a_new_size_of_a_known_series_has_gpus_in_proportion(shipped_kinds: dict[str, list[InstanceType]]) -> None:
    names = ["Standard_NC72ads_A100_v4", "Standard_NV24as_v4", "Standard_NV48as_v4", "Standard_NC24ads_A100_v4"]
    shapes = {shape.instance_type: shape for shape in described(names, shipped_kinds["azure"])}
    three = shapes["Standard_NC72ads_A100_v4"]  # 24 vCPUs and 220 GiB for each A100 in this series
    assert (three.accelerator, three.accelerator_count) == ("A100-PCIE-80GB", 3)
    assert (three.vcpus, three.memory_gib, three.gpu_memory_gib) == (72, 660, 80)
    assert shapes["Standard_NV24as_v4"].accelerator_count == 0.75  # shares are sold there
    assert set(shapes) == {"Standard_NC72ads_A100_v4", "Standard_NV24as_v4"}  # one and a half GPUs are none


@pytest.mark.parametrize(
    "name",
    [
        "Standard_NC320ads_H300_v7",  # a new series
        "Standard_NC160adis_H100_v5",  # one known size is no proportion
        "Standard_NC2as_T4_v3",  # a series whose sizes differ only in the host
        "Standard_NC12ads_A100_v4",  # half a card, in a series that sells none
        "Standard_NC_A100",
        "Standard_D4s_v5",
        "=cmd|calc",
    ],
)
def test_a_size_that_nothing_is_known_of_stays_undescribed(
    name: str, shipped_kinds: dict[str, list[InstanceType]]
) -> None:
    assert described([name], shipped_kinds["azure"]) == ()


def test_each_known_size_left_out_comes_back_or_stays_undescribed(shipped_kinds: dict[str, list[InstanceType]]) -> None:
    kinds = shipped_kinds["azure"]
    found = 0
    for kind in kinds:
        for shape in described([kind.instance_type], [one for one in kinds if one is not kind]):
            found += 1
            assert (shape.accelerator, shape.vcpus) == (kind.accelerator, kind.vcpus)
            assert shape.accelerator_count == pytest.approx(kind.accelerator_count, rel=0.01)
            assert shape.memory_gib == pytest.approx(kind.memory_gib, rel=0.16)
    assert found > 25
