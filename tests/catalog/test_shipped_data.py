"""The shipped CSV files: prices compared with what the sources print, and the rules every row must keep."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from datetime import date
from functools import cache
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parent.parent.parent
CATALOGS = ROOT / "catalogs"
Row = dict[str, str]

# Typed from the source tables, as the sources print them: cloud, type, region, zone, market, price, day, source.
PRICES = [
    ("aws", "p4d.24xlarge", "us-east-1", "", "on-demand", "21.957642", "2026-08-26", "aws-gpu-vantage-2026"),
    ("aws", "p4d.24xlarge", "us-east-1", "", "spot", "7.246", "2025-06-28", "spotinfo-advisor"),
    ("aws", "p5.48xlarge", "us-west-2", "", "on-demand", "55.04", "2026-08-26", "aws-gpu-vantage-2026"),
    ("aws", "p5.48xlarge", "ca-central-1", "", "spot", "102.5395", "2025-06-28", "spotinfo-advisor"),
    ("aws", "g4dn.xlarge", "us-east-1", "", "on-demand", "0.526", "2026-08-26", "aws-gpu-vantage-2026"),
    ("aws", "g5.xlarge", "eu-west-1", "", "on-demand", "1.123", "2026-08-26", "aws-gpu-vantage-2026"),
    ("aws", "g6f.large", "us-east-2", "", "on-demand", "0.202", "2026-08-26", "aws-gpu-vantage-2026"),
    ("aws", "p2.xlarge", "us-east-1", "", "on-demand", "0.9", "2026-07-20", "karpenter-aws"),
    ("aws", "p3.2xlarge", "us-east-1", "", "on-demand", "3.06", "2026-08-26", "aws-gpu-vantage-2026"),
    ("azure", "Standard_NC24ads_A100_v4", "eastus", "", "on-demand", "3.673", "2026-05-20", "anycloud"),
    ("azure", "Standard_NC24ads_A100_v4", "eastus", "", "spot", "0.746721", "2026-05-20", "anycloud"),
    ("azure", "Standard_ND96isr_H100_v5", "eastus", "", "on-demand", "98.32", "2026-05-20", "anycloud"),
    ("azure", "Standard_NC6s_v3", "westeurope", "", "on-demand", "3.823", "2026-05-20", "anycloud"),
    ("azure", "Standard_NV6ads_A10_v5", "eastus", "", "spot", "0.083899", "2026-05-20", "anycloud"),
    ("azure", "Standard_ND96isr_H200_v5", "eastus2", "", "spot", "84.8", "2026-05-20", "anycloud"),
    ("azure", "Standard_NC6", "eastus", "", "on-demand", "0.9", "2023-08-06", "libcloud"),
    ("azure", "Standard_ND6s", "eastus", "", "spot", "0.414", "2023-08-06", "libcloud"),
    ("gcp", "a2-highgpu-8g", "us-central1", "us-central1-f", "on-demand", "29.38708", "2026-08-03", "karpenter-gcp"),
    ("gcp", "a2-ultragpu-1g", "us-central1", "us-central1-a", "on-demand", "5.0688", "2026-08-03", "karpenter-gcp"),
    ("gcp", "a3-megagpu-8g", "us-central1", "us-central1-b", "on-demand", "92.21427", "2026-05-20", "anycloud"),
    ("gcp", "a3-ultragpu-8g", "asia-south1", "asia-south1-b", "on-demand", "49.35922", "2026-05-20", "anycloud"),
    ("gcp", "g2-standard-4", "us-central1", "us-central1-c", "spot", "0.39734", "2026-08-03", "karpenter-gcp"),
    ("gcp", "g4-standard-48", "us-central1", "", "on-demand", "4.49993", "2026-08-03", "karpenter-gcp"),
    ("gcp", "tpu-v5p-8", "us-east5", "us-east5-a", "on-demand", "16.8", "2026-05-20", "anycloud"),
    ("gcp", "tpu-v5litepod-4", "us-west4", "us-west4-a", "spot", "1.824", "2026-05-20", "anycloud"),
    ("gcp", "tpu-v6e-1", "asia-east1", "asia-east1-c", "on-demand", "", "2026-05-20", "anycloud"),
    ("gcp", "n1-highmem-8+V100:1", "", "", "on-demand", "2.95", "2025-03-07", "fsdl"),
    # Pairs: host and GPU of that zone, 0.38 + 0.35; 0.13954 + 0.1654; 1.51999 + 19.84; 0.19 + 0.45 (K80 of 2022).
    ("gcp", "n1-standard-8+T4:1", "us-central1", "us-central1-a", "on-demand", "0.73", "2026-05-20", "anycloud"),
    ("gcp", "n1-standard-8+T4:1", "us-central1", "us-central1-a", "spot", "0.30494", "2026-05-20", "anycloud"),
    ("gcp", "n1-standard-32+V100:8", "us-central1", "us-central1-a", "on-demand", "21.35999", "2026-05-20", "anycloud"),
    ("gcp", "n1-standard-4+K80:1", "us-central1", "us-central1-a", "on-demand", "0.64", "2022-06-24", "skypilot-2022"),
    ("lambda", "gpu_8x_h100_sxm5", "us-east-1", "", "on-demand", "31.92", "2026-05-07", "anycloud"),
    ("lambda", "1x-QUADRO-RTX6000", "", "", "on-demand", "4.4", "2025-03-07", "fsdl"),
    ("coreweave", "8x-H100", "", "", "on-demand", "49.24", "2026-02-01", "kaelresearch"),
    ("crusoe", "H100-SXM-80GB", "", "", "spot", "1.6", "2026-08-19", "gpuhunt"),
    ("nebius", "gpu-h100-sxm_8gpu-128vcpu-1600gb", "eu-north1", "", "spot", "10", "2025-01-17", "skypilot-nebius-v9"),
    ("oci", "BM.GPU.H100.8", "eu-amsterdam-1", "", "on-demand", "80", "2024-01-01", "skypilot-oci-v9"),
    ("runpod", "1x_RTX4090_COMMUNITY", "", "", "spot", "0.29", "2024-01-01", "skypilot-runpod-v5"),
    ("vast", "8x-H100_SXM-32-65536", "Vietnam VN AS", "", "on-demand", "14.94", "2026-04-29", "anycloud"),
    ("vast", "1x-A100_SXM4-32-65536-80gb", "Czechia CZ EU", "", "on-demand", "0.93", "2026-04-29", "anycloud"),
    ("digitalocean", "gpu-h100x8-640gb", "tor1", "", "on-demand", "47.6", "2024-01-01", "skypilot-do-v6"),
    ("hyperstack", "n3-H100x8", "CANADA-1", "", "on-demand", "15.2", "2025-04-15", "skypilot-hyperstack-v8"),
    ("jarvislabs", "1x_L4_28V_124G", "IN2", "", "on-demand", "0.44", "2025-01-01", "skypilot-jarvislabs-v8"),
    ("paperspace", "H100", "East Coast (NY2)", "", "on-demand", "5.95", "2024-01-01", "skypilot-paperspace-v6"),
    ("exoscale", "GPU3080Ti SMALL", "", "", "on-demand", "", "2025-03-07", "fsdl"),
    ("ovhcloud", "l4-90", "", "", "on-demand", "1", "2025-03-07", "fsdl"),
    ("datacrunch", "8V100.48V", "", "", "on-demand", "8", "2025-03-07", "fsdl"),
    ("cudocompute", "1x-RTXA4000-2vcpu-4gib-1", "", "", "on-demand", "0.3", "2025-03-07", "fsdl"),
    ("cudocompute", "1x-RTXA4000-2vcpu-4gib-2", "", "", "on-demand", "0.32", "2025-03-07", "fsdl"),
]
CARDS = [
    ("aws", "p4d.24xlarge", "A100-SXM-40GB", "8"),
    ("aws", "p2.8xlarge", "K80", "8"),
    ("azure", "Standard_NC24ads_A100_v4", "A100-PCIE-80GB", "1"),
    ("azure", "Standard_NV6ads_A10_v5", "A10", "0.167"),
    ("azure", "Standard_NC40ads_H100_v5", "H100-NVL-94GB", "1"),
    ("gcp", "a3-megagpu-8g", "H100-SXM-80GB", "8"),
    ("gcp", "tpu-v2-8", "TPU-v2", "4"),
    ("gcp", "tpu-v5litepod-4", "TPU-v5e", "4"),
    ("lambda", "gpu_1x_a100", "A100-PCIE-40GB", "1"),
    ("lambda", "gpu_1x_h100_pcie", "H100-PCIE-80GB", "1"),
    ("vast", "1x-A100_SXM4-32-65536-80gb", "A100-SXM-80GB", "1"),
    ("vast", "1x-RTX_3060_Ti-32-65536", "RTX3060TI", "1"),
]
RATES = [
    ("resnet50", "A100-SXM-40GB", "1", "fp16", "lambda-2020", "1211"),
    ("bert-large-squad", "A100-SXM-80GB", "1", "mixed", "nvidia-dle", "134.22"),
    ("resnet50", "K80", "1", "fp32", "tensorflow-2017", "51.2"),
    ("mpt-70b", "H100-SXM-80GB", "512", "bf16", "llm-foundry", "515636"),
    ("mlperf-resnet50", "A100-SXM-80GB", "8", "", "mlperf-v1.0", "32.944"),
    ("gavel-resnet50-imagenet-bs128", "V100-16GB", "1", "fp32", "gavel-2020", "2.4968"),
]


@cache
def rows(file: str) -> tuple[Row, ...]:
    """All rows of one file of the catalog."""
    with (CATALOGS / file).open(encoding="ascii", newline="") as stream:
        return tuple(csv.DictReader(stream))


FILES = sorted(path.relative_to(CATALOGS).as_posix() for path in CATALOGS.rglob("*.csv"))
CLOUDS = [file.removeprefix("offers/").removesuffix(".csv") for file in FILES if file.startswith("offers/")]


def offers(cloud: str) -> tuple[Row, ...]:
    """The offers of one cloud."""
    return rows(f"offers/{cloud}.csv")


def flags(row: Row) -> list[str]:
    """The flags of a row."""
    return [flag for flag in row["flags"].split(";") if flag]


@pytest.mark.parametrize(("cloud", "kind", "region", "zone", "market", "usd", "day", "source"), PRICES)
def test_a_price_is_the_sources_price(cloud, kind, region, zone, market, usd, day, source):
    (offer,) = (
        row
        for row in offers(cloud)
        if (row["instance_type"], row["region"], row["zone"], row["market"]) == (kind, region, zone, market)
    )
    assert (offer["usd_per_hour"], offer["observed_on"], offer["source"]) == (usd, day, source)


def test_every_cloud_has_a_checked_price():
    unchecked = set(CLOUDS) - {price[0] for price in PRICES}
    # Small community tables: one of their kind, datacrunch, is checked.
    assert unchecked == {"cr8dl", "dataoorts", "fluidstack", "latitudesh", "novonimbus", "oblivuscloud"}


@pytest.mark.parametrize(("cloud", "kind", "accelerator", "count"), CARDS)
def test_a_machine_has_its_card(cloud, kind, accelerator, count):
    (machine,) = (r for r in rows("instance_types.csv") if (r["cloud"], r["instance_type"]) == (cloud, kind))
    assert (machine["accelerator"], machine["accelerator_count"]) == (accelerator, count)


@pytest.mark.parametrize(("model", "accelerator", "count", "precision", "source", "rate"), RATES)
def test_a_measurement_is_the_sources(model, accelerator, count, precision, source, rate):
    wanted = (model, accelerator, count, precision, source, rate)
    keys = ("model", "accelerator", "accelerator_count", "precision", "source", "throughput")
    assert wanted in {tuple(row[key] for key in keys) for row in rows("benchmarks.csv")}


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_plain_and_names_known_sources(file):
    assert (CATALOGS / file).read_bytes().isascii()
    known = {row["source"] for row in rows("sources.csv")}
    assert {row["source"] for row in rows(file) if "source" in row} <= known
    assert not [row for row in rows(file) if None in row or None in row.values()]


@pytest.mark.parametrize("file", FILES)
def test_every_accelerator_is_known(file):
    known = {row["name"] for row in rows("accelerators.csv")}
    assert {row["accelerator"] for row in rows(file) if "accelerator" in row} <= known


@pytest.mark.parametrize("cloud", CLOUDS)
def test_offers_are_sorted_unique_dated_and_sell_a_known_machine(cloud):
    keys = [(r["instance_type"], r["region"], r["zone"], r["market"], r["term_months"]) for r in offers(cloud)]
    assert keys == sorted(set(keys))
    machines = {row["instance_type"] for row in rows("instance_types.csv") if row["cloud"] == cloud}
    assert {row["instance_type"] for row in offers(cloud)} == machines
    assert all(date(2020, 1, 1) < date.fromisoformat(row["observed_on"]) for row in offers(cloud))


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_price_is_above_zero_or_empty_and_an_empty_one_says_why(cloud):
    for offer in offers(cloud):
        if offer["usd_per_hour"]:
            assert float(offer["usd_per_hour"]) > 0
            assert float(offer["usd_per_hour"]) != 700, "a placeholder of the TPU table"
        else:
            assert "no_price_published" in flags(offer)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_spot_above_on_demand_is_suspect_and_equal_is_flagged(cloud):
    on_demand = {
        (r["instance_type"], r["region"], r["zone"]): r["usd_per_hour"]
        for r in offers(cloud)
        if r["market"] == "on-demand"
    }
    for offer in offers(cloud):
        listed = on_demand.get((offer["instance_type"], offer["region"], offer["zone"]), "")
        if offer["market"] != "spot" or not listed or not offer["usd_per_hour"]:
            continue
        if float(offer["usd_per_hour"]) > float(listed):
            assert offer["status"] in ("suspect", "retired")
        assert (float(offer["usd_per_hour"]) == float(listed)) == ("no_discount" in flags(offer))


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_price_beyond_three_medians_is_suspect(cloud):
    groups = defaultdict(list)
    for offer in offers(cloud):
        if offer["usd_per_hour"] and offer["price_kind"] != "community":
            groups[offer["instance_type"], offer["market"]].append(offer)
    for group in groups.values():
        middle = median(float(offer["usd_per_hour"]) for offer in group)
        far = [offer for offer in group if float(offer["usd_per_hour"]) > 3 * middle]
        assert all(offer["status"] != "current" for offer in far)


def test_discounted_skus_of_gcp_are_never_current():
    assert not [r for r in offers("gcp") if "suspect_low_sku" in flags(r) and r["status"] == "current"]
    bundled = re.compile(r"n1-.*\+(A100|H100|L4|B200|H200)")
    assert not [r for r in offers("gcp") if bundled.match(r["instance_type"])]


def test_tpus_are_sold_by_google_only():
    sellers = {row["cloud"] for row in rows("instance_types.csv") if row["accelerator"].startswith("TPU")}
    assert sellers == {"gcp"}


def test_retired_cards_keep_their_last_price():
    retired = {row["instance_type"] for row in offers("aws") if row["status"] == "retired" and row["usd_per_hour"]}
    assert {"p2.xlarge", "g3.4xlarge", "p3.2xlarge"} <= retired
    assert {r["status"] for r in offers("gcp") if "K80" in r["instance_type"] and r["market"] == "spot"} == {"retired"}
    assert {r["status"] for r in offers("azure") if r["instance_type"] == "Standard_ND24s"} == {"retired"}


def test_aws_spot_is_an_estimate_with_its_saving_and_interruption_band():
    spot = [row for row in offers("aws") if row["market"] == "spot" and row["price_kind"] != "community"]
    assert spot
    for offer in spot:
        assert offer["price_kind"] == "estimate"
        names = {flag.split("=")[0] for flag in flags(offer)}
        assert {"spot_saving", "interruption", "ondemand_from"} <= names


def test_a_family_holds_all_its_cards():
    families = defaultdict(set)
    for card in rows("accelerators.csv"):
        families[card["family"]].add(card["name"])
    assert families["A100"] == {"A100-SXM-40GB", "A100-SXM-80GB", "A100-PCIE-40GB", "A100-PCIE-80GB"}
    assert families["V100"] == {"V100-16GB", "V100-32GB", "V100-PCIE-16GB"}
    assert not [f for f, cards in families.items() if f in cards and len(cards) > 1], "a card hides its family"


def test_an_alias_means_one_card_and_is_no_name_itself():
    taken = {card[key].casefold() for card in rows("accelerators.csv") for key in ("name", "family")}
    aliases = [row["alias"].casefold() for row in rows("aliases.csv")]
    assert len(aliases) == len(set(aliases))
    assert not taken & set(aliases)


def test_tf32_is_half_of_dense_fp16_and_says_so():
    for card in rows("accelerators.csv"):
        if card["tf32_tflops"]:
            assert float(card["tf32_tflops"]) * 2 == pytest.approx(float(card["fp16_tensor_tflops"]))
            assert "tf32 is half" in card["note"]


def test_benchmarks_that_scale_too_well_are_flagged():
    run = ("source", "accelerator", "model", "precision", "framework")
    single = defaultdict(list)
    for row in rows("benchmarks.csv"):
        if row["accelerator_count"] == "1" and row["unit"] != "minutes":
            single[tuple(row[key] for key in run)].append(float(row["throughput"]))
    for row in rows("benchmarks.csv"):
        base = single.get(tuple(row[key] for key in run))
        if base and float(row["throughput"]) / float(row["accelerator_count"]) > 1.15 * median(base):
            assert "superlinear" in flags(row) or row["accelerator_count"] == "1"


def test_half_precision_far_below_full_precision_is_flagged():
    run = ("source", "accelerator", "accelerator_count", "nodes", "model", "framework", "unit", "year")
    full = defaultdict(float)
    for row in rows("benchmarks.csv"):
        host = (*(row[key] for key in run), *(flag for flag in flags(row) if flag.startswith("machine=")))
        if row["precision"] == "fp32":
            full[host] = max(full[host], float(row["throughput"]))
    slow = set()
    for row in rows("benchmarks.csv"):
        host = (*(row[key] for key in run), *(flag for flag in flags(row) if flag.startswith("machine=")))
        if row["precision"] in ("fp16", "bf16", "mixed") and float(row["throughput"]) < 0.5 * full[host]:
            slow.add((row["accelerator"], row["model"]))
            assert "slower_than_fp32" in flags(row)
    assert ("RTXA4000", "waveglow") in slow and len(slow) < 10


def test_a_low_price_that_one_list_alone_has_is_suspect():
    low = [row for row in rows("offers/gcp.csv") if "below_third_of_median" in flags(row)]
    assert {row["status"] for row in low if "single_source" in flags(row)} == {"suspect"}
    assert {row["status"] for row in low if "single_source" not in flags(row)} == {"current"}


def test_mlperf_rows_say_that_nobody_verified_them():
    mlperf = [row for row in rows("benchmarks.csv") if row["source"].startswith("mlperf")]
    assert mlperf
    assert all("not_verified_by_mlcommons" in flags(row) and row["unit"] == "minutes" for row in mlperf)


def test_every_benchmarked_model_is_described_in_its_unit():
    units = {row["model"]: row["unit"] for row in rows("models.csv")}
    for row in rows("benchmarks.csv"):
        expected = "" if row["unit"] == "minutes" else row["unit"].removesuffix("/s")
        assert units[row["model"]] == expected


def test_the_page_on_the_data_counts_what_is_shipped():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    told = {file: int(count) for file, count in re.findall(r"^\| `([a-z_/0-9.]+csv)` \| (\d+) \|$", page, re.M)}
    assert told == {file: len(rows(file)) for file in FILES}


def test_the_page_accounts_for_every_catalog_and_source_row():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    made: dict[str, int] = defaultdict(int)
    for line in re.findall(r"^\| `[^`]+` \| \d+ \| \d+ \| .* \|$", page, re.M):
        _, _, read, used, became, left, _ = (cell.strip() for cell in line.split("|"))
        reasons = sum(int(n) for n in re.findall(r"(?:^|<br>)(\d+): ", left))
        assert int(read) in (0, int(used) + reasons), line
        for count, file in re.findall(r"(\d+) in `([^`]+)`", became):
            made[file] += int(count)
    assert dict(made) == {file: len(rows(file)) for file in FILES if file != "instance_types.csv"}
