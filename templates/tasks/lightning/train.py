"""Train a small network with PyTorch Lightning, on all GPUs there are, or on the CPU.

    python train.py                5 epochs; goes on from out/last.ckpt where there is one
    python train.py --epochs 20    as many in all

The data are made up: points in 32 dimensions that a hidden rule puts into 10 classes. Put your own `Dataset`
into `make_data`. Writes out/last.ckpt and out/metrics.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

INPUTS, CLASSES = 32, 10
GOOD_ENOUGH = 0.75  # test accuracy below this is a failed training


def make_data(count: int, seed: int) -> TensorDataset:
    """`count` points and their classes; the rule is the same for every seed."""
    rule = torch.randn(INPUTS, CLASSES, generator=torch.Generator().manual_seed(0))
    points = torch.randn(count, INPUTS, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, (points @ rule).argmax(dim=1))


class Classifier(L.LightningModule):
    """A network with one hidden layer, and how it learns."""

    def __init__(self, width: int, rate: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(INPUTS, width), nn.ReLU(), nn.Linear(width, CLASSES))

    def training_step(self, batch, _):
        points, classes = batch
        loss = nn.functional.cross_entropy(self.layers(points), classes)
        self.log("loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def test_step(self, batch, _) -> None:
        points, classes = batch
        right = (self.layers(points).argmax(1) == classes).float().mean()
        self.log("test_accuracy", right, sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), self.hparams.rate)


class Say(Callback):
    """One line per epoch instead of a progress bar: it stays readable in a log."""

    def on_train_epoch_end(self, trainer, module) -> None:
        if trainer.is_global_zero:
            done = f"epoch {trainer.current_epoch + 1:2}/{trainer.max_epochs}"
            print(f"{done}  loss {float(trainer.callback_metrics['loss']):.4f}", flush=True)


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Train a small network with Lightning.")
    parser.add_argument("--epochs", type=int, default=5, help="in all (default 5)")
    parser.add_argument("--samples", type=int, default=8192, help="points to learn from (default 8192)")
    parser.add_argument("--width", type=int, default=128, help="of the hidden layer (default 128)")
    parser.add_argument("--batch", type=int, default=64, help="of each process (default 64)")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--out", type=Path, default=Path("out"))
    return parser.parse_args()


def main() -> None:
    """Train, test, write the results. Ends with 1 and a sentence when the training failed."""
    asked = options()
    L.seed_everything(0)
    half = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)
    trainer = L.Trainer(
        accelerator="auto",
        devices="auto" if torch.cuda.is_available() else 1,
        num_nodes=int(os.environ.get("NNODES", "1")),
        precision="bf16-mixed" if half else "32-true",
        max_epochs=asked.epochs,
        callbacks=[ModelCheckpoint(asked.out, save_last=True, save_top_k=0), Say()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Classifier(asked.width, asked.rate)
    last = asked.out / "last.ckpt"
    learn = DataLoader(make_data(asked.samples, 1), asked.batch, shuffle=True)
    trainer.fit(model, learn, ckpt_path=str(last) if last.exists() else None)
    [found] = trainer.test(model, DataLoader(make_data(1024, 2), 1024), verbose=False)
    if trainer.is_global_zero:
        found |= {"device": str(trainer.strategy.root_device), "run": os.environ.get("GPUCLOUD_RUN")}
        (asked.out / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")
        print(f"test accuracy {found['test_accuracy']:.1%}", flush=True)
    if found["test_accuracy"] < GOOD_ENOUGH:
        sys.exit(f"That is below {GOOD_ENOUGH:.0%}: the training failed.")


if __name__ == "__main__":
    main()
