"""Train a small network with Horovod and PyTorch: each process has its share of the data and the same weights.

    horovodrun -np 2 python train.py       two processes here
    python train.py                        one process

Each process takes the GPU of its local rank, or the CPU where there is none. Rank 0 writes out/model.pt and
out/metrics.json. The data are made up; put your own into `make_data`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import horovod.torch as hvd
import torch
from torch import nn

INPUTS, CLASSES = 32, 10
GOOD_ENOUGH = 0.75  # test accuracy below this is a failed training


def make_data(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` points and their classes; the rule is the same for every seed."""
    rule = torch.randn(INPUTS, CLASSES, generator=torch.Generator().manual_seed(0))
    points = torch.randn(count, INPUTS, generator=torch.Generator().manual_seed(seed))
    return points, (points @ rule).argmax(dim=1)


def train_epoch(model, optimizer, points, classes, batch: int, epoch: int) -> float:
    """One pass over this process's share in the same mixed order everywhere; the loss, averaged over all."""
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(epoch))
    own = order[: len(order) // hvd.size() * hvd.size()][hvd.rank() :: hvd.size()].to(points.device)
    losses = []
    for chosen in own.split(batch):
        loss = nn.functional.cross_entropy(model(points[chosen]), classes[chosen])
        optimizer.zero_grad()
        loss.backward()  # here the processes exchange their gradients
        optimizer.step()
        losses.append(loss.detach())
    return float(hvd.allreduce(torch.stack(losses).mean(), name="loss"))


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
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--out", type=Path, default=Path("out"))
    return parser.parse_args()


def main() -> None:
    """Train, test, write the results. Ends with 1 and a sentence when the training failed."""
    asked = options()
    hvd.init()
    torch.manual_seed(0)
    device = torch.device("cuda", hvd.local_rank()) if torch.cuda.is_available() else torch.device("cpu")
    model = nn.Sequential(nn.Linear(INPUTS, asked.width), nn.ReLU(), nn.Linear(asked.width, CLASSES)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), asked.rate * hvd.size(), momentum=0.9)
    optimizer = hvd.DistributedOptimizer(optimizer, named_parameters=model.named_parameters())
    hvd.broadcast_parameters(model.state_dict(), root_rank=0)
    hvd.broadcast_optimizer_state(optimizer, root_rank=0)
    learn, test = (tuple(part.to(device) for part in make_data(*kind)) for kind in ((asked.samples, 1), (1024, 2)))
    for epoch in range(1, asked.epochs + 1):
        loss = train_epoch(model, optimizer, *learn, asked.batch, epoch)
        if hvd.rank() == 0:
            print(f"epoch {epoch:2}/{asked.epochs}  loss {loss:.4f}", flush=True)
    right = accuracy(model, *test)
    if hvd.rank() == 0:
        asked.out.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), asked.out / "model.pt")
        found = {"test_accuracy": right, "device": device.type, "processes": hvd.size()}
        found["run"] = os.environ.get("GPUCLOUD_RUN")
        (asked.out / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")
        print(f"test accuracy {right:.1%}", flush=True)
    if right < GOOD_ENOUGH:
        sys.exit(f"{right:.1%} is below {GOOD_ENOUGH:.0%}: the training failed.")


if __name__ == "__main__":
    main()
