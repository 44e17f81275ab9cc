"""Train a small network with Keras on all GPUs of a machine, or on the CPU.

    python train.py                5 epochs, results in out/
    python train.py --fresh        do not go on from the state of a run that was cut off

The data are made up: points in 32 dimensions that a hidden rule puts into 10 classes; put your own into `make_data`.
Writes out/model.keras and out/metrics.json; out/backup holds the state of a run that has not ended.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np

INPUTS, CLASSES = 32, 10
GOOD_ENOUGH = 0.75  # test accuracy below this is a failed training


def make_data(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` points and their classes; the rule is the same for every seed."""
    rule = np.random.default_rng(0).normal(size=(INPUTS, CLASSES))
    points = np.random.default_rng(seed).normal(size=(count, INPUTS)).astype(np.float32)
    return points, (points @ rule).argmax(axis=1)


def all_gpus():
    """With TensorFlow: the model is copied to every GPU and the batch is split. Other backends: as they do it."""
    if keras.backend.backend() != "tensorflow":
        return nullcontext(), keras.backend.backend()
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    return (tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()).scope(), (
        f"{len(gpus)} GPU" if gpus else "CPU"
    )


def new_model(width: int, rate: float) -> keras.Model:
    """One hidden layer, and how it learns."""
    model = keras.Sequential(
        [keras.Input((INPUTS,)), keras.layers.Dense(width, activation="relu"), keras.layers.Dense(CLASSES)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate), loss, metrics=["accuracy"])
    return model


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Train a small network with Keras.")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--samples", type=int, default=8192, help="points to learn from (default 8192)")
    parser.add_argument("--width", type=int, default=128, help="of the hidden layer (default 128)")
    parser.add_argument("--batch", type=int, default=64, help="over all GPUs (default 64)")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--fresh", action="store_true", help="start anew")
    return parser.parse_args()


def main() -> None:
    """Train, test, write the results. Ends with 1 and a sentence when the training failed."""
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.fresh:
        shutil.rmtree(asked.out / "backup", ignore_errors=True)
    keras.utils.set_random_seed(0)
    scope, device = all_gpus()
    print(f"Keras {keras.__version__} with {keras.backend.backend()} on {device}", flush=True)
    with scope:
        model = new_model(asked.width, asked.rate)
    points, classes = make_data(asked.samples, 1)
    backup = keras.callbacks.BackupAndRestore(str(asked.out / "backup"))
    model.fit(points, classes, asked.batch, asked.epochs, verbose=2, callbacks=[backup])
    loss, right = (float(value) for value in model.evaluate(*make_data(1024, 2), batch_size=1024, verbose=0))
    model.save(asked.out / "model.keras")
    found = {"test_accuracy": right, "test_loss": loss, "device": device, "run": os.environ.get("GPUCLOUD_RUN")}
    (asked.out / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")
    print(f"test accuracy {right:.1%}", flush=True)
    if right < GOOD_ENOUGH:
        sys.exit(f"That is below {GOOD_ENOUGH:.0%}: the training failed.")


if __name__ == "__main__":
    main()
