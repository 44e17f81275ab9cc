"""`gpus`, `throughput`, `catalog info` and `catalog check` from words to output."""

from __future__ import annotations

import json

import pytest

from gpucloud.cli.app import main
from tests.small_catalog import put, write


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUCLOUD_CATALOG_DIR", str(write(tmp_path / "csv")))
    monkeypatch.delenv("COLUMNS", raising=False)
    return tmp_path / "csv"


@pytest.fixture
def ask(capsys):
    def run(*words):
        code = main(list(words))
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture
def answer(ask):
    def run(*words):
        code, out, err = ask(*words, "-o", "json")
        assert code == 0, err
        return json.loads(out)

    return run


def test_gpus_lists_every_card(answer, ask):
    body = answer("gpus")
    assert (body["kind"], len(body["accelerators"])) == ("gpus", 6)
    card = next(card for card in body["accelerators"] if card["name"] == "A100-SXM-40GB")
    assert (card["memory_gib"], card["family"], card["fp8_tflops"]) == (40, "A100", None)
    code, out, _ = ask("gpus")
    assert code == 0 and out.splitlines()[0].startswith("GPU") and "6 accelerators" in out


def test_gpus_with_a_name_tells_other_names_and_who_sells_it(answer, ask):
    (card,) = answer("gpus", "tesla k80")["accelerators"]
    assert (card["name"], card["aliases"], card["sold"]) == ("K80", ["Tesla K80"], [])
    assert "No cloud in the catalog sells it on demand" in ask("gpus", "K80")[1]
    cards = answer("gpus", "A100")["accelerators"]
    assert [card["name"] for card in cards] == ["A100-PCIE-80GB", "A100-SXM-40GB", "A100-SXM-80GB"]
    aws = next(cloud for cloud in cards[1]["sold"] if cloud["cloud"] == "aws")
    assert (aws["accelerator_counts"], aws["region_count"]) == ([8], 3)
    assert "Sold on demand" in ask("gpus", "A100")[1]


def test_an_unknown_card_is_a_sentence(ask):
    code, _, err = ask("gpus", "A11")
    assert code == 2 and "No GPU is called 'A11'" in err and "A10" in err


def test_throughput_shows_the_best_row_of_each_source(answer):
    rows = answer("throughput", "A100:8", "--model", "resnet50")["rows"]
    fp16 = [(row["accelerator"], row["value"], row["source"]) for row in rows if row["precision"] == "fp16"]
    assert fp16 == [
        ("A100-SXM-80GB", 11000, "list-a"),
        ("A100-SXM-40GB", 9500, "list-b"),
        ("A100-SXM-40GB", 9000, "list-a"),
    ]
    keys = [
        "accelerator",
        "accelerator_count",
        "model",
        "precision",
        "value",
        "unit",
        "basis",
        "low",
        "high",
        "source",
        "flags",
    ]
    assert list(rows[0])[: len(keys)] == keys and rows[0]["basis"] == "measured"


def test_throughput_of_one_card_on_everything(answer):
    assert [row["model"] for row in answer("throughput", "A10")["rows"]] == ["gpt"]


def test_throughput_in_another_precision(answer, ask):
    assert [row["value"] for row in answer("throughput", "A100", "--precision", "fp32")["rows"]] == [6000]
    (guess,) = answer("throughput", "A100-SXM-40GB:8", "--model", "resnet50", "--precision", "bf16")["rows"]
    assert (guess["basis"], guess["precision"], guess["value"]) == ("predicted", "fp16", 9500)
    assert guess["low"] < 9500 < guess["high"]
    code, _, err = ask("throughput", "A100:8", "--model", "resnet50", "--precision", "fp8")
    assert code == 3 and "fp16, fp32" in err


def test_minutes_say_what_they_are(ask):
    code, out, _ = ask("throughput", "--model", "mlperf-resnet50")
    assert code == 0 and "less is better" in out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("throughput",), 2, "Neither a GPU nor a model"),
        (("throughput", "--model", "vgg"), 2, "No model is called 'vgg'"),
        (("throughput", "A10", "--model", "resnet50"), 3, "Nobody measured A10 on resnet50"),
        (("throughput", "A100:3"), 3, "Measured counts: 1, 8"),
        (("throughput", "A100", "--limit", "0"), 2, "--limit 0"),
    ],
)
def test_what_cannot_be_answered(ask, words, code, sentence):
    ended, out, err = ask(*words)
    assert (ended, out) == (code, "") and sentence in err


def test_info_counts_offers_and_ages(answer, ask):
    body = answer("catalog", "info")
    aws = next(cloud for cloud in body["clouds"] if cloud["cloud"] == "aws")
    assert (aws["offers"], aws["instance_types"], aws["regions"]) == (7, 3, 3)
    assert aws["by_status"] == {"current": 5, "retired": 1, "suspect": 1} and sum(aws["by_age"].values()) == 7
    assert (aws["oldest_observed_on"], aws["newest_observed_on"]) == ("2024-01-01", "2026-06-01")
    assert {"file": "aliases.csv", "layer": "shipped", "rows": 1} in body["files"]
    code, out, _ = ask("catalog", "info")
    assert code == 0 and "offers/aws.csv" in out


def test_check_of_a_clean_catalog(answer, ask):
    body = answer("catalog", "check")
    assert body["problems"] == [] and body["counts"]["problems"] == 0 and body["counts"]["rows"] > 20
    assert ask("catalog", "check")[1].startswith("No problem in ")


def test_check_lists_problems_and_ends_with_2(small, ask):
    put(small, "offers/gcp.csv", "instance_type,usd_per_hour,observed_on,source\ntpu-v3-8,0,2026-06-01,list-a\n")
    code, out, _ = ask("catalog", "check", "-o", "json")
    (problem,) = json.loads(out)["problems"]
    assert code == 2
    assert problem == {
        "file": "offers/gcp.csv",
        "line": 2,
        "column": "usd_per_hour",
        "rule": "value",
        "message": "'0' is not above zero.",
    }
    code, out, _ = ask("catalog", "check")
    assert code == 2 and "1 problem in" in out
