"""Train a small network with JAX on all devices there are: GPUs, or the CPU.

    python train.py                                        8 epochs, results in out/
    python train.py --samples 2000000 --width 4096 --batch 16384    work for GPUs

Each batch is split over the devices and the compiler adds what they have to exchange. The data are made up:
points in 32 dimensions that a hidden rule puts into 10 classes; put your own into `make_data`. Writes out/model.npz
and out/metrics.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

INPUTS, CLASSES = 32, 10
MOMENTUM = 0.9
GOOD_ENOUGH = 0.75  # test accuracy below this is a failed training


def make_data(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` points and their classes; the rule is the same for every seed."""
    rule = np.random.default_rng(0).normal(size=(INPUTS, CLASSES))
    points = np.random.default_rng(seed).normal(size=(count, INPUTS)).astype(np.float32)
    return points, (points @ rule).argmax(axis=1)


def new_parameters(width: int) -> list[tuple[jax.Array, jax.Array]]:
    """Weights by He's rule and biases of two layers."""
    sizes = ((INPUTS, width), (width, CLASSES))
    keys = jax.random.split(jax.random.key(0), len(sizes))
    return [
        (jax.random.normal(key, size) * (2 / size[0]) ** 0.5, jnp.zeros(size[1]))
        for key, size in zip(keys, sizes, strict=True)
    ]


def scores_of(parameters, points: jax.Array) -> jax.Array:
    """The network: (points, INPUTS) to (points, CLASSES)."""
    (into, shift), (out, bias) = parameters
    return jax.nn.relu(points @ into + shift) @ out + bias


def loss_of(parameters, points: jax.Array, classes: jax.Array) -> jax.Array:
    """Mean cross-entropy."""
    shares = jax.nn.log_softmax(scores_of(parameters, points))
    return -jnp.take_along_axis(shares, classes[:, None], axis=1).mean()


@partial(jax.jit, static_argnames="rate", donate_argnums=(0, 1))
def step(parameters, speed, points, classes, rate: float):
    """One step of gradient descent with momentum, compiled once."""
    loss, slopes = jax.value_and_grad(loss_of)(parameters, points, classes)
    speed = jax.tree.map(lambda old, slope: MOMENTUM * old - rate * slope, speed, slopes)
    return jax.tree.map(jnp.add, parameters, speed), speed, loss


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Train a small network with JAX.")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--samples", type=int, default=8192, help="points to learn from (default 8192)")
    parser.add_argument("--width", type=int, default=128, help="of the hidden layer (default 128)")
    parser.add_argument("--batch", type=int, default=128, help="over all devices (default 128)")
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--out", type=Path, default=Path("out"))
    return parser.parse_args()


def main() -> None:
    """Train, test, write the results. Ends with 1 and a sentence when the training failed."""
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    mesh = Mesh(np.array(jax.devices()), ("data",))
    split, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    batch = max(1, asked.batch // mesh.size) * mesh.size
    print(f"JAX {jax.__version__} on {mesh.size} x {jax.devices()[0].device_kind}, batch {batch}", flush=True)
    points, classes = make_data(asked.samples, 1)
    parameters = jax.device_put(new_parameters(asked.width), whole)
    speed = jax.tree.map(jnp.zeros_like, parameters)
    losses = []
    for epoch in range(1, asked.epochs + 1):
        clock, of_steps = time.perf_counter(), []
        order = np.random.default_rng(epoch).permutation(len(points))
        for start in range(0, len(order) - batch + 1, batch):
            chosen = order[start : start + batch]
            pair = jax.device_put((points[chosen], classes[chosen]), split)
            parameters, speed, loss = step(parameters, speed, *pair, asked.rate)
            of_steps.append(loss)
        losses.append(float(jnp.stack(of_steps).mean()))
        rate = asked.samples / (time.perf_counter() - clock)
        print(f"epoch {epoch:2}/{asked.epochs}  loss {losses[-1]:.4f}  {rate:,.0f} samples/s", flush=True)
    test, expected = make_data(1024, 2)
    right = float((scores_of(parameters, jnp.asarray(test)).argmax(axis=1) == expected).mean())
    np.savez(asked.out / "model.npz", *(np.asarray(leaf) for leaf in jax.tree.leaves(parameters)))
    found = {"test_accuracy": right, "loss": losses, "device": jax.devices()[0].device_kind, "devices": mesh.size}
    found["run"] = os.environ.get("GPUCLOUD_RUN")
    (asked.out / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")
    print(f"test accuracy {right:.1%}", flush=True)
    if right < GOOD_ENOUGH:
        sys.exit(f"That is below {GOOD_ENOUGH:.0%}: the training failed.")


if __name__ == "__main__":
    main()
