"""On the day when prices have become too old: what compare, recommend and up say, and that all name the cure."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from gpucloud.catalog import catalog as room
from gpucloud.cli.app import main
from gpucloud.cli.up_view import offer_line
from gpucloud.core.offers import CLOUDS_WITH_LIVE_PRICES, Offer
from gpucloud.prices.source import SOURCES
from tests.small_catalog import write

CURE = "`gpucloud catalog refresh aws` asks for today's"
SPOT = """\
instance_type,region,market,usd_per_hour,availability,observed_on,status,source
p4d,eu-west-1,on-demand,24.5,open,2026-06-01,current,list-a
p4d,us-west-2,on-demand,11,open,2024-01-01,current,list-a
p4d,us-east-1,spot,7.25,open,2025-06-01,current,list-a
"""


@pytest.fixture
def on(tmp_path, monkeypatch, capsys):
    """Run a command on a day; (exit code, stdout, stderr)."""
    catalog = write(tmp_path / "catalog", offers_aws=SPOT, onprem=None)
    for name, value in (("HOME", tmp_path / "home"), ("CATALOG_DIR", catalog), ("SSH_FROM", "192.0.2.1/32")):
        monkeypatch.setenv(f"GPUCLOUD_{name}", str(value))
    monkeypatch.setenv("COLUMNS", "200")

    def run(day, *words):
        monkeypatch.setattr(room, "date", type("Day", (date,), {"today": classmethod(lambda cls: cls(*day))}))
        code = main(list(words))
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


THIS_YEAR, NEXT_YEAR = (2026, 12, 1), (2027, 7, 1)
UP = ("up", "trial", "--cloud", "aws", "--gpu", "A100:8", "--dry-run")


def test_compare_names_the_command_that_asks_for_todays_prices(on):
    code, out, _ = on(NEXT_YEAR, "compare", "A100:8", "--cloud", "aws")
    assert code == 0 and CURE in out and "stale" in out
    assert "refresh" not in on(THIS_YEAR, "compare", "A100:8", "--cloud", "aws")[1]


def test_up_tries_old_prices_last_and_says_how_old_they_are(on):
    plan = json.loads(on(THIS_YEAR, *UP, "-o", "json")[1])["plan"]
    assert [offer["usd_per_hour"] for offer in plan["order"]] == [24.5, 11]
    words = on(THIS_YEAR, *UP)[1]
    assert "11.00  2024-01-01  older than a year" in words
    assert "2026-06-01  older" not in words and "refresh" not in words


def test_up_can_still_start_what_only_has_an_old_price(on):
    code, out, err = on(NEXT_YEAR, *UP, "--region", "eu-west-1", "--instance-type", "p4d")
    assert code == 0, err
    assert "24.50  2026-06-01  older than a year" in out
    assert f"mind: no fitting offer has a price younger than a year, the bill may differ; {CURE}" in out


def test_the_plan_that_is_agreed_to_says_how_old_a_price_is():
    offer = Offer(
        "aws",
        "p4d",
        "A100",
        8,
        "eu-west-1",
        usd_per_hour=24.5,
        provisionable=True,
        observed_on="2026-06-01",
        age_days=20,
    )
    assert offer_line(offer, 1) == "p4d (8 x A100) on-demand in aws eu-west-1, 24.50 USD/h, price of 2026-06-01"
    assert offer_line(replace(offer, age_days=400), 2).endswith("49.00 USD/h, price of 2026-06-01, older than a year")


def test_machines_of_your_own_have_no_old_price(on):
    code, out, err = on(NEXT_YEAR, "up", "trial", "--cloud", "local", "--dry-run")
    assert code == 0, err
    assert "older than a year" not in out and "mind:" not in out


def test_recommend_says_what_old_prices_kept_out(on):
    words = ("recommend", "--model", "resnet50", "--work", "1e6 samples", "--have", "A100-40GB:1", "--cloud", "aws")
    assert "Left out" not in on(THIS_YEAR, *words)[1]
    code, out, err = on(NEXT_YEAR, *words)
    assert code == 0, err
    assert f"Left out: 1 offer with prices older than a year; {CURE}; --stale ranks them." in out
    assert "Left out: 2 offers" in on(NEXT_YEAR, *words, "--market", "any")[1]
    assert "Left out" not in on(NEXT_YEAR, *words, "--stale")[1]


def test_when_nothing_is_left_the_hint_names_the_cure(on):
    code, _, err = on(NEXT_YEAR, "recommend", "--model", "resnet50", "--work", "1e6 samples", "--cloud", "aws")
    assert code == 3 and CURE in err


def test_every_cloud_that_refresh_can_ask_is_named_as_a_cure():
    assert set(CLOUDS_WITH_LIVE_PRICES) == set(SOURCES)
