"""Teach a small neural network to read handwritten digits: numpy only, the data lies beside this file.

    python train.py                        15 epochs, results in out/
    python train.py --epochs 30            goes on from out/model.npz until 30 epochs are done
    python train.py --fresh --hidden 256   starts anew, with a narrower network

Writes out/model.npz (weights, and all that is needed to go on) after each epoch and out/metrics.json at the end.
An interrupted run that is started again goes on from its last epoch and ends with the same weights.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

# The matrices are small: threads would wait for each other longer than they compute.
# numpy reads this when it loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

DATA = Path(__file__).with_name("digits.csv.gz")
SIDE, CLASSES, BRIGHTEST = 8, 10, 16.0
TRAINED = 1400  # of the 1,797 images; the rest is only ever tested on
COPIES = 8  # of each image in an epoch, each moved by up to one pixel
BATCH, MOMENTUM = 50, 0.9
GOOD_ENOUGH = 0.90  # test accuracy below this is a failed training

Parameters = dict[str, np.ndarray]


def load_images() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 64) in 0..1 and their digits (1797,), in an order that is mixed but always the same."""
    table = np.loadtxt(DATA, delimiter=",", dtype=np.float32)
    table = table[np.random.default_rng(0).permutation(len(table))]
    return table[:, :-1] / BRIGHTEST, table[:, -1].astype(int)


def new_parameters(hidden: int, rng: np.random.Generator) -> Parameters:
    """Two hidden layers; weights by He's rule, biases zero."""
    sizes = (SIDE * SIDE, hidden, hidden, CLASSES)
    made: Parameters = {}
    for layer in range(3):
        inputs, outputs = sizes[layer : layer + 2]
        made[f"w{layer}"] = rng.normal(0, np.sqrt(2 / inputs), (inputs, outputs)).astype(np.float32)
        made[f"b{layer}"] = np.zeros(outputs, np.float32)
    return made


