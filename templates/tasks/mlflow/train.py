"""Train a small network with PyTorch and record it in MLflow.

    python train.py                          recorded in out/mlflow.db, no server needed
    mlflow ui --backend-store-uri sqlite:///out/mlflow.db       look at it

With MLFLOW_TRACKING_URI in the environment it goes to that server, and the link of the run is printed and written
to out/run-link.txt. What the training costs is a curve as well, from the price that gpucloud puts into the
environment. The data are made up: put your own into `make_data`. Also writes out/model.pt and out/metrics.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import torch
from torch import nn

INPUTS, CLASSES = 32, 10
GOOD_ENOUGH = 0.75  # test accuracy below this is a failed training
USD_PER_HOUR = os.environ.get("GPUCLOUD_USD_PER_HOUR")  # of all nodes; `gpucloud run` sets it where it knows a price
RECORDED = ("RUN", "USD_PER_HOUR", "PRICE_OBSERVED_ON")  # become tags: gpucloud.run and so on


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
    began, usd = time.time(), None
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
        if USD_PER_HOUR:
            usd = float(USD_PER_HOUR) * (time.time() - began) / 3600
            tell("usd", usd, epoch)
        print(f"epoch {epoch:2}/{asked.epochs}  loss {loss:.4f}  test accuracy {right:.1%}", flush=True)
    torch.save(model.state_dict(), asked.out / "model.pt")
    return {"test_accuracy": right, "usd": usd, "device": device.type, "run": os.environ.get("GPUCLOUD_RUN")}


def finish(asked: argparse.Namespace, found: dict[str, object]) -> None:
    """Write out/metrics.json; end with 1 and a sentence when the training failed."""
    (asked.out / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")
    if float(str(found["test_accuracy"])) < GOOD_ENOUGH:
        sys.exit(f"The test accuracy is below {GOOD_ENOUGH:.0%}: the training failed.")


def link_of(run) -> str:
    """Where the run can be looked at: a page of the server, or the database file."""
    server = mlflow.get_tracking_uri()
    if not server.startswith("http"):
        return server
    return f"{server.rstrip('/')}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def main() -> None:
    """Train and record settings, curves, results, the run of gpucloud, and the cost where the price is known."""
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(f"sqlite:///{asked.out / 'mlflow.db'}")
    mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "gpucloud"))
    tags = {f"gpucloud.{name.lower()}": os.environ.get(f"GPUCLOUD_{name}", "") for name in RECORDED}
    with mlflow.start_run(tags=tags) as run:
        mlflow.log_params({name: getattr(asked, name) for name in ("epochs", "samples", "width", "batch", "rate")})
        found = fit(asked, lambda name, value, epoch: mlflow.log_metric(name, value, step=epoch))
        found["link"] = link_of(run)
    (asked.out / "run-link.txt").write_text(f"{found['link']}\n")
    print(f"recorded: {found['link']}", flush=True)
    finish(asked, found)


if __name__ == "__main__":
    main()
