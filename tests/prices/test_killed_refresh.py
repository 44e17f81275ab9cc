"""A refresh that is killed at any write leaves the old catalog or the new one, whole; the next one goes on."""

from __future__ import annotations

import os
import shutil
import signal
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gpucloud.catalog import overlay
from gpucloud.catalog.catalog import open_catalog
from gpucloud.core.offers import Offer
from gpucloud.core.query import OfferQuery
from tests.prices.conftest import CATALOGS, World, shipped
from tests.prices.feeds import AzureFeed, LambdaFeed, lambda_item

STEPS = ("open", "replace", "fsync", "unlink")  # the system calls by which a commit becomes real


def _base(folder: Path) -> Path:
    """The shipped catalog of both clouds alone, so that an index is built in a moment."""
    for file in ("accelerators.csv", "aliases.csv", "sources.csv", "offers/azure.csv", "offers/lambda.csv"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CATALOGS / file, folder / file)
    header, *kinds = (CATALOGS / "instance_types.csv").read_text().splitlines(keepends=True)
    ours = [line for line in kinds if line.startswith(("azure,", "lambda,"))]
    (folder / "instance_types.csv").write_text("".join([header, *ours]))
    return folder


def _seen(world: World, base: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What `compare` sees of both clouds, through a fresh index."""
    with open_catalog(world.home.catalog, None, folder=base, today=date(2026, 11, 25)) as catalog:
        every = catalog.offers(OfferQuery(clouds=("azure", "lambda"), market="any", all_regions=True))
    rows = sorted((offer.cloud, *_words(offer)) for offer in every)
    return {cloud: [row[1:] for row in rows if row[0] == cloud] for cloud in ("azure", "lambda")}


def _texts(folder: Path) -> dict[str, str]:
    """Every table of the overlay."""
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*.csv")}


def _words(offer: Offer) -> tuple[str, ...]:
    return (offer.instance_type, offer.region, offer.market, str(offer.usd_per_hour), offer.observed_on)


def _commit_killed_at(folder: Path, texts: dict[str, str], step: int) -> bool:
    """Commit in a child that is killed at its nth system call of STEPS; True when it came to its end before."""
    child = os.fork()
    if child == 0:
        left = step
        for name in STEPS:
            real = getattr(os, name)

            def counted(*words: Any, real: Any = real, **more: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*words, **more)

            setattr(os, name, counted)
        overlay.commit(folder, texts)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_killed_at_every_step(
    world: World, monkeypatch: pytest.MonkeyPatch, record_property: pytest.RecordProperty, tmp_path: Path
) -> None:
    usd = {row.instance_type: row.usd_per_hour or 0.0 for row in shipped("lambda")}
    kinds = [kind for kind in world.kinds["lambda"] if kind.instance_type in usd]
    world.serve("azure", AzureFeed(shipped("azure")))
    world.serve("lambda", LambdaFeed([(kind, usd[kind.instance_type]) for kind in kinds]))
    world.refresh("azure", "lambda")
    base = _base(tmp_path / "base")
    old = _seen(world, base)
    feed = LambdaFeed([(kind, usd[kind.instance_type] * 1.1) for kind in kinds])
    feed.data["new"] = lambda_item(kinds[0].__class__("lambda", "gpu_3x_a10", "A10 (24 GB PCIe)", 3, 30, 200), 2.5)
    world.serve("lambda", feed)
    world.serve("azure", AzureFeed(shipped("azure", times=1.1)))
    kept: dict[str, dict[str, str]] = {}
    monkeypatch.setattr(overlay, "commit", lambda folder, texts: kept.update(texts=dict(texts)))
    world.refresh("azure", "lambda", today="2026-11-25")
    monkeypatch.undo()
    folder, copy = world.home.catalog, tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = _texts(copy)
    after = {**before, **kept["texts"]}
    seen: list[str] = []
    for step in range(200):
        shutil.rmtree(folder)
        shutil.copytree(copy, folder)
        ended = _commit_killed_at(folder, kept["texts"], step)
        overlay.settle(folder)  # what every reader does first
        assert (folder / ".commit").exists() is False
        texts = _texts(folder)
        assert texts in (before, after), f"mixed after step {step}"
        seen.append("old" if texts == before else "new")
        if seen[-1:] != seen[-2:-1] or ended:  # what compare sees, where it may have changed
            now = _seen(world, base)
            assert (now == old) == (seen[-1] == "old")
        if seen[-1] == "new":
            assert {row[-1] for row in now["lambda"] if row[0].startswith("gpu_")} == {"2026-11-25"}
            assert {row[0] for row in now["lambda"]} >= {"gpu_3x_a10"}
        overlay.sweep(folder)
        assert not [*folder.rglob("*.new")]
        if ended:
            break
    assert seen[0] == "old" and seen[-1] == "new" and seen == sorted(seen, reverse=True)
    record_property("told", f"kill points of catalog refresh: {len(seen)}, of which 0 left a mixed catalog")
