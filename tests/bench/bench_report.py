"""Reports: how large the page of 20,000 offers is, how soon it can be used, and how fast a filter answers."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.bench.report import Row

OFFERS = 20_000


def run() -> list[Row]:
    """Everything in one Chromium; without one, nothing."""
    from tests.browser.conftest import CHROMIUM

    if CHROMIUM is None:
        print("bench_report: no Chromium here, nothing measured")
        return []
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="gpucloud bench ") as place, sync_playwright() as play:
        file = Path(place) / "report.html"
        made_s = write_page(file, Path(place) / "cache")
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened, filtered = [], []
        for _ in range(5):
            page = browser.new_page()
            begin = time.perf_counter()
            page.goto(file.as_uri())
            page.wait_for_selector("body[data-ready=yes]")
            opened.append(time.perf_counter() - begin)
            filtered.append(page.evaluate(FILTER_MS))
            page.close()
        browser.close()
        size_mb = file.stat().st_size / 1e6
    return [
        Row(f"page of {OFFERS:,} offers", size_mb, 3, "MB", f"made in {made_s:.1f} s"),
        Row("opened and drawn, charts included", statistics.median(opened), 2, "s"),
        Row("a filter over all rows, drawn", statistics.median(filtered), 100, "ms"),
    ]


FILTER_MS = """async () => {
    const select = document.querySelector("select[name=cloud]");
    const begin = performance.now();
    select.value = select.options[1].value;
    select.dispatchEvent(new Event("change"));
    await new Promise(requestAnimationFrame);
    return performance.now() - begin;
}"""


def write_page(file: Path, cache: Path) -> float:
    """The shipped offers, repeated in made-up regions until there are enough; returns seconds without the library."""
    from gpucloud.catalog.catalog import open_catalog
    from gpucloud.cli.report_pages import of_compare
    from gpucloud.core.query import OfferQuery
    from gpucloud.remote.scripts import template_dir
    from gpucloud.render.report.library import library
    from gpucloud.render.report.page import page

    with open_catalog(None, None) as catalog:
        found = catalog.offers(OfferQuery(market="any", all_regions=True))
    offers = [{**asdict(offer), "usd_per_gpu_hour": offer.usd_per_gpu_hour} for offer in found]
    offers = [{"throughput": None, "work_unit": None, "usd_per_unit_work": None, **offer} for offer in offers]
    many = [{**offer, "region": f"{offer['region']}-{copy}"} for copy in range(3) for offer in offers][:OFFERS]
    script = library(cache)
    begin = time.perf_counter()
    text = page(
        of_compare({"offers": many}, "compare"), script, template_dir() / "report", version="0", day="2026-11-24"
    )
    file.write_text(text)
    return time.perf_counter() - begin
