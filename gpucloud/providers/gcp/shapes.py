"""From the catalog's words to Compute Engine's: machine type, accelerators, disk type, quota names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpucloud.core.errors import NotOffered
from gpucloud.core.offers import Offer

# N1 hosts carry their GPUs as a part of their own; the newer families have them built in.
ATTACHED: Mapping[str, str] = {
    "T4": "nvidia-tesla-t4",
    "P4": "nvidia-tesla-p4",
    "P100": "nvidia-tesla-p100",
    "V100": "nvidia-tesla-v100",
    "K80": "nvidia-tesla-k80",
}
# Families that take no Persistent Disk to boot from (Compute Engine's page on Hyperdisk, November 2026).
HYPERDISK_ONLY = ("a3-ultragpu", "a4", "a4x", "g4", "c4", "c4a", "c4d", "n4")
GVNIC_ONLY = ("a3", "a4", "a4x", "g4")
# The regional quota of a card by the catalog's name; cards that are not here have no metric in regions.list.
METRICS: Mapping[str, str] = {
    "T4": "NVIDIA_T4_GPUS",
    "P4": "NVIDIA_P4_GPUS",
    "P100": "NVIDIA_P100_GPUS",
    "V100-16GB": "NVIDIA_V100_GPUS",
    "K80": "NVIDIA_K80_GPUS",
    "L4": "NVIDIA_L4_GPUS",
    "A100-SXM-40GB": "NVIDIA_A100_GPUS",
    "A100-SXM-80GB": "NVIDIA_A100_80GB_GPUS",
}
SPOT_METRICS: Mapping[str, str] = {**METRICS, "H100-SXM-80GB": "NVIDIA_H100_GPUS"}
ALL_REGIONS = "GPUS_ALL_REGIONS"
TPU_SENTENCE = "Cloud TPUs are another service with its own machines; gpucloud starts GPU machines at gcp only."


@dataclass(frozen=True)
class Shape:
    """What to ask for. `accelerator` is empty where the GPUs are built in; `has_gpu` counts both."""

    machine_type: str
    accelerator: str = ""
    accelerator_count: int = 0
    has_gpu: bool = False
    disk_type: str = "pd-balanced"
    gvnic: bool = False


def shape_of(offer: Offer) -> Shape:
    """The shape of an offer. Raises NotOffered for what this driver cannot start."""
    if offer.instance_type.startswith("tpu-") or offer.accelerator.startswith("TPU"):
        raise NotOffered(f"{offer.instance_type}: {TPU_SENTENCE}", "Choose a GPU, or another cloud.")
    machine_type, _, attached = offer.instance_type.partition("+")
    card, count = _attached(offer.instance_type, attached) if attached else ("", 0)
    return Shape(
        machine_type=machine_type,
        accelerator=card,
        accelerator_count=count,
        has_gpu=bool(attached or offer.accelerator),
        disk_type="hyperdisk-balanced" if _of_family(machine_type, HYPERDISK_ONLY) else "pd-balanced",
        gvnic=_of_family(machine_type, GVNIC_ONLY),
    )


def _attached(instance_type: str, words: str) -> tuple[str, int]:
    name, _, count = words.partition(":")
    if name not in ATTACHED or not (count or "1").isdigit():
        raise NotOffered(f"Compute Engine sells no {words} with its N1 machines ({instance_type}).")
    return ATTACHED[name], int(count or "1")


def _of_family(machine_type: str, families: tuple[str, ...]) -> bool:
    return any(machine_type.startswith(f"{family}-") for family in families)


def instance_type_of(machine_type: str, accelerators: Mapping[str, int]) -> str:
    """Back again: `n1-standard-8` with one `nvidia-tesla-t4` is `n1-standard-8+T4:1`."""
    names = {word: name for name, word in ATTACHED.items()}
    for word, count in accelerators.items():
        if word in names and machine_type.startswith("n1-"):
            return f"{machine_type}+{names[word]}:{count}"
    return machine_type


def quota_needs(offer: Offer) -> Mapping[str, float]:
    """How much of which quota one machine takes, by the cloud's own metric."""
    if not offer.accelerator or offer.accelerator.startswith("TPU"):
        return {}
    spot = offer.market == "spot"
    metric = (SPOT_METRICS if spot else METRICS).get(offer.accelerator, "")
    needs = {ALL_REGIONS: float(offer.accelerator_count)}
    if metric:
        needs[f"PREEMPTIBLE_{metric}" if spot else metric] = float(offer.accelerator_count)
    return needs
