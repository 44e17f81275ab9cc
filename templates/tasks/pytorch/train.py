"""Train a small network with PyTorch on the GPU, or on the CPU where there is none.

    python train.py                          5 epochs, results in out/
    python train.py --samples 2000000 --width 4096 --batch 8192    work for a GPU

The data are made up here: points in 32 dimensions that a hidden rule puts into 10 classes. Put your own
`Dataset` into `make_data`. Writes out/model.pt and out/metrics.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

INPUTS, CLASSES = 32, 10
GOOD_ENOUGH = 0.75  # test accuracy below this is a failed training


def make_data(count: int, seed: int) -> TensorDataset:
    """`count` points and their classes; the rule is the same for every seed."""
    rule = torch.randn(INPUTS, CLASSES, generator=torch.Generator().manual_seed(0))
    points = torch.randn(count, INPUTS, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, (points @ rule).argmax(dim=1))


def new_model(width: int) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(INPUTS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, CLASSES)
    )


def train_epoch(model, batches, optimizer, device) -> float:
    """One pass over the data in bfloat16 where the GPU computes in it (Ampere and newer); the mean loss."""
    model.train()
    total = torch.zeros((), device=device)
    half = device.type == "cuda" and torch.cuda.get_device_capability() >= (8, 0)
    for points, classes in batches:
        points, classes = points.to(device, non_blocking=True), classes.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = nn.functional.cross_entropy(model(points), classes)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach()
    return float(total) / len(batches)


@torch.no_grad()
def accuracy(model, batches, device) -> float:
    """Share of the points that are put into the right class."""
    model.eval()
    right = sum(int((model(points.to(device)).argmax(1).cpu() == classes).sum()) for points, classes in batches)
    return right / len(batches.dataset)


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Train a small network with PyTorch.")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--samples", type=int, default=8192, help="points to learn from (default 8192)")
    parser.add_argument("--width", type=int, default=128, help="of the hidden layers (default 128)")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=Path("out"))
    return parser.parse_args()


def main() -> None:
    """Train, test, write the results. Ends with 1 and a sentence when the training failed."""
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"training on {name} with PyTorch {torch.__version__}", flush=True)
    learn = DataLoader(make_data(asked.samples, 1), asked.batch, shuffle=True, pin_memory=device.type == "cuda")
    test = DataLoader(make_data(1024, 2), 1024)
    model = new_model(asked.width).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), asked.rate)
    losses = []
    for epoch in range(1, asked.epochs + 1):
        clock = time.perf_counter()
        losses.append(train_epoch(model, learn, optimizer, device))
        rate = asked.samples / (time.perf_counter() - clock)
        print(f"epoch {epoch:2}/{asked.epochs}  loss {losses[-1]:.4f}  {rate:,.0f} samples/s", flush=True)
        torch.save(model.state_dict(), asked.out / "partial.pt")
        (asked.out / "partial.pt").replace(asked.out / "model.pt")  # the checkpoint is whole or not there
    right = accuracy(model, test, device)
    metrics = {"test_accuracy": right, "loss": losses, "device": name, "run": os.environ.get("GPUCLOUD_RUN")}
    (asked.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(f"test accuracy {right:.1%}", flush=True)
    if right < GOOD_ENOUGH:
        sys.exit(f"That is below {GOOD_ENOUGH:.0%}: the training failed.")


if __name__ == "__main__":
    main()
