"""Fit a classifier by gradient descent with CuPy on a GPU, or with numpy where there is none.

    python train.py              200 steps, results in out/

The data are made up: points in 32 dimensions that a hidden rule puts into 10 classes. Put your own into
`make_data`. Writes out/model.npz, and out/metrics.json with the versions of the packages.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib.metadata import distributions
from pathlib import Path

import numpy

INPUTS, CLASSES = 32, 10
GOOD_ENOUGH = 0.75  # test accuracy below this is a failed training


def array_module():
    """CuPy where it is installed and finds a GPU, else numpy; both have the same functions."""
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except Exception:  # not installed, or no driver: each version has its own class of error
        return numpy
    return cupy


def make_data(count: int, seed: int):
    """`count` points and their classes; the rule is the same for every seed."""
    rule = numpy.random.default_rng(0).normal(size=(INPUTS, CLASSES))
    points = numpy.random.default_rng(seed).normal(size=(count, INPUTS))
    return points.astype("float32"), (points @ rule).argmax(axis=1)


def fit(xp, points, classes, steps: int, rate: float):
    """Softmax regression; the weights (INPUTS, CLASSES) and the loss of every step."""
    weights, rows, losses = xp.zeros((INPUTS, CLASSES), "float32"), xp.arange(len(points)), []
    for _ in range(steps):
        scores = points @ weights
        shares = xp.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        losses.append(float(-xp.log(shares[rows, classes]).mean()))
        shares[rows, classes] -= 1
        weights -= rate * (points.T @ shares) / len(points)
    return weights, losses


def main() -> None:
    """Train, test, write the results. Ends with 1 and a sentence when the training failed."""
    parser = argparse.ArgumentParser(description="Fit a classifier with numpy or CuPy.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--samples", type=int, default=4096)
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path("out"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    xp = array_module()
    print(f"fitting with {xp.__name__} {xp.__version__}", flush=True)
    points, classes = (xp.asarray(part) for part in make_data(asked.samples, 1))
    weights, losses = fit(xp, points, classes, asked.steps, asked.rate)
    test, expected = (xp.asarray(part) for part in make_data(1024, 2))
    right = float(((test @ weights).argmax(axis=1) == expected).mean())
    numpy.savez(asked.out / "model.npz", weights=getattr(weights, "get", lambda: weights)())
    found = {"test_accuracy": right, "loss": losses[-1], "device": xp.__name__, "run": os.environ.get("GPUCLOUD_RUN")}
    found["packages"] = {each.metadata["Name"]: each.version for each in distributions()}
    (asked.out / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, test accuracy {right:.1%}", flush=True)
    if right < GOOD_ENOUGH:
        sys.exit(f"That is below {GOOD_ENOUGH:.0%}: the training failed.")


if __name__ == "__main__":
    main()
