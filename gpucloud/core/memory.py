"""Memory that training needs per GPU: model state, activations, logits; and what has to be given up to fit.

State by ZeRO stage: Rajbhandari et al. 2019, figure 1. Bytes of mixed precision (2 weights + 2 gradients + 12
optimizer) from the same paper; QLoRA's 0.55 from Dettmers et al. 2023. One activation "copy" is
batch × seq × d_model numbers; a transformer layer keeps about 28 of them (20 to 50), one with checkpointing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gpucloud.core.errors import UsageError

GIB = 2.0**30
RESERVED_SHARE = 0.08  # context, workspace and fragmentation: 6 to 10 %
ACTIVATION_COPIES = 28.0
ADAPTER_SHARE = 0.01  # trained share of the parameters with LoRA
ADAPTER_BYTES = 16.0
QLORA_BYTES = 0.55
VERDICTS = ("fits", "fits_with", "does_not_fit")
# weights, gradients, optimizer (momentum, FP32 master copy) in bytes per parameter
STATE_BYTES = {
    ("fp32", "adam"): (4.0, 4.0, 8.0),
    ("fp32", "adam8bit"): (4.0, 4.0, 2.0),
    ("fp32", "sgd"): (4.0, 4.0, 4.0),
    ("mixed", "adam"): (2.0, 2.0, 12.0),
    ("mixed", "adam8bit"): (2.0, 2.0, 6.0),
    ("mixed", "sgd"): (2.0, 2.0, 8.0),
    ("bf16", "adam"): (2.0, 2.0, 8.0),
    ("bf16", "adam8bit"): (2.0, 2.0, 2.0),
    ("bf16", "sgd"): (2.0, 2.0, 4.0),
}
# Autocast ("mixed") keeps frozen weights in FP32; pure BF16 halves them.
FROZEN_BYTES = {"fp32": 4.0, "mixed": 4.0, "bf16": 2.0}


@dataclass(frozen=True)
class TrainingJob:
    """A model and the way it is trained. `ranks` GPUs share the state as `zero` says; `batch` is per GPU."""

    params: float
    optimizer: str = "adam"
    precision: str = "mixed"
    method: str = "full"
    zero: int = 0
    ranks: float = 1
    bytes_per_param: float | None = None
    layers: float | None = None
    d_model: float | None = None
    batch: float | None = None
    seq: float | None = None
    vocab: float | None = None
    activation_copies: float = ACTIVATION_COPIES
    checkpointing: bool = False
    adapter_share: float = ADAPTER_SHARE

    def shape_known(self) -> bool:
        """Whether activations can be computed (per sample)."""
        return None not in (self.layers, self.d_model, self.seq)


@dataclass(frozen=True)
class Need:
    """What one GPU has to hold. GB are 1e9 bytes, as papers count state; GiB are 2^30, as cards have them."""

    state_gb: float
    activations_gib: float
    logits_gib: float

    @property
    def gib(self) -> float:
        """Everything together (logits are part of the activations)."""
        return self.state_gb * 1e9 / GIB + self.activations_gib


@dataclass(frozen=True)
class Fit:
    """The verdict, the job as it fits, what was given up for it, and the largest batch per GPU then."""

    verdict: str
    job: TrainingJob
    need: Need
    given_up: tuple[str, ...] = ()
    largest_batch: int | None = None


def state_bytes_per_param(job: TrainingJob) -> float:
    """Bytes of weights, gradients and optimizer per parameter of the model, on one of the ranks."""
    shards = [job.ranks if job.zero >= stage else 1.0 for stage in (3, 2, 1)]
    weights, gradients, optimizer = _split(job)
    if job.method == "full":
        return weights / shards[0] + gradients / shards[1] + optimizer / shards[2]
    frozen = QLORA_BYTES if job.method == "qlora" else FROZEN_BYTES[job.precision]
    frozen = frozen if job.bytes_per_param is None else job.bytes_per_param
    return frozen / shards[0] + ADAPTER_BYTES * job.adapter_share / shards[2]


def _split(job: TrainingJob) -> tuple[float, float, float]:
    weights, gradients, optimizer = STATE_BYTES[job.precision, job.optimizer]
    if job.bytes_per_param is None:
        return weights, gradients, optimizer
    weights = min(weights, job.bytes_per_param)
    gradients = min(gradients, job.bytes_per_param - weights)
    return weights, gradients, job.bytes_per_param - weights - gradients


def activation_gib_per_sample(job: TrainingJob) -> tuple[float, float]:
    """(all activations, of which logits) of one sample in GiB; zeros when the shape is not known."""
    if not job.shape_known():
        return 0.0, 0.0
    assert job.layers is not None and job.d_model is not None and job.seq is not None
    width = 4.0 if job.precision == "fp32" else 2.0
    copies = job.layers + job.activation_copies if job.checkpointing else job.layers * job.activation_copies
    logits = 4.0 * job.seq * job.vocab / GIB if job.vocab else 0.0
    return job.seq * job.d_model * width * copies / GIB + logits, logits


def need(job: TrainingJob) -> Need:
    """What one GPU has to hold for `job`."""
    per_sample, logits = activation_gib_per_sample(job)
    batch = job.batch if job.batch is not None else 1.0
    return Need(job.params * state_bytes_per_param(job) / 1e9, per_sample * batch, logits * batch)


def usable_gib(gpu_memory_gib: float) -> float:
    """What a card leaves for us."""
    return gpu_memory_gib * (1 - RESERVED_SHARE)


def largest_batch(job: TrainingJob, gpu_memory_gib: float) -> int | None:
    """Samples per GPU that fit; None when the shape is not known, 0 when not even the state fits."""
    per_sample, _ = activation_gib_per_sample(job)
    if not per_sample:
        return None
    free = usable_gib(gpu_memory_gib) - need(replace(job, batch=0.0)).gib
    return max(0, int(free / per_sample + 1e-9))


def fit(job: TrainingJob, gpu_memory_gib: float, fixed: frozenset[str] = frozenset()) -> Fit:
    """The first way to train `job` on such GPUs, giving up as little as possible.

    `fixed` names what must stay as it is: zero, checkpointing, optimizer, method.
    """
    for given_up, candidate in _concessions(job, fixed):
        required = need(candidate)
        if required.gib <= usable_gib(gpu_memory_gib):
            verdict = "fits_with" if given_up else "fits"
            return Fit(verdict, candidate, required, given_up, largest_batch(candidate, gpu_memory_gib))
    return Fit("does_not_fit", job, need(job), (), largest_batch(job, gpu_memory_gib))


def _concessions(job: TrainingJob, fixed: frozenset[str]) -> Iterator[tuple[tuple[str, ...], TrainingJob]]:
    """From cheapest to dearest: ZeRO-1/2 cost nothing, checkpointing a third more compute, ZeRO-3 half more traffic."""
    stages = [job.zero] if "zero" in fixed or job.ranks <= 1 else list(range(job.zero, 4))
    remembering = [job.checkpointing]
    if job.shape_known() and not job.checkpointing and "checkpointing" not in fixed:
        remembering.append(True)
    sharing = [(stage, keep) for stage in stages for keep in remembering]
    sharing.sort(key=lambda way: (way[0] == 3 and job.zero < 3, way[1], way[0]))
    for words, changed in _methods(job, fixed):
        for stage, keep in sharing:
            extra = [f"ZeRO-{stage}"] if stage != job.zero else []
            extra += ["checkpointing"] if keep != job.checkpointing else []
            yield (*words, *extra), replace(changed, zero=stage, checkpointing=keep)


def _methods(job: TrainingJob, fixed: frozenset[str]) -> list[tuple[tuple[str, ...], TrainingJob]]:
    ways: list[tuple[tuple[str, ...], TrainingJob]] = [((), job)]
    if job.method == "full" and job.optimizer == "adam" and "optimizer" not in fixed and job.bytes_per_param is None:
        ways.append((("8-bit Adam",), replace(job, optimizer="adam8bit")))
    if "method" in fixed or job.bytes_per_param is not None:
        return ways
    if job.method == "full":
        ways.append((("LoRA",), replace(job, method="lora")))
    if job.method in ("full", "lora"):
        ways.append((("QLoRA",), replace(job, method="qlora")))
    return ways


def check_words(optimizer: str, precision: str, method: str, zero: int) -> None:
    """Raises UsageError for a word that no formula knows."""
    for word, known, option in (
        (optimizer, ("adam", "adam8bit", "sgd"), "--optimizer"),
        (precision, tuple(FROZEN_BYTES), "--precision"),
        (method, ("full", "lora", "qlora"), "--method"),
        (str(zero), ("0", "1", "2", "3"), "--zero"),
    ):
        if word not in known:
            raise UsageError(f"{option} '{word}' is not known.", "Use one of " + ", ".join(known) + ".")
