"""`estimate memory`: from its options to a training job, and from the fit to its keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpucloud.cli.given import ranges, single, whole
from gpucloud.core.errors import UsageError
from gpucloud.core.memory import (
    ACTIVATION_COPIES,
    ADAPTER_SHARE,
    RESERVED_SHARE,
    VERDICTS,
    TrainingJob,
    check_words,
    fit,
    need,
)
from gpucloud.core.ranges import Range, spread

WORDS = ("optimizer", "precision", "method", "gpu", "checkpointing")
DEFAULTS = {"optimizer": "adam", "precision": "mixed", "method": "full"}
RENAMED = {"gpus": "ranks"}


def estimate(options: Mapping[str, Any], card_gib: float | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answers and what was assumed. `card_gib` is the memory of `--gpu`."""
    given = ranges(options, sizes=("gpu_memory",), zero_ok=("zero",), other=WORDS)
    whole(given, "gpus", "layers")
    zero = single(given, "zero")
    words: dict[str, Any] = {key: options.get(key) or default for key, default in DEFAULTS.items()}
    check_words(words["optimizer"], words["precision"], words["method"], int(zero or 0))
    _complete(given)
    if card_gib is not None:
        given["gpu_memory"] = (card_gib, card_gib)
    fixed = frozenset(key for key in ("zero", "optimizer", "method") if options.get(key) is not None)

    def formula(at: dict[str, float]) -> dict[str, Any]:
        numbers: dict[str, Any] = {RENAMED.get(key, key): value for key, value in at.items() if key != "gpu_memory"}
        job = TrainingJob(zero=int(zero or 0), checkpointing=bool(options.get("checkpointing")), **words, **numbers)
        return _answer(job, at.get("gpu_memory"), fixed)

    answer = spread(formula, given, ranks={"verdict": VERDICTS})
    return answer, _assumed(options, given)


def _complete(given: Mapping[str, Range]) -> None:
    if "params" not in given:
        raise UsageError("The size of the model is not given.", "Add --params, as in --params 7e9.")
    shape = [key for key in ("layers", "d_model", "seq") if key in given]
    if 0 < len(shape) < 3 or (not shape and ("batch" in given or "vocab" in given)):
        raise UsageError(
            "Activations need --layers, --d-model and --seq together.", "Give all three, or none (then only state)."
        )


def _answer(job: TrainingJob, memory_gib: float | None, fixed: frozenset[str]) -> dict[str, Any]:
    plain = need(job)
    answer: dict[str, Any] = {
        "state_gb": plain.state_gb,
        "activations_gib": plain.activations_gib if job.shape_known() else None,
        "logits_gib": plain.logits_gib if job.vocab else None,
        "gib_per_gpu": plain.gib,
        "verdict": None,
        "with": [],
    }
    if memory_gib is None:
        return answer
    found = fit(job, memory_gib, fixed)
    return {
        **answer,
        "verdict": found.verdict,
        "with": list(found.given_up),
        "gib_per_gpu_with": found.need.gib,
        "largest_batch": found.largest_batch,
    }


def _assumed(options: Mapping[str, Any], given: Mapping[str, Range]) -> dict[str, Any]:
    assumed: dict[str, Any] = {key: value for key, value in DEFAULTS.items() if options.get(key) is None}
    assumed.update({key: value for key, value in (("zero", 0), ("gpus", 1)) if options.get(key) is None})
    if "layers" in given:
        assumed.update({} if "batch" in given else {"batch": 1})
        assumed.update({} if "activation_copies" in given else {"activation_copies": ACTIVATION_COPIES})
    if options.get("method") in ("lora", "qlora") and "adapter_share" not in given:
        assumed["adapter_share"] = ADAPTER_SHARE
    if "gpu_memory" in given:
        assumed["reserved_share"] = RESERVED_SHARE
    return assumed
