"""The catalog at a million offers: building the index once, one GPU's default view, and the memory of both."""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.report import Row

CLOUDS, TYPES, REGIONS, ZONES, CARDS = 5, 333, 100, 3, 50  # x 2 markets: 999,000 offers
HEADER = (
    "instance_type,region,zone,market,term_months,usd_per_hour,price_kind,availability,"
    "billing_increment_s,minimum_s,observed_on,status,source,flags\n"
)


def run() -> list[Row]:
    """All rows. Building and asking run in processes of their own, so that each one's memory is its own."""
    with tempfile.TemporaryDirectory(prefix="gpucloud bench ") as place:
        folder, cache = Path(place) / "csv", Path(place) / "cache"
        offers = write_catalog(folder)
        time.sleep(2.1)  # younger files are hashed at every opening: their time stamps may still lie
        built_s, build_mib, _ = _measured(folder, cache)
        opened_s, ask_mib, view_s = _measured(folder, cache)
    return [
        Row(f"index of {offers:,} offers, built once", built_s, 15, "s"),
        Row("peak memory while building", build_mib, 60, "M"),
        Row("one GPU's default view, in process", view_s * 1e3, 50, "ms", "offers, count and footer"),
        Row("opening the warm index", opened_s * 1e3, 50, "ms"),
        Row("peak memory of that", ask_mib, 60, "M"),
    ]


def write_catalog(folder: Path) -> int:
    """A made-up catalog, the same at every run; returns how many offers it has."""
    dice = random.Random(1)
    (folder / "offers").mkdir(parents=True)
    cards = [f"G{number}" for number in range(CARDS)]
    (folder / "accelerators.csv").write_text("name,memory_gib\n" + "".join(f"{card},80\n" for card in cards))
    types = ["cloud,instance_type,accelerator,accelerator_count,vcpus,memory_gib\n"]
    for cloud in (f"cloud{number}" for number in range(CLOUDS)):
        types += [f"{cloud},t{at},{cards[at % CARDS]},{2 ** (at % 4)},8,64\n" for at in range(TYPES)]
        with (folder / "offers" / f"{cloud}.csv").open("w") as stream:
            stream.write(HEADER)
            for at in range(TYPES):
                stream.writelines(_offers(at, dice))
    (folder / "instance_types.csv").write_text("".join(types))
    return CLOUDS * TYPES * REGIONS * ZONES * 2


def _offers(at: int, dice: random.Random) -> list[str]:
    lines = []
    for number in range(REGIONS * ZONES):
        region = f"region-{number // ZONES}"
        price = (1 + at % 40) * dice.uniform(0.8, 1.3)
        day = f"2026-{dice.randint(1, 11):02}-{dice.randint(1, 28):02}"
        for market, usd in (("on-demand", price), ("spot", price * 0.4)):
            place = f"t{at},{region},{region}-{number % ZONES},{market},,{usd:.4f}"
            lines.append(f"{place},list,open,1,60,{day},current,made-up,\n")
    return lines


def _measured(folder: Path, cache: Path) -> tuple[float, float, float]:
    words = [sys.executable, "-m", "tests.bench.bench_catalog", str(folder), str(cache)]
    opened_s, mib, view_s = subprocess.check_output(words, text=True).split()
    return float(opened_s), float(mib), float(view_s)


def ask(folder: Path, cache: Path) -> None:
    """Open the catalog and look at one card as `compare` does; prints seconds, MiB, seconds."""
    from gpucloud.catalog.catalog import open_catalog
    from gpucloud.core.accelerators import parse_request
    from gpucloud.core.query import OfferQuery

    begin = time.perf_counter()
    catalog = open_catalog(None, cache, folder=folder)
    opened_s = time.perf_counter() - begin
    views = []
    for number in range(5):
        begin = time.perf_counter()
        request = parse_request(f"G{number}", catalog.accelerators(), catalog.aliases())
        query = OfferQuery(gpus=(request,))
        answer = catalog.offers(query), catalog.count(query), catalog.tally(query)
        views.append(time.perf_counter() - begin)
        assert answer[0] and answer[1] > 5000
    catalog.close()
    scale = 1024 * 1024 if sys.platform == "darwin" else 1024
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    print(opened_s, mib, statistics.median(views))


if __name__ == "__main__":
    ask(Path(sys.argv[1]), Path(sys.argv[2]))