def forward(parameters: Parameters, images: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The input of every layer, and the probability of each digit."""
    inputs = [images]
    for layer in (0, 1):
        inputs.append(np.maximum(inputs[-1] @ parameters[f"w{layer}"] + parameters[f"b{layer}"], 0))
    scores = inputs[-1] @ parameters["w2"] + parameters["b2"]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return inputs, powers / powers.sum(axis=1, keepdims=True)


def gradients(parameters: Parameters, images: np.ndarray, digits: np.ndarray) -> tuple[float, Parameters]:
    """Mean cross-entropy of a batch, and its slope for every parameter (back-propagation)."""
    inputs, probabilities = forward(parameters, images)
    rows = np.arange(len(digits))
    loss = float(-np.log(probabilities[rows, digits] + 1e-12).mean())
    delta = probabilities
    delta[rows, digits] -= 1
    delta /= len(digits)
    slopes: Parameters = {}
    for layer in (2, 1, 0):
        slopes[f"w{layer}"] = inputs[layer].T @ delta
        slopes[f"b{layer}"] = delta.sum(axis=0)
        if layer:
            delta = (delta @ parameters[f"w{layer}"].T) * (inputs[layer] > 0)
    return loss, slopes


def moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every image moved by -1, 0 or 1 pixel in both directions; what leaves the frame is lost."""
    count = len(images)
    framed = np.zeros((count, SIDE + 2, SIDE + 2), np.float32)
    framed[:, 1:-1, 1:-1] = images.reshape(count, SIDE, SIDE)
    down, right = rng.integers(0, 3, (2, count, 1, 1))
    pixels = np.arange(SIDE)
    return framed[np.arange(count)[:, None, None], down + pixels[:, None], right + pixels].reshape(count, -1)


def train_epoch(
    parameters: Parameters, speed: Parameters, images: np.ndarray, digits: np.ndarray, rate: float, seed: int
) -> float:
    """One pass of gradient descent with momentum, in place. Returns the mean loss."""
    rng = np.random.default_rng(seed)
    losses = []
    for _ in range(COPIES):
        shifted, order = moved(images, rng), rng.permutation(len(images))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            loss, slopes = gradients(parameters, shifted[chosen], digits[chosen])
            losses.append(loss)
            for name, slope in slopes.items():
                speed[name] = MOMENTUM * speed[name] - rate * slope
                parameters[name] += speed[name]
    return float(np.mean(losses))


def accuracy(parameters: Parameters, images: np.ndarray, digits: np.ndarray) -> float:
    """Share of images that are read right."""
    _, probabilities = forward(parameters, images)
    return float((probabilities.argmax(axis=1) == digits).mean())


def save(path: Path, parameters: Parameters, speed: Parameters, losses: list[float]) -> None:
    """Write the checkpoint whole or not at all."""
    partial = path.with_name("partial.npz")
    moments = {f"speed_{name}": value for name, value in speed.items()}
    np.savez(partial, losses=np.array(losses), **parameters, **moments)
    partial.replace(path)


def restore(path: Path, hidden: int) -> tuple[Parameters, Parameters, list[float]]:
    """What `save` wrote; a new network when there is no checkpoint of this width."""
    fresh = new_parameters(hidden, np.random.default_rng(1))
    still = {name: np.zeros_like(value) for name, value in fresh.items()}
    if not path.exists():
        return fresh, still, []
    with np.load(path) as stored:
        if stored["w0"].shape != fresh["w0"].shape:
            sys.exit(f"{path} holds a network of another width: give the same --hidden, or --fresh.")
        losses = [float(loss) for loss in stored["losses"]]
        return {name: stored[name] for name in fresh}, {name: stored[f"speed_{name}"] for name in fresh}, losses


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Train a network on 8x8 images of handwritten digits.")
    parser.add_argument("--epochs", type=int, default=15, help="passes over the images, in all (default 15)")
    parser.add_argument("--hidden", type=int, default=640, help="width of the two hidden layers (default 640)")
    parser.add_argument("--rate", type=float, default=0.03, help="learning rate (default 0.03)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results (default out)")
    parser.add_argument("--fresh", action="store_true", help="do not go on from the checkpoint")
    return parser.parse_args()


def main() -> None:
    """Train, test, write the results. Ends with 1 and a sentence when the training failed."""
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    checkpoint = asked.out / "model.npz"
    if asked.fresh:
        checkpoint.unlink(missing_ok=True)
    images, digits = load_images()
    parameters, speed, losses = restore(checkpoint, asked.hidden)
    size = sum(value.size for value in parameters.values())
    print(f"{TRAINED} images to learn, {len(images) - TRAINED} to test; {size:,} parameters", flush=True)
    if losses:
        print(f"going on from {checkpoint}, {len(losses)} epochs done", flush=True)
    if len(losses) >= asked.epochs:
        print("nothing left to train: ask for more with --epochs, or start anew with --fresh", flush=True)
    began = time.perf_counter()
    for epoch in range(len(losses) + 1, asked.epochs + 1):
        clock = time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore"):  # a loss out of bounds is said below
            losses.append(train_epoch(parameters, speed, images[:TRAINED], digits[:TRAINED], asked.rate, seed=epoch))
        if not np.isfinite(losses[-1]):
            sys.exit(f"epoch {epoch}: the loss is {losses[-1]}. Try a smaller --rate.")
        rate = TRAINED * COPIES / (time.perf_counter() - clock)
        print(f"epoch {epoch:2}/{asked.epochs}  loss {losses[-1]:.4f}  {rate:,.0f} images/s", flush=True)
        save(checkpoint, parameters, speed, losses)
    right = accuracy(parameters, images[TRAINED:], digits[TRAINED:])
    metrics = {
        "epochs": len(losses),
        "loss": losses,
        "test_accuracy": right,
        "parameters": size,
        "trained_s": round(time.perf_counter() - began, 1),
        "run": os.environ.get("GPUCLOUD_RUN"),
    }
    (asked.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(f"test accuracy {right:.1%}; wrote {checkpoint} and {asked.out / 'metrics.json'}", flush=True)
    if right < GOOD_ENOUGH:
        sys.exit(f"That is below {GOOD_ENOUGH:.0%}: the training failed.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted: the next run goes on from the last epoch", file=sys.stderr)
        sys.exit(130)
