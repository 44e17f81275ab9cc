"""`compare` from words to output: filters, defaults, JSON, footers, and every sentence for a mistake."""

from __future__ import annotations

import csv
import io
import json
from datetime import date

import pytest

from gpucloud.catalog import catalog as room
from gpucloud.cli.app import main
from tests.small_catalog import FILES, write

KEYS = [
    *[
        "cloud",
        "instance_type",
        "accelerator",
        "accelerator_count",
        "gpu_memory_gib",
        "vcpus",
        "memory_gib",
        "region",
        "zone",
        "market",
    ],
    *[
        "usd_per_hour",
        "usd_per_gpu_hour",
        "observed_on",
        "age_days",
        "status",
        "price_kind",
        "availability",
        "provisionable",
        "arch",
    ],
    *["source", "flags", "throughput", "usd_per_unit_work", "work_unit"],
]


class Summer(date):
    """The first of July 2026."""

    @classmethod
    def today(cls):
        return cls(2026, 7, 1)


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUCLOUD_CATALOG_DIR", str(write(tmp_path / "csv")))
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(room, "date", Summer)
    return tmp_path / "csv"


@pytest.fixture
def ask(capsys):
    """Runs `compare` with these words; (exit code, stdout, stderr)."""

    def run(*words):
        code = main(["compare", *words])
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture
def offers(ask):
    """The offers of a JSON answer."""

    def run(*words):
        code, out, err = ask(*words, "-o", "json")
        assert code == 0, err
        body = json.loads(out)
        assert (body["version"], body["kind"]) == (1, "compare")
        return body["offers"]

    return run


def names(found):
    return [(offer["instance_type"], offer["region"]) for offer in found]


def test_the_default_is_on_demand_and_the_cheapest_ranked_region_of_each_type(offers):
    found = offers("A100")
    assert names(found) == [("p4d", "us-east-1"), ("p4de", "us-east-1"), ("gpu_8x", "us-east-1")]
    assert [offer["usd_per_hour"] for offer in found] == [21.957642, 27.44705, None]


def test_an_offer_has_the_contracts_keys_and_the_sources_price(offers):
    first = offers("A100:8")[0]
    assert list(first) == KEYS
    assert first["usd_per_hour"] == 21.957642 and first["usd_per_gpu_hour"] == 21.957642 / 8
    assert (first["accelerator_count"], first["age_days"], first["zone"], first["throughput"]) == (8, 30, None, None)


def test_a_share_of_a_card_is_never_one_of_it(offers):
    assert names(offers("a10:1")) == [("nv36", "eastus")]
    assert names(offers("A10")) == [("nv6", "eastus"), ("nv36", "eastus")]


@pytest.mark.parametrize(
    ("words", "types"),
    [
        (("--cloud", "AZURE"), {"nv6", "nv36"}),
        (("--cloud", "azure,gcp"), {"nv6", "nv36", "tpu-v3-8"}),
        (("--cloud", "azure", "--cloud", "gcp"), {"nv6", "nv36", "tpu-v3-8"}),
        (("--region", "eu-west-1"), {"p4d"}),
        (("--min-gpu-memory", "80GB"), {"p4de"}),
        (("--min-count", "4", "--max-usd-per-hour", "10"), {"tpu-v3-8"}),
        (("--market", "spot"), {"p4d"}),
        (("Tesla K80", "--retired"), {"p2"}),
        (("A10:1", "K80,TPU-v3", "--retired"), {"nv36", "p2", "tpu-v3-8"}),
    ],
)
def test_wishes(offers, words, types):
    assert {offer["instance_type"] for offer in offers(*words)} == types


def test_all_regions_and_stale_prices_behind(offers):
    found = offers("A100-40GB", "--cloud", "aws", "--all-regions")
    assert [offer["region"] for offer in found] == ["us-east-1", "eu-west-1", "us-west-2"]
    assert offers("A100-40GB", "--cloud", "aws", "--stale")[0]["region"] == "us-west-2"


def test_suspect_rows_are_shown_on_request_behind_the_others(offers):
    found = offers("A100-80GB", "--all-regions", "--suspect")
    assert [(offer["status"], offer["usd_per_hour"]) for offer in found] == [("current", 27.44705), ("suspect", 90)]


def test_per_gpu_price_sorts_otherwise(offers):
    assert names(offers("--sort", "gpu-price", "--cloud", "azure,gcp")) == [
        ("tpu-v3-8", "us-central1"),
        ("nv6", "eastus"),
        ("nv36", "eastus"),
    ]


def test_a_model_adds_speed_and_cost_of_the_work(offers):
    first, second, third = offers("A100", "--model", "ResNet50", "--sort", "work-price")
    assert first["throughput"] == {
        "value": 9500,
        "unit": "samples/s",
        "model": "resnet50",
        "precision": "fp16",
        "basis": "measured",
        "low": 9500,
        "high": 9500,
        "source": "list-b",
    }
    assert first["usd_per_unit_work"] == pytest.approx(21.957642 / (9500 * 3600) * 1e6)
    assert first["work_unit"] == "1e6 samples" and second["instance_type"] == "p4de"
    assert third["usd_per_unit_work"] is None and third["throughput"]["value"] == 9500


def test_the_fastest_first(offers):
    assert offers("A100", "--model", "resnet50", "--sort", "throughput")[0]["instance_type"] == "p4de"


