"""`catalog refresh` at real size: 100,000 prices over HTTP into an overlay, and again a day later."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from tests.bench.report import Row

REGIONS_EACH = 57  # copies of each shipped Azure row, in regions of their own: 101,118 prices


def run() -> list[Row]:
    """Both refreshes. The feed runs in a process of its own, with its pages ready."""
    here, there = multiprocessing.Pipe()
    feed = multiprocessing.Process(target=_serve, args=(there,))
    feed.start()
    try:
        url, prices = here.recv()
        return _measured(url, prices)
    finally:
        here.send("end")
        feed.join()


def _measured(url: str, prices: int) -> list[Row]:
    from gpucloud.flows.refresh_prices import refresh
    from gpucloud.state.home import Home

    rows = []
    with tempfile.TemporaryDirectory(prefix="gpucloud bench ") as place:
        home = Home(Path(place) / "home")
        for words, day in (("the first time", "2026-11-24"), ("all known", "2026-11-25")):
            begin, cpu = time.monotonic(), time.process_time()
            refresh(home, {"GPUCLOUD_AZURE_PRICES_URL": url}, ["azure"], today=day)
            took, busy = time.monotonic() - begin, time.process_time() - cpu
            rows.append(Row(f"refresh of {prices:,} prices, {words}", took, 30, "s", f"{busy:.1f} s of them computing"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*rows, Row("peak memory of both", peak, 300, "M")]


def _serve(pipe: Connection) -> None:
    from tests.prices.conftest import shipped
    from tests.prices.feeds import AzureFeed

    rows = [row._replace(region=f"{row.region}{at}") for at in range(REGIONS_EACH) for row in shipped("azure")]
    with AzureFeed(rows, page_size=1000) as feed:
        pipe.send((f"{feed.url}/api/retail/prices", len(rows)))
        pipe.recv()
