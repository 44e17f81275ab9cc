"""`bench`: a short, real throughput measurement on a machine, and its figure as a row of the user's catalog."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gpucloud.core.deployments import Deployment
from gpucloud.core.errors import SyncError, UsageError
from gpucloud.core.wire import Transport
from gpucloud.flows.direct import command_line
from gpucloud.flows.machines import Dial, Fleet, chosen
from gpucloud.remote.scripts import template_dir

MARK = b"gpucloud-bench "
NO_TORCH, NO_DEVICE, NO_MEMORY = 3, 4, 5
MODELS = ("resnet50", "gpt2")
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "mixed")
USUAL_BATCH = {"resnet50": 64, "gpt2": 8}
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Measured:
    """What one machine did: `value` in `unit` for all its devices, the extremes of the windows, and the software."""

    model: str
    precision: str
    batch_size: int
    count: int
    unit: str
    value: float
    low: float
    high: float
    windows: tuple[float, ...]
    device: str
    torch: str
    cuda: str | None = None
    driver: str | None = None
    memory_gib: float | None = None


def measure(
    dial: Dial, deployment: Deployment, asked: Mapping[str, Any], say: Callable[[str], None], python: str = "python3"
) -> Measured:
    """Run the measurement on the deployment's first machine. Raises UsageError where it lacks what that needs."""
    script = (template_dir() / "bench" / "throughput.py").read_text(encoding="utf-8")
    with Fleet(chosen(deployment, 1), dial) as fleet:
        return _run(fleet.nodes[0].transport, script, asked, say, python, deployment.name)


def _run(
    transport: Transport, script: str, asked: Mapping[str, Any], say: Callable[[str], None], python: str, name: str
) -> Measured:
    # The program is a word of the command, not its input: processes of several GPUs start from a file.
    program = f'{python} "$d/throughput.py" {shlex.quote(json.dumps(asked))}'
    words = f'd=$(mktemp -d) && cat >"$d/throughput.py" && {program}; r=$?; rm -rf "$d"; exit $r'
    process = transport.run(command_line(transport, [words]))
    process.write(script.encode())
    process.end_input()
    text = b"".join(iter(lambda: process.read(65536), b""))[:MOST_BYTES]
    errors = b"".join(iter(lambda: process.read_error(65536), b""))[:MOST_BYTES].decode(errors="replace")
    code = process.wait()
    line = next((line for line in text.splitlines() if line.startswith(MARK)), None)
    if code or line is None:
        raise _failure(code, errors, name)
    for words in errors.splitlines():
        if words.startswith("Out of memory"):
            say(words)
    return _read(line)


def _read(line: bytes) -> Measured:
    try:
        told = json.loads(line[len(MARK) :])
        return Measured(**{**told, "windows": tuple(told["windows"])})
    except (ValueError, TypeError, KeyError):
        raise SyncError(
            "The measurement's answer cannot be read.",
            "Repeat with --debug and report it with the bundle that this writes.",
        ) from None


def _failure(code: int, errors: str, name: str) -> Exception:
    last = next((line for line in reversed(errors.splitlines()) if line.strip()), "")
    if code == NO_TORCH or "command not found" in last or code == 127:
        hint = f"Install it: gpucloud exec {name} -- pip install torch; or name another Python with --python."
        return UsageError(f"'{name}' has no PyTorch for the measurement.", hint)
    if code == NO_DEVICE:
        return UsageError(last, "Ask for fewer with --gpus.")
    if code == NO_MEMORY:
        return UsageError(
            "The model does not fit into the GPU's memory, even with a batch of 1.",
            "Choose a smaller model, or a machine with more memory per GPU.",
        )
    return SyncError(
        f"The measurement ended with {code}: {last or 'it said nothing'}.",
        f"`gpucloud exec {name} -- nvidia-smi` tells what the GPUs do.",
    )


def benchmark_row(measured: Measured, accelerator: str, link: str, year: int) -> dict[str, Any]:
    """The row of benchmarks.csv for a measurement. Raises UsageError where no card was measured."""
    if not accelerator or measured.device == "cpu":
        raise UsageError("A measurement without a GPU is not stored.", "Leave --save out.")
    versions = {"torch": measured.torch, "cuda": measured.cuda, "driver": measured.driver, "device": measured.device}
    told = [f"{key}={_plain(value)}" for key, value in versions.items() if value]
    return {
        "accelerator": accelerator,
        "accelerator_count": float(measured.count),
        "nodes": 1,
        "link": link,
        "model": measured.model,
        "precision": measured.precision,
        "framework": "pytorch",
        "batch_size": float(measured.batch_size * measured.count),
        "throughput": float(f"{measured.value:.6g}"),
        "unit": measured.unit,
        "year": year,
        "source": "own",
        "flags": ";".join(["synthetic_data", *told]),
    }


def _plain(text: str) -> str:
    return "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in ";, " else "_" for letter in text
    )
