"""Train a small network with PyTorch and write its curves for TensorBoard.

    python train.py                          6 epochs, curves in out/logs
    tensorboard --logdir out/logs            look at them, here or on the machine

The data are made up; put your own into `make_data`. Also writes out/model.pt and out/metrics.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

INPUTS, CLASSES = 32, 10
GOOD_ENOUGH = 0.75  # test accuracy below this is a failed training


def make_data(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` points and their classes; the rule is the same for every seed."""
    rule = torch.randn(INPUTS, CLASSES, generator=torch.Generator().manual_seed(0))
    points = torch.randn(count, INPUTS, generator=torch.Generator().manual_seed(seed))
    return points, (points @ rule).argmax(dim=1)


def train_epoch(model, optimizer, points, classes, batch: int) -> float:
    """One pass over the data in a mixed order; the mean loss."""
    losses = []
    for chosen in torch.randperm(len(points)).to(points.device).split(batch):
        loss = nn.functional.cross_entropy(model(points[chosen]), classes[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


@torch.no_grad()
def accuracy(model, points, classes) -> float:
    """Share of the points that are put into the right class."""
    return float((model(points).argmax(1) == classes).float().mean())


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--samples", type=int, default=4096, help="points to learn from (default 4096)")
    parser.add_argument("--width", type=int, default=128, help="of the hidden layer (default 128)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--out", type=Path, default=Path("out"))
    return parser.parse_args()


def fit(asked: argparse.Namespace, tell: Callable[[str, float, int], None]) -> dict[str, object]:
    """Train and test, and write out/model.pt; `tell(name, value, epoch)` is called after each epoch."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    learn, test = (tuple(part.to(device) for part in make_data(*kind)) for kind in ((asked.samples, 1), (1024, 2)))
    model = nn.Sequential(nn.Linear(INPUTS, asked.width), nn.ReLU(), nn.Linear(asked.width, CLASSES)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), asked.rate)
    right = 0.0
    for epoch in range(1, asked.epochs + 1):
        clock = time.perf_counter()
        loss = train_epoch(model, optimizer, *learn, asked.batch)
        tell("samples_per_s", asked.samples / (time.perf_counter() - clock), epoch)
        right = accuracy(model, *test)
        tell("loss", loss, epoch)
        tell("test_accuracy", right, epoch)
        print(f"epoch {epoch:2}/{asked.epochs}  loss {loss:.4f}  test accuracy {right:.1%}", flush=True)
    torch.save(model.state_dict(), asked.out / "model.pt")
    return {"test_accuracy": right, "device": device.type, "run": os.environ.get("GPUCLOUD_RUN")}


def finish(asked: argparse.Namespace, found: dict[str, object]) -> None:
    """Write out/metrics.json; end with 1 and a sentence when the training failed."""
    (asked.out / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")
    if float(str(found["test_accuracy"])) < GOOD_ENOUGH:
        sys.exit(f"The test accuracy is below {GOOD_ENOUGH:.0%}: the training failed.")


def main() -> None:
    """Train with a curve per figure; a folder for each run, so that TensorBoard can lay them over each other."""
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    run = os.environ.get("GPUCLOUD_RUN", time.strftime("%Y%m%d-%H%M%S")).replace("/", "-")
    with SummaryWriter(str(asked.out / "logs" / run), flush_secs=10) as curves:
        found = fit(asked, curves.add_scalar)
        settings = {name: getattr(asked, name) for name in ("epochs", "samples", "width", "batch", "rate")}
        curves.add_hparams(settings, {"hparam/test_accuracy": found["test_accuracy"]}, run_name=".")
    finish(asked, found)


if __name__ == "__main__":
    main()