def test_another_precision_is_another_speed(offers):
    found = offers("A100-40GB", "--model", "resnet50", "--precision", "fp32")
    assert found[0]["throughput"]["value"] == 6000
    assert offers("A100-80GB", "--model", "resnet50", "--precision", "fp32")[0]["throughput"] is None


def test_limits(offers, ask):
    assert len(offers("--limit", "2")) == 2 and len(offers()) == 6
    code, out, _ = ask("--limit", "2")
    assert code == 0 and "2 of 6 offers" in out and "--limit 6 shows all" in out


def test_the_table_shows_twenty_rows_and_json_all(small, offers, ask):
    rows = "".join(f"nv36,r{number},on-demand,{number + 1},2026-06-01,current,list-a\n" for number in range(30))
    (small / "offers/azure.csv").write_text(FILES["offers/azure.csv"] + rows)
    assert len(offers("A10:1", "--all-regions")) == 31
    _, out, _ = ask("A10:1", "--all-regions")
    assert out.count("nv36") == 20 and "20 of 31 offers" in out


def test_the_table_says_what_it_leaves_out(ask):
    _, out, _ = ask("A100")
    assert "USD/h" in out.splitlines()[0] and "30 d" in out
    assert "--all-regions every place (5)" in out
    assert "1 spot prices (--market spot)" in out and "1 suspect prices (--suspect)" in out
    assert "Price only" in out and "capacity block" in out
    _, out, _ = ask("A100", "--all-regions")
    assert "--stale ranks them too" in out and "2.4 y" not in out.splitlines()[2]


def test_the_table_fits_a_narrow_terminal(ask, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    _, out, _ = ask("--market", "any")
    assert max(map(len, out.splitlines())) <= 70
    assert "USD/h" in out and "Price age" in out and "-o wide shows all" in out


def test_csv_has_every_field(ask):
    _, out, _ = ask("A100:8", "-o", "csv", "--model", "resnet50")
    first = next(csv.DictReader(io.StringIO(out)))
    assert first["usd_per_hour"] == "21.957642" and first["throughput.value"] == "9500.0"
    assert first["provisionable"] == "true" and set(KEYS) - {"throughput"} <= set(first)


def test_markdown_and_wide(ask):
    assert "---:|" in ask("A100", "-o", "markdown")[1]
    assert "list-a" in ask("A100", "-o", "wide")[1]


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (("A1000",), "No GPU is called 'A1000'", "A100"),
        (("A100:x",), "'A100:x' is not NAME or NAME:COUNT", "A100:8"),
        (("A100:0",), "count in 'A100:0'", "A100:8"),
        (("--cloud", "awz"), "No cloud is called 'awz'", "Known: aws, azure, gcp, lambda"),
        (("--region", "moon"), "No region is called 'moon'", "us-central1"),
        (("--cloud", "azure", "--region", "us-east-1"), "No region is called 'us-east-1'", "Known: eastus"),
        (("--model", "resnet"), "No model is called 'resnet'", "resnet50"),
        (("--market", "auction"), "--market cannot be 'auction'", "on-demand"),
        (("--sort", "name"), "--sort cannot be 'name'", "gpu-price"),
        (("--sort", "work-price"), "--sort work-price needs a model", "--model"),
        (("--precision", "fp16"), "--precision needs a model", "--model"),
        (("--model", "resnet50", "--precision", "int4"), "--precision cannot be 'int4'", "bf16"),
        (("--limit", "0"), "--limit 0", "one or more"),
        (("--min-gpu-memory", "lots"), "'lots'", ""),
        (("--max-usd-per-hour", "nan"), "--max-usd-per-hour nan", "zero or more"),
        (("--min-count", "-1"), "--min-count -1", "zero or more"),
    ],
)
def test_mistakes_are_sentences_with_a_hint(ask, words, sentence, hint):
    code, out, err = ask(*words)
    assert (code, out) == (2, "") and sentence in err and hint in err and "Traceback" not in err


def test_nothing_fits_names_the_wish_and_what_is_nearest(ask):
    code, _, err = ask("A100:8", "--max-usd-per-hour", "5", "-o", "json")
    error = json.loads(err)["error"]
    assert (code, error["code"], error["exit_code"]) == (3, "nothing_fits", 3)
    assert "--max-usd-per-hour 5" in error["message"] and "5 offers" not in error["message"]
    (miss,) = error["misses"]
    assert (miss["wishes"], miss["best"]["usd_per_hour"]) == (["--max-usd-per-hour 5"], 21.957642)


def test_a_card_that_is_only_retired_says_how_to_see_it(ask):
    code, _, err = ask("K80")
    assert code == 3 and "--retired" in err and "1 offer" in err


def test_a_card_that_nobody_sells(ask):
    code, _, err = ask("A100-PCIE-80GB")
    assert code == 3 and "No cloud in the catalog sells A100-PCIE-80GB" in err


def test_a_bad_row_stops_with_its_place(small, ask):
    (small / "offers/aws.csv").write_text("instance_type,usd_per_hour\np4d,cheap\n")
    code, _, err = ask()
    assert code == 2 and "offers/aws.csv line 2, column usd_per_hour" in err


def test_the_users_own_prices_are_seen(offers, tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("GPUCLOUD_HOME", str(home))
    (home / "catalog/offers").mkdir(parents=True)
    (home / "catalog/offers/aws.csv").write_text(
        "instance_type,region,usd_per_hour,observed_on\np4d,us-east-1,19.5,2026-06-30\n"
    )
    assert offers("A100:8")[0]["usd_per_hour"] == 19.5
