"""Azure sizes that nobody described yet: what their names and the known sizes of their series say together.

A size is named `Standard_<family><vCPUs><features>_<accelerator>_<version>`; documented at
https://learn.microsoft.com/azure/virtual-machines/vm-naming-conventions. Inside one series every size has the same
vCPUs and memory for each GPU.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

from gpucloud.core.fresh import Shape
from gpucloud.core.offers import InstanceType

_SIZE = re.compile(r"Standard_(?P<family>N[A-Z]*)(?P<vcpus>[0-9]+)(?P<rest>[a-z]*(?:_[A-Za-z0-9]+)*)")
ENOUGH = 2  # sizes that have to agree before a third one is derived from them
TOLERANCE = 0.02  # vCPUs for each GPU are equal but for the rounding of a share of a card
MEMORY_TOLERANCE = 0.15

Series = tuple[str, str]


def described(names: Iterable[str], types: Sequence[InstanceType]) -> tuple[Shape, ...]:
    """Shapes of the unknown ones among `names` whose series is known well enough; the others stay undescribed."""
    known = {kind.instance_type for kind in types}
    series = _by_series(types)
    shapes = (_shape(name, series) for name in sorted(set(names) - known))
    return tuple(shape for shape in shapes if shape is not None)


def _by_series(types: Sequence[InstanceType]) -> dict[Series, list[InstanceType]]:
    found: dict[Series, list[InstanceType]] = defaultdict(list)
    for kind in types:
        match = _SIZE.fullmatch(kind.instance_type)
        if match and kind.vcpus == float(match["vcpus"]) and kind.memory_gib and kind.accelerator_count:
            found[match["family"], match["rest"]].append(kind)
    return found


def _shape(name: str, series: dict[Series, list[InstanceType]]) -> Shape | None:
    match = _SIZE.fullmatch(name)
    siblings = series.get((match["family"], match["rest"]), []) if match else []
    if match is None or len(siblings) < ENOUGH or len({kind.accelerator for kind in siblings}) > 1:
        return None
    vcpus_per_gpu = _agreed([(kind.vcpus or 0) / kind.accelerator_count for kind in siblings], TOLERANCE)
    gib_per_vcpu = _agreed([(kind.memory_gib or 0) / (kind.vcpus or 1) for kind in siblings], MEMORY_TOLERANCE)
    if vcpus_per_gpu is None or gib_per_vcpu is None:
        return None
    vcpus = float(match["vcpus"])
    gpus = _gpus(vcpus / vcpus_per_gpu, shares_sold=any(kind.accelerator_count < 1 for kind in siblings))
    if gpus is None:
        return None
    of_card = {kind.gpu_memory_gib for kind in siblings}
    gpu_memory_gib = of_card.pop() if len(of_card) == 1 else None
    first = siblings[0]
    return Shape(name, first.accelerator, gpus, vcpus, round(gib_per_vcpu * vcpus), gpu_memory_gib, first.arch)


def _gpus(count: float, shares_sold: bool) -> float | None:
    """Whole GPUs, or a share of one where the series is known to sell shares."""
    if count < 1 - TOLERANCE:
        return round(count, 3) if shares_sold else None
    return float(round(count)) if abs(count - round(count)) <= TOLERANCE * count else None


def _agreed(figures: Sequence[float], tolerance: float) -> float | None:
    """Their median, when all of them are near it."""
    middle = median(figures)
    return middle if all(abs(figure / middle - 1) <= tolerance for figure in figures) else None
