"""Which GPUs this computer has, by asking nvidia-smi."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass

_QUERY = ["--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
_MAKERS = re.compile(r"\b(nvidia|geforce|tesla|quadro|graphics|gpu)\b", re.IGNORECASE)
_FORM = re.compile(r"\b(SXM|PCIE?|NVL)\d?\b", re.IGNORECASE)
_MEMORY = re.compile(r"\b(\d+)\s?GB\b", re.IGNORECASE)
# cards whose catalog name tells form and memory; the driver counts a little less than is sold
SOLD_MEMORY_GIB = {"A100": (40, 80), "H100": (80, 94), "H200": (141,), "V100": (16, 32)}


@dataclass(frozen=True)
class LocalGpus:
    """The commonest card here: its catalog name as far as the driver's name tells it, count and memory each."""

    accelerator: str = ""
    count: int = 0
    memory_gib: float | None = None


def local_gpus(timeout_s: float = 5.0) -> LocalGpus:
    """The GPUs that the driver shows; none when there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return LocalGpus()
    try:
        answer = subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=timeout_s, check=True)
    except (OSError, subprocess.SubprocessError):
        return LocalGpus()
    return parse_listing(answer.stdout)


def parse_listing(listing: str) -> LocalGpus:
    """nvidia-smi's `name, MiB` lines as one kind of card. Several kinds: the one there is most of."""
    cards: Counter[tuple[str, float]] = Counter()
    for line in listing.splitlines():
        name, _, memory = line.rpartition(",")
        if name and memory.strip().replace(".", "").isdigit():
            cards[name.strip(), float(memory)] += 1
    if not cards:
        return LocalGpus()
    (name, memory_mib), count = cards.most_common(1)[0]
    memory_gib = float(round(memory_mib / 1024))
    return LocalGpus(catalog_name(name, memory_gib), count, memory_gib)


def catalog_name(driver_name: str, memory_gib: float) -> str:
    """`NVIDIA A100-SXM4-80GB` → `A100-SXM-80GB`, `NVIDIA GeForce RTX 3090` → `RTX3090`, `Tesla T4` → `T4`."""
    form = _FORM.search(driver_name)
    words = _MAKERS.sub(" ", _MEMORY.sub(" ", _FORM.sub(" ", driver_name))).replace("-", " ").upper().split()
    model = "".join(word for word in words if not word.startswith("HBM"))
    if model not in SOLD_MEMORY_GIB:
        return model.removesuffix("ADAGENERATION") + "-ADA" if model.endswith("ADAGENERATION") else model
    size = min(SOLD_MEMORY_GIB[model], key=lambda sold: abs(sold - memory_gib))
    kind = "" if model == "V100" else {"P": "PCIE", "N": "NVL"}.get(form[1][0].upper() if form else "", "SXM")
    return "-".join(part for part in (model, kind, f"{size}GB") if part)
