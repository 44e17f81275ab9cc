"""`catalog import` and `catalog history` through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpucloud.catalog.check import check
from tests.prices.conftest import CATALOGS


def gpucloud(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "GPUCLOUD_HOME": str(home), "NO_COLOR": "1"}
    environ.pop("GPUCLOUD_CATALOG_DIR", None)
    return subprocess.run(
        [sys.executable, "-m", "gpucloud", *words], env=environ, capture_output=True, text=True, timeout=120
    )


def told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


PRICES = """\
cloud,instance_type,region,market,usd_per_hour,accelerator,accelerator_count,vcpus,memory_gib
aws,p4d.24xlarge,us-east-1,on-demand,9.5,,,,
ourdc,node-a,hall-2,on-demand,3.25,h100-sxm-80gb,8,192,2048
"""


def test_negotiated_prices_and_own_machines_win_in_compare(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(PRICES)
    done = told(gpucloud(home, "catalog", "import", str(file), "-o", "json"))
    assert done["imported"] == {"instance_types.csv": 1, "offers/aws.csv": 1, "offers/ourdc.csv": 1}
    offers = told(gpucloud(home, "compare", "--cloud", "aws,ourdc", "--limit", "100", "-o", "json"))["offers"]
    own = {offer["instance_type"]: offer for offer in offers if offer["price_kind"] == "own"}
    assert (own["p4d.24xlarge"]["usd_per_hour"], own["p4d.24xlarge"]["region"]) == (9.5, "us-east-1")
    assert (own["node-a"]["accelerator"], own["node-a"]["usd_per_gpu_hour"]) == ("H100-SXM-80GB", 3.25 / 8)
    assert check(CATALOGS, home / "catalog", "2999-01-01").problems == []


def test_own_benchmarks_are_measured_rows(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "bench.csv"
    file.write_text(
        "accelerator,accelerator_count,model,precision,framework,batch_size,throughput,unit\n"
        "a100-sxm-80gb,1,our-model,bf16,pytorch,64,321,samples/s\na100-sxm-80gb,8,our-model,bf16,pytorch,64,5000,samples/s\n"
    )
    told(gpucloud(home, "catalog", "import", str(file), "-o", "json"))
    rows = told(gpucloud(home, "throughput", "A100-SXM-80GB:1", "--model", "our-model", "-o", "json"))["rows"]
    assert [(row["value"], row["basis"], row["source"]) for row in rows] == [(321, "measured", "own")]
    assert "superlinear" in (home / "catalog" / "benchmarks.csv").read_text().splitlines()[2]


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("aws,p4d.24xlarge,us-east-1,on-demand,-1,,,,", "usd_per_hour", "not above zero"),
        ("aws,p4d.24xlarge,us-east-1,on-demand,0,,,,", "usd_per_hour", "not above zero"),
        ("aws,p4d.24xlarge,us-east-1,on-demand,,,,,", "usd_per_hour", "no price"),
        ("aws,p4d.24xlarge,us-east-1,on-demand,999.99,,,,", "usd_per_hour", "placeholder"),
        ("aws,p4d.24xlarge,us-east-1,on-demand,cheap,,,,", "usd_per_hour", "not a number"),
        ("aws,p4d.24xlarge,us-east-1,sometimes,1,,,,", "market", "none of"),
        ("aws,p99.huge,us-east-1,on-demand,1,,,,", "instance_type", "describe it"),
        ("aws,p99.huge,us-east-1,on-demand,1,H1000,8,,", "accelerator", "Did you mean"),
        ("a/../../w,x,r,on-demand,1,T4,1,,", "cloud", "not the name of a cloud"),
        (",p4d.24xlarge,us-east-1,on-demand,1,,,,", "cloud", "--cloud"),
        ("aws,p4d.24xlarge,süd,on-demand,1,,,,", "region", "printable ASCII"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(
    home: Path, tmp_path: Path, line: str, column: str, words: str
) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(PRICES + line + "\n", encoding="utf-8")
    done = gpucloud(home, "catalog", "import", str(file), "-o", "json")
    assert done.returncode == 2
    [refused] = json.loads(done.stdout)["refused"]
    assert (refused["line"], refused["column"]) == (4, column) and words in refused["message"]
    assert not (home / "catalog" / "offers").exists()
    rest = gpucloud(home, "catalog", "import", str(file), "--skip-refused", "-o", "json")
    assert rest.returncode == 2 and json.loads(rest.stdout)["imported"]["offers/ourdc.csv"] == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "none that can be imported"),
        ("", "none that can be imported"),
        ("cloud,instance_type,usd_per_hour,usd_per_huor\n", "'usd_per_huor'"),
        ('cloud,instance_type,usd_per_hour\n"open', "not a CSV"),
    ],
)
def test_a_file_that_is_none(home: Path, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    done = gpucloud(home, "catalog", "import", str(file))
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    missing = gpucloud(home, "catalog", "import", str(tmp_path / "none.csv"))
    assert missing.returncode == 2 and "cannot be read" in missing.stderr


def test_the_shipped_history_of_a_machine(home: Path, tmp_path: Path) -> None:
    rows = told(gpucloud(home, "catalog", "history", "p5.48xlarge", "-o", "json"))["prices"]
    assert [row["usd_per_hour"] for row in rows] == pytest.approx([98.32, 55.04], abs=1e-6)
    assert rows[1]["change"] == pytest.approx(55.04 / 98.32 - 1)
    picture = tmp_path / "p5.svg"
    drawn = gpucloud(home, "catalog", "history", "H100", "--plot", str(picture))
    assert drawn.returncode == 0, drawn.stderr
    assert picture.read_text().startswith("<?xml") and "USD per hour" in picture.read_text()


def test_history_of_what_is_unknown_or_never_changed(home: Path, tmp_path: Path) -> None:
    assert gpucloud(home, "catalog", "history", "H1000").returncode == 2
    assert gpucloud(home, "catalog", "history", "K80", "--cloud", "gcp").returncode == 3
    wrong = gpucloud(home, "catalog", "history", "H100", "--plot", str(tmp_path / "x.exe"))
    assert wrong.returncode == 2 and ".svg" in wrong.stderr
