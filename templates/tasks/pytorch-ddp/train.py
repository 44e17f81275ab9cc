"""Train one network in many processes with PyTorch DDP: each has its share of the data, all have the same weights.

    torchrun --nproc_per_node=2 train.py       two processes here
    python train.py                            one process

Each process takes the GPU of its LOCAL_RANK, or the CPU where there is none. Rank 0 writes out/model.pt and
out/metrics.json. The data are made up; put your own `Dataset` into `make_data`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

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


def join() -> torch.device:
    """Meet the other processes; the device of this one. Without torchrun it is a world of one."""
    if "RANK" not in os.environ:
        alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
        os.environ.update(alone)
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def train_epoch(model, batches, optimizer, device) -> float:
    """One pass over this process's share; the loss, averaged over all processes."""
    model.train()
    total = torch.zeros((), device=device)
    half = device.type == "cuda" and torch.cuda.get_device_capability() >= (8, 0)
    for points, classes in batches:
        points, classes = points.to(device, non_blocking=True), classes.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = nn.functional.cross_entropy(model(points), classes)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # here the processes exchange their gradients
        optimizer.step()
        total += loss.detach()
    mean = total / len(batches)
    dist.all_reduce(mean)
    return float(mean) / dist.get_world_size()


@torch.no_grad()
def accuracy(model, data, device) -> float:
    """Share of points that are put into the right class; every process tests a part of them."""
    model.eval()
    points, classes = (tensor[dist.get_rank() :: dist.get_world_size()].to(device) for tensor in data.tensors)
    counts = torch.tensor([int((model(points).argmax(1) == classes).sum()), len(classes)], device=device)
    dist.all_reduce(counts)
    return int(counts[0]) / int(counts[1])


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Train a small network with PyTorch DDP.")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--samples", type=int, default=8192, help="points to learn from, over all processes")
    parser.add_argument("--width", type=int, default=128, help="of the hidden layers (default 128)")
    parser.add_argument("--batch", type=int, default=64, help="of each process (default 64)")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=Path("out"))
    return parser.parse_args()


def main() -> None:
    """Train, test, write the results. Ends with 1 and a sentence when the training failed."""
    asked = options()
    device = join()
    first, processes = dist.get_rank() == 0, dist.get_world_size()
    torch.manual_seed(0)
    if first:
        asked.out.mkdir(parents=True, exist_ok=True)
        print(f"{processes} processes, {device.type}, {dist.get_backend()}", flush=True)
    data = make_data(asked.samples, 1)
    share = DistributedSampler(data)
    learn = DataLoader(data, asked.batch, sampler=share, pin_memory=device.type == "cuda")
    devices = [device.index] if device.type == "cuda" else None
    model = DistributedDataParallel(new_model(asked.width).to(device), device_ids=devices)
    optimizer = torch.optim.AdamW(model.parameters(), asked.rate)
    losses = []
    for epoch in range(1, asked.epochs + 1):
        share.set_epoch(epoch)  # another order in each epoch
        clock = time.perf_counter()
        losses.append(train_epoch(model, learn, optimizer, device))
        rate = asked.samples / (time.perf_counter() - clock)
        if first:
            print(f"epoch {epoch:2}/{asked.epochs}  loss {losses[-1]:.4f}  {rate:,.0f} samples/s", flush=True)
            torch.save(model.module.state_dict(), asked.out / "partial.pt")
            (asked.out / "partial.pt").replace(asked.out / "model.pt")
    right = accuracy(model, make_data(1024, 2), device)
    if first:
        found = {"test_accuracy": right, "loss": losses, "device": device.type, "processes": processes}
        found["run"] = os.environ.get("GPUCLOUD_RUN")
        (asked.out / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")
        print(f"test accuracy {right:.1%}", flush=True)
    dist.barrier()  # nobody leaves while another process still needs it
    dist.destroy_process_group()
    if right < GOOD_ENOUGH:
        sys.exit(f"{right:.1%} is below {GOOD_ENOUGH:.0%}: the training failed.")


if __name__ == "__main__":
    main()
