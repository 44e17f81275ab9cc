"""How much of n GPUs is left when they work together: measured where possible, else by link and number of nodes.

Efficiency is the throughput of n GPUs over n times that of the smallest measured count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import exp, log
from statistics import median
from typing import NamedTuple

from gpucloud.core.scaling import amdahl_serial_share
from gpucloud.core.throughput import Benchmark

# Medians over the models of the Lambda benchmark at 8 GPUs, batch per GPU constant.
EIGHT_BY_LINK = {"nvswitch": 0.97, "nvlink": 0.80, "pcie": 0.93}
EIGHT_UNKNOWN_LINK = 0.93
PLAIN_LINK = "separate-servers"
# One GPU in each of n servers on ordinary Ethernet, medians of the Gavel benchmark.
PLAIN_NETWORK = {2: 0.46, 4: 0.32, 8: 0.26}
# What explains those rows where the model's size is known (ResNet-18 and -50, three cards, 2 to 8 nodes, 75 rows;
# median error 7 %, 10 % with each card left out): 32-bit gradients through 10 Gbit/s, hidden behind a third of a step.
PLAIN_GB_PER_S, HIDDEN_SHARE, BYTES_PER_GRADIENT = 0.92, 0.34, 4
# 32 nodes with InfiniBand keep 0.949 (NVIDIA, BERT-large), four times as many nodes 0.923 (llm-foundry, 7B).
FABRIC_EXPONENT = -0.035
MEASURED_WIDTH, LINK_WIDTH, NODES_WIDTH = log(1.05), log(1.15), log(1.25)


class Efficiency(NamedTuple):
    """Share that is left, half-width (log) of its 80 % interval, and where it comes from."""

    share: float
    width: float
    source: str


class Step(NamedTuple):
    """One step of data-parallel training on one node: how long it takes, and how many gradients it sends."""

    seconds: float
    parameters: float


ALONE = Efficiency(1.0, 0.0, "")


class MultiGpu:
    """Efficiencies of one model, from its measured rows."""

    def __init__(self, rows: Iterable[Benchmark]) -> None:
        rates: dict[tuple[object, ...], dict[tuple[float, int, str], list[float]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for row in rows:
            setup = (row.accelerator, row.precision, row.framework or row.source, row.batch_size)
            rates[setup][row.accelerator_count, row.nodes, row.link].append(row.throughput / row.accelerator_count)
        self._inside: dict[tuple[str, float], list[float]] = defaultdict(list)
        self._across: dict[tuple[bool, int], list[float]] = defaultdict(list)
        for counts in rates.values():
            self._compare(counts)

    def _compare(self, counts: dict[tuple[float, int, str], list[float]]) -> None:
        at_one_node = {key: median(same) for key, same in counts.items() if key[1] == 1}
        if not at_one_node:
            return
        smallest = min(at_one_node, key=lambda key: key[0])
        widest = max(at_one_node, key=lambda key: key[0])
        for (count, nodes, link), same in counts.items():
            if nodes == 1 and count > smallest[0] == 1:
                self._inside[link, count].append(median(same) / at_one_node[smallest])
            if nodes > 1:
                base = at_one_node[smallest] if link == PLAIN_LINK else at_one_node[widest]
                self._across[link == PLAIN_LINK, nodes].append(median(same) / base)

    def inside(self, count: float, link: str = "") -> Efficiency:
        """`count` GPUs of one machine."""
        if count <= 1:
            return ALONE
        same_link = {n: shares for (name, n), shares in self._inside.items() if name == link}
        any_link: dict[float, list[float]] = defaultdict(list)
        for (_, n), shares in self._inside.items():
            any_link[n].extend(shares)
        for found, words in ((same_link if link else {}, f"same model, {link}"), (any_link, "same model, any link")):
            if count in found:
                return Efficiency(min(1.0, median(found[count])), MEASURED_WIDTH, words)
            if found:
                nearest = min(found, key=lambda n: (abs(log(n / count)), n))
                serial = amdahl_serial_share(nearest, min(1.0, median(found[nearest])))
                return Efficiency(1 / (1 + serial * (count - 1)), LINK_WIDTH, f"{words}, from {nearest:g} GPUs")
        serial = amdahl_serial_share(8, EIGHT_BY_LINK.get(link, EIGHT_UNKNOWN_LINK))
        return Efficiency(1 / (1 + serial * (count - 1)), LINK_WIDTH, f"median of models, {link or 'link unknown'}")

    def across(self, nodes: int, fabric: str = "", step: Step | None = None) -> Efficiency:
        """`nodes` machines; without a known fabric they share an ordinary network, which a `step` has to wait for."""
        if nodes <= 1:
            return ALONE
        plain = not fabric
        known = {n: median(shares) for (is_plain, n), shares in self._across.items() if is_plain == plain}
        if nodes in known:
            return Efficiency(min(1.0, known[nodes]), MEASURED_WIDTH, "same model across nodes")
        if plain and step is not None:
            return _waiting(nodes, step)
        if plain:
            return Efficiency(_plain(nodes), NODES_WIDTH, "ordinary network, median of models")
        return Efficiency(nodes**FABRIC_EXPONENT, LINK_WIDTH, f"{fabric}, from 2 to 64 nodes of other models")


def _waiting(nodes: int, step: Step) -> Efficiency:
    """What a step keeps when every node sends its gradients through an ordinary network, as a ring does.

    Never more than on a fast one.
    """
    gradients_gb = BYTES_PER_GRADIENT * step.parameters / 1e9
    transfer_s = 2 * (nodes - 1) / nodes * gradients_gb / PLAIN_GB_PER_S
    waits_s = max(0.0, transfer_s - HIDDEN_SHARE * step.seconds)
    words = f"{gradients_gb:.2g} GB of gradients after steps of {step.seconds:.2g} s on 10 Gbit/s"
    share = min(step.seconds / (step.seconds + waits_s), nodes**FABRIC_EXPONENT)
    return Efficiency(share, NODES_WIDTH, words)


def _plain(nodes: int) -> float:
    """Between the measured points a power law; beyond them the last one goes on."""
    if nodes in PLAIN_NETWORK:
        return PLAIN_NETWORK[nodes]
    below = max((n for n in PLAIN_NETWORK if n < nodes), default=2)
    above = min((n for n in PLAIN_NETWORK if n > nodes), default=0)
    left, right = (below, above) if above else (4, 8)
    slope = log(PLAIN_NETWORK[right] / PLAIN_NETWORK[left]) / log(right / left)
    return PLAIN_NETWORK[below] * exp(slope * log(nodes / below))
