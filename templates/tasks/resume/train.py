"""Train so that an end at any moment loses little: a checkpoint after each epoch, and when the machine is told to end.

    python train.py                 goes on from out/checkpoint.pt until 20 epochs are done
    python train.py --fresh         starts anew

The checkpoint holds all that decides how it goes on (weights, optimizer, epoch, random state), so a training
that was cut off ends with the same weights as one that was not. SIGTERM, which a machine that goes down sends,
ends it after the batch at hand: it is then written what was done, and the exit code is 75: "try again".
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

INPUTS, CLASSES = 32, 10
GOOD_ENOUGH = 0.75  # test accuracy below this is a failed training
TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h


class Told:
    """Whether the process was told to end."""

    to_end = False


def make_data(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` points and their classes; the rule is the same for every seed."""
    rule = torch.randn(INPUTS, CLASSES, generator=torch.Generator().manual_seed(0))
    points = torch.randn(count, INPUTS, generator=torch.Generator().manual_seed(seed))
    return points, (points @ rule).argmax(dim=1)


def new_model(width: int) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(INPUTS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, CLASSES)
    )


def save(path: Path, model, optimizer, losses: list[float]) -> None:
    """Write the checkpoint whole or not at all, and onto the disk before it counts."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def restore(path: Path, model, optimizer, device) -> list[float]:
    """Take up what `save` wrote; the losses of the epochs that are done."""
    if not path.exists():
        return []
    stored = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(stored["model"])
    optimizer.load_state_dict(stored["optimizer"])
    return list(stored["losses"])


def train_epoch(model, optimizer, points, classes, batch: int, epoch: int) -> float | None:
    """One pass in an order that depends on the epoch only; the mean loss, None when it was cut off."""
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(epoch)).to(points.device)
    losses = []
    for chosen in order.split(batch):
        loss = nn.functional.cross_entropy(model(points[chosen]), classes[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        if Told.to_end:
            return None
    return float(torch.stack(losses).mean())


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Train with checkpoints.")
    parser.add_argument("--epochs", type=int, default=int(os.environ.get("EPOCHS", "20")), help="in all (default 20)")
    parser.add_argument("--samples", type=int, default=4096, help="points to learn from (default 4096)")
    parser.add_argument("--width", type=int, default=128, help="of the hidden layers (default 128)")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--fresh", action="store_true", help="do not go on from the checkpoint")
    parser.add_argument(
        "--least-epoch-s",
        type=float,
        default=float(os.environ.get("LEAST_EPOCH_S", "0")),
        help="to try an interruption",
    )
    return parser.parse_args()


def main() -> int:
    """The exit code: 0 done, 75 told to end before that (start it again), 1 failed."""
    signal.signal(signal.SIGTERM, lambda *_: setattr(Told, "to_end", True))
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    checkpoint = asked.out / "checkpoint.pt"
    if asked.fresh:
        checkpoint.unlink(missing_ok=True)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = new_model(asked.width).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), asked.rate)
    losses = restore(checkpoint, model, optimizer, device)
    began_at = len(losses)
    print(f"going on after epoch {began_at}" if losses else "starting anew", flush=True)
    points, classes = (tensor.to(device) for tensor in make_data(asked.samples, 1))
    for epoch in range(began_at + 1, asked.epochs + 1):
        clock = time.perf_counter()
        loss = train_epoch(model, optimizer, points, classes, asked.batch, epoch)
        while time.perf_counter() - clock < asked.least_epoch_s and not Told.to_end:
            time.sleep(0.05)
        if loss is not None:
            losses.append(loss)
            save(checkpoint, model, optimizer, losses)
            print(f"epoch {epoch:2}/{asked.epochs}  loss {loss:.4f}", flush=True)
        if Told.to_end and len(losses) < asked.epochs:
            print(f"told to end: {len(losses)} of {asked.epochs} epochs are in {checkpoint}", flush=True)
            return TRY_AGAIN
    points, classes = (tensor.to(device) for tensor in make_data(1024, 2))
    with torch.no_grad():
        right = float((model(points).argmax(1) == classes).float().mean())
    found = {"test_accuracy": right, "loss": losses, "device": device.type, "went_on_after_epoch": began_at}
    found["run"] = os.environ.get("GPUCLOUD_RUN")
    (asked.out / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")
    print(f"test accuracy {right:.1%}", flush=True)
    return 0 if right >= GOOD_ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
