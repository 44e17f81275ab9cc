"""Refreshing over real HTTP: what is believed, what is not, and what never changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpucloud.catalog import overlay
from gpucloud.catalog.check import check
from gpucloud.core.errors import StateConflict, UsageError
from tests.clouds.http import Answer, Fault
from tests.prices.conftest import CATALOGS, TODAY, World, shipped
from tests.prices.feeds import AwsFeed, AzureFeed, GcpFeed, LambdaFeed, gcp_skus, lambda_item, sku


def test_four_clouds_in_one_run_are_seen_by_compare(
    world: World, aws: AwsFeed, azure: AzureFeed, gcp: GcpFeed, lambda_feed: LambdaFeed
) -> None:
    done = world.refresh()
    assert done.error is None
    by_cloud = {item.cloud: item for item in done.clouds}
    assert all(item.merged and not item.failed and not item.refused for item in done.clouds)
    assert by_cloud["azure"].merged.by_kind.get("suspect", 0) == 0
    assert by_cloud["azure"].merged.confirmed > 800
    p4d = world.offers(instance_types=("p4d.24xlarge",), clouds=("aws",))
    assert [offer.observed_on for offer in p4d] == [TODAY]
    assert p4d[0].source == "aws-price-list"
    zones = world.offers(instance_types=("p4d.24xlarge",), clouds=("aws",), market="spot", all_regions=True)
    assert {offer.zone for offer in zones} >= {"us-east-1a", "us-east-1b"}
    problems = check(CATALOGS, world.home.catalog, TODAY).problems
    assert [problem for problem in problems if problem.file.startswith("catalog/")] == []


def test_a_composed_machine_is_the_sum_of_its_parts(world: World, gcp: GcpFeed) -> None:
    """96 vCPUs, 680 GiB and eight A100 at the list prices of us-central1: 29.38708 USD/h, as published."""
    world.refresh("gcp")
    rows = world.rows("gcp")
    a2 = rows["a2-highgpu-8g", "us-central1", "us-central1-a", "on-demand", None]
    assert a2.usd_per_hour == pytest.approx(96 * 0.031611 + 680 * 0.004237 + 8 * 2.933908, abs=1e-4)
    assert a2.usd_per_hour == pytest.approx(29.38708, abs=1e-3)
    spot = rows["a2-highgpu-8g", "us-central1", "us-central1-a", "spot", None]
    assert spot.usd_per_hour == pytest.approx(a2.usd_per_hour / 2, abs=1e-4)
    assert {row.zone for row in rows.values() if row.region == "us-central1"} >= {"us-central1-a", "us-central1-b"}


NEWER = [
    sku("A3Plus Instance Core running in Americas", "CPU", ["us-central1"], 0.026924),
    sku("A3Plus Instance Ram running in Americas", "RAM", ["us-central1"], 0.002344),
    sku("SSD backed Local Storage", "LocalSSD", ["us-central1"], 0.08, unit="GiBy.mo"),
    sku("Nvidia H100 80GB Plus GPU running in Americas", "GPU", ["us-central1"], 10.344276),
    sku("Reserved Nvidia H100 80GB Mega GPU in Americas in Calendar Mode", "GPU", ["us-central1"], 4.841121),
    sku(
        "Nvidia H100 Mega 80GB GPU attached to DWS Defined Duration VMs running in Americas",
        "GPU",
        ["us-central1"],
        4.4,
    ),
    sku("Spot Preemptible A4 Nvidia B200 (1 gpu slice) running in Americas", "GPU", ["us-central1"], 4.9542),
    sku("DWS Calendar Mode A4 Nvidia B200 (1 gpu slice) in Americas", "GPU", ["us-central1"], 7.5),
    sku("G4 Instance Core running in Iowa", "CPU", ["us-central1"], 0.04891),
    sku("G4 Instance Ram running in Iowa", "RAM", ["us-central1"], 0.00587),
    sku("RTX 6000 96GB running in Iowa", "GPU", ["us-central1"], 1.09565),
    sku("1/8 vGPU no lssd running in Iowa", "GPU", ["us-central1"], 0.64688),
    sku("1/8 vGPU no lssd attached to DWS Defined Duration VMs running in Iowa", "GPU", ["us-central1"], 0.32344),
]
"""Google's words and rates as others have recorded them; what is reserved or for a calendar is never a list price."""


def test_newer_families_are_composed_from_their_own_parts(world: World) -> None:
    world.serve("gcp", GcpFeed(NEWER))
    done = world.refresh("gcp").clouds[0]
    assert not done.failed and not done.refused
    assert done.merged is not None and "retired" not in done.merged.by_kind
    fresh = [row for row in world.rows("gcp").values() if row.observed_on == TODAY]
    assert {(row.instance_type, row.market): row.usd_per_hour for row in fresh} == {
        # 208 vCPUs 5.600192 + 1872 GiB 4.387968 + 8 GPUs 82.754208 + 6000 GiB of SSD 0.657534
        ("a3-megagpu-8g", "on-demand"): pytest.approx(93.3999, abs=1e-4),
        ("a4-highgpu-8g", "spot"): pytest.approx(39.6336),  # eight slices, each an eighth of the whole machine
        ("g4-standard-48", "on-demand"): pytest.approx(4.49993),  # 2.34768 + 1.0566 + 1.09565, as published
        ("g4-standard-96", "on-demand"): pytest.approx(8.99986),
        ("g4-standard-192", "on-demand"): pytest.approx(17.99972),
        ("g4-standard-384", "on-demand"): pytest.approx(35.99944),
        ("g4-standard-24", "on-demand"): pytest.approx(2.58752),  # four eighths, not half of a whole GPU
        ("g4-standard-12", "on-demand"): pytest.approx(1.29376),
        ("g4-standard-6", "on-demand"): pytest.approx(0.64688),
    }
    assert {row.region for row in fresh} == {"us-central1"}


TPUS = [
    sku("TpuV5e running in Delhi", "TPU", ["asia-south2"], 1.44132),
    sku("TpuV5e running in Americas", "TPU", ["us-central1", "us-west1"], 1.2),
    sku(
        "TpuV5e attached to Spot Preemptible VMs running in Singapore", "TPU", ["asia-southeast1"], 0.78, "Preemptible"
    ),
    sku("TpuV5p running in Sao Paulo", "TPU", ["southamerica-east1"], 6.430995),
    sku("Reserved TpuV5p in Delhi in Calendar Mode", "TPU", ["asia-south2"], 2.94),
    sku("Commitment v1: TpuV5p running in Netherlands for 3 Years", "TPU", ["europe-west4"], 1.911, "Commit3Yr"),
    sku("TpuV6e running in Columbus", "TPU", ["us-east5"], 2.7),
    sku("DWS Defined Duration V6e running in Columbus", "TPU", ["us-east5"], 1.35),
    sku("TpuV6e attached to Spot Preemptible VMs running in Columbus", "TPU", ["us-east5"], 1.4033, "Preemptible"),
    sku("Capacity Optimized TpuV6e running in Columbus", "TPU", ["us-east5"], 2.8),
    sku("Reserved V6e TPU in Columbus in Calendar Mode", "TPU", ["us-east5"], 1.89),
    sku("TPU7x running in Americas", "TPU", ["us-west1", "us-central1", "us-east1"], 12.0),
]
"""Words as others have recorded them from the list in June and August 2026, with the rates they saw. Except for v5e in
the Americas (1.2, the catalog's own) and the capacity-optimized one, made unlike the plain one so that a mix-up shows.
"""


def test_a_tpu_slice_costs_what_its_chips_cost(world: World) -> None:
    """v5litepod-8 has eight chips, v5p-8 four, v6e-8 eight; what is reserved, flexible or another chip never counts."""
    world.serve("gcp", GcpFeed(TPUS))
    done = world.refresh("gcp").clouds[0]
    assert not done.failed and not done.refused
    assert done.merged is not None and "retired" not in done.merged.by_kind  # the list's silence says nothing of TPUs
    fresh = [row for row in world.rows("gcp").values() if row.observed_on == TODAY]
    usd = {(row.instance_type, row.region, row.market): row.usd_per_hour for row in fresh}
    assert usd["tpu-v5litepod-8", "us-central1", "on-demand"] == pytest.approx(9.6)
    assert usd["tpu-v5litepod-1", "asia-southeast1", "spot"] == pytest.approx(0.78)
    assert usd["tpu-v6e-8", "us-east5", "on-demand"] == pytest.approx(21.6)
    assert usd["tpu-v6e-8", "us-east5", "spot"] == pytest.approx(11.2264)
    assert {(region, market) for name, region, market in usd if name.startswith("tpu-v6e-")} == {
        ("us-east5", "on-demand"),
        ("us-east5", "spot"),
    }
    assert usd["tpu-v5p-8", "southamerica-east1", "on-demand"] == pytest.approx(25.72398)  # two cores a chip
    assert not [key for key in usd if key[0].startswith("tpu-v5p-") and key[1] != "southamerica-east1"]


def test_a_commitment_is_never_a_list_price(world: World) -> None:
    only = [item for item in gcp_skus(["us-central1"]) if item["category"]["usageType"] == "Commit1Yr"]
    world.serve("gcp", GcpFeed(only))
    done = world.refresh("gcp")
    assert done.clouds[0].merged is not None and done.clouds[0].merged.rows == ()


def test_a_machine_with_a_part_missing_has_no_price(world: World) -> None:
    skus = [item for item in gcp_skus(["us-central1"]) if "A2 Instance Ram" not in item["description"]]
    world.serve("gcp", GcpFeed(skus))
    world.refresh("gcp")
    assert not [
        row for row in world.rows("gcp").values() if row.instance_type.startswith("a2-") and row.observed_on == TODAY
    ]


def test_prices_move_and_the_move_is_kept_in_the_history(world: World) -> None:
    world.serve("azure", AzureFeed(shipped("azure", times=1.25)))
    merged = world.refresh("azure").clouds[0].merged
    assert merged is not None and merged.by_kind["moved"] > 800
    change = next(change for change in merged.changes if change.kind == "moved")
    assert change.row.usd_per_hour == pytest.approx((change.before or 0) * 1.25, rel=1e-4)
    history = (world.home.catalog / "history" / "azure.csv").read_text()
    assert f"{change.row.instance_type},{change.row.region}" in history
    again = world.refresh("azure", today="2026-11-25").clouds[0].merged
    assert again is not None and again.changes == ()
    assert (world.home.catalog / "history" / "azure.csv").read_text() == history


HOSTILE: dict[str, Any] = {
    "100 times": lambda item: {**item, "retailPrice": item["retailPrice"] * 100},
    "a hundredth": lambda item: {**item, "retailPrice": item["retailPrice"] / 100},
    "zero": lambda item: {**item, "retailPrice": 0},
    "below zero": lambda item: {**item, "retailPrice": -1},
    "not a number": lambda item: {**item, "retailPrice": "NaN"},
    "infinite": lambda item: {**item, "retailPrice": float("inf")},
    "placeholder": lambda item: {**item, "retailPrice": 999.99},
    "words": lambda item: {**item, "retailPrice": "cheap"},
    "lists": lambda item: {**item, "retailPrice": [1], "armSkuName": ["x"]},
    "nothing": lambda item: None,
    "other money": lambda item: {**item, "currencyCode": "EUR", "retailPrice": item["retailPrice"] * 0.9},
    "another unit": lambda item: {**item, "unitOfMeasure": "1 Month", "retailPrice": item["retailPrice"] * 0.9},
    "formulas": lambda item: {**item, "armSkuName": '=cmd|"/c calc"', "retailPrice": 1},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_feed_changes_nothing_that_is_recommended(world: World, kind: str) -> None:
    wishes: dict[str, Any] = {"clouds": ("azure",), "market": "any", "all_regions": True}
    before = world.offers(**wishes)
    feed = AzureFeed(shipped("azure"))
    feed.items = [HOSTILE[kind](item) for item in feed.items]
    feed.respond = lambda request, items=feed.items: Answer(body={"Items": items, "NextPageLink": None})  # type: ignore[method-assign]
    world.serve("azure", feed)
    world.refresh("azure")
    assert world.offers(**wishes) == before


def test_a_doubted_price_is_shown_on_request_beside_the_known_one(world: World) -> None:
    world.serve("azure", AzureFeed(shipped("azure", times=10)))
    merged = world.refresh("azure").clouds[0].merged
    assert merged is not None and merged.by_kind == {"suspect": merged.by_kind["suspect"]}
    wishes: dict[str, Any] = {
        "clouds": ("azure",),
        "all_regions": True,
        "instance_types": ("Standard_NC24ads_A100_v4",),
    }
    known = [offer for offer in world.offers(**wishes) if offer.region]
    shown = [offer for offer in world.offers(**wishes, suspect=True) if offer.region]
    assert len(shown) == 2 * len(known)
    assert {offer.flags for offer in shown if offer.status == "suspect"} == {("moved_beyond_3x",)}
    believed = world.refresh("azure", today="2026-11-25", believed=("Standard_NC24ads_A100_v4",)).clouds[0].merged
    assert believed is not None and believed.by_kind["moved"] == len(known)
    assert world.offers(**wishes)[0].usd_per_hour == pytest.approx(10 * (known[0].usd_per_hour or 0), rel=1e-4)


def test_what_vanished_is_retired_and_comes_back(world: World) -> None:
    rows = shipped("azure")
    gone = rows[0]
    world.serve("azure", AzureFeed(rows[1:]))
    merged = world.refresh("azure").clouds[0].merged
    assert merged is not None and merged.by_kind["retired"] == 1
    kept = world.rows("azure")[gone.key]
    assert (kept.status, kept.usd_per_hour, kept.observed_on) == ("retired", gone.usd_per_hour, gone.observed_on)
    world.serve("azure", AzureFeed(rows))
    merged = world.refresh("azure", today="2026-11-25").clouds[0].merged
    assert merged is not None and merged.by_kind == {"returned": 1}
    assert world.rows("azure")[gone.key].status == "current"


@pytest.mark.parametrize("left", [0, 100])
def test_an_answer_that_lacks_much_retires_nothing(world: World, left: int) -> None:
    world.serve("azure", AzureFeed(shipped("azure")[:left]))
    merged = world.refresh("azure").clouds[0].merged
    assert merged is not None and "retired" not in merged.by_kind and merged.cut


def test_a_piece_that_fails_keeps_its_old_rows_and_dates(world: World, azure: AzureFeed) -> None:
    azure.faults.append(Fault("page 0 of Standard_ND", "garbage"))
    done = world.refresh("azure")
    assert done.error is not None and done.error.exit_code == 6
    assert set(done.clouds[0].failed) == {"Standard_ND"} and "text/html" in done.clouds[0].failed["Standard_ND"]
    fresh = {row.instance_type[:11] for row in world.rows("azure").values() if row.observed_on == TODAY}
    assert "Standard_ND" not in fresh and "Standard_NC" in fresh


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "error_before", "garbage"])
def test_a_later_page_that_fails_takes_its_piece_with_it(world: World, azure: AzureFeed, kind: str) -> None:
    azure.page_size = 50
    azure.faults += [Fault("page 50 of Standard_NC", kind, nth) for nth in range(1, 6)]
    done = world.refresh("azure")
    assert set(done.clouds[0].failed) == {"Standard_NC"}
    assert not [
        row
        for row in world.rows("azure").values()
        if row.instance_type.startswith("Standard_NC") and row.observed_on == TODAY
    ]


def test_throttling_is_waited_for(world: World, azure: AzureFeed) -> None:
    azure.faults.append(Fault("page 0 of Standard_NC", "throttle_once"))
    assert world.refresh("azure").error is None


def test_half_a_page_is_no_page(world: World, azure: AzureFeed) -> None:
    whole = azure.respond

    def half(request: Any) -> Answer:
        import json

        body = json.dumps(whole(request).body).encode()
        return Answer(200, body[: len(body) // 2], {"Content-Type": "application/json"})

    azure.respond = half  # type: ignore[method-assign]
    done = world.refresh("azure")
    assert done.error is not None and len(done.clouds[0].failed) == 4
    assert world.rows("azure") == {}


def test_a_page_of_another_host_is_not_followed(world: World, azure: AzureFeed) -> None:
    azure.respond = lambda request: Answer(body={"Items": [], "NextPageLink": "http://192.0.2.1/steal"})  # type: ignore[method-assign]
    assert "another host" in next(iter(world.refresh("azure").clouds[0].failed.values()))


def test_pages_in_a_circle_end(world: World, azure: AzureFeed) -> None:
    loop = azure.url + "/api/retail/prices?$filter=startswith(armSkuName,%20'Standard_NC'"
    azure.respond = lambda request: Answer(body={"Items": [], "NextPageLink": loop})  # type: ignore[method-assign]
    assert "circle" in " ".join(world.refresh("azure").clouds[0].failed.values())


def test_a_denied_region_of_aws_keeps_its_rows(world: World, aws: AwsFeed) -> None:
    aws.denied.add("eu-west-1")
    done = world.refresh("aws")
    assert set(done.clouds[0].failed) == {"eu-west-1"}
    spot = [row for row in world.rows("aws").values() if row.market == "spot" and row.observed_on == TODAY]
    assert spot and "eu-west-1" not in {row.region for row in spot}
    regional = [
        row for row in overlay.offer_rows(CATALOGS, "aws") if row.region == "eu-west-1" and row.market == "spot"
    ]
    assert all(row.key not in world.rows("aws") for row in regional)


def test_zone_prices_replace_the_estimate_of_the_region(world: World, aws: AwsFeed) -> None:
    world.refresh("aws")
    estimate = world.rows("aws")["p4d.24xlarge", "us-east-1", "", "spot", None]
    assert estimate.status == "retired"
    best = world.offers(instance_types=("p4d.24xlarge",), clouds=("aws",), market="spot")
    assert best[0].zone and best[0].price_kind == "list"


def test_spot_above_the_list_is_doubted(world: World, aws: AwsFeed) -> None:
    aws.spot["us-east-1"] = [row._replace(usd_per_hour=(row.usd_per_hour or 0) * 2.6) for row in aws.spot["us-east-1"]]
    merged = world.refresh("aws").clouds[0].merged
    assert merged is not None
    reasons = {
        change.reason for change in merged.changes if change.kind == "suspect" and change.row.region == "us-east-1"
    }
    assert reasons == {"spot_above_on_demand"}


def test_a_new_type_is_described_and_one_with_an_unknown_card_is_doubted(world: World, lambda_feed: LambdaFeed) -> None:
    kind = world.kinds["lambda"][-1]
    from dataclasses import replace

    known = replace(kind, instance_type="gpu_16x_h100_sxm5", accelerator="H100 (80 GB SXM5)", accelerator_count=16)
    unknown = replace(kind, instance_type="gpu_1x_x9000", accelerator="X9000 (512 GB SXM9)", accelerator_count=1)
    lambda_feed.data["a"], lambda_feed.data["b"] = lambda_item(known, 47.84), lambda_item(unknown, 9.9)
    item = world.refresh("lambda").clouds[0]
    assert item.new_types == ("gpu_16x_h100_sxm5", "gpu_1x_x9000")
    offers = world.offers(clouds=("lambda",), instance_types=item.new_types)
    assert [(offer.instance_type, offer.accelerator) for offer in offers] == [("gpu_16x_h100_sxm5", "H100-SXM-80GB")]
    doubted = world.offers(clouds=("lambda",), instance_types=item.new_types, suspect=True)
    assert [(offer.status, offer.flags) for offer in doubted if "x9000" in offer.instance_type] == [
        ("suspect", ("unknown_accelerator",))
    ]
    assert check(CATALOGS, world.home.catalog, TODAY).problems == []


def test_a_users_own_price_stays_in_force(world: World, azure: AzureFeed) -> None:
    row = shipped("azure")[0]
    own = row._replace(usd_per_hour=0.5, price_kind="own", source="", observed_on="2026-01-01")
    folder = world.home.catalog / "offers"
    folder.mkdir(parents=True)
    (folder / "azure.csv").write_text(overlay.text_of(overlay.OFFER_TABLE, [own]))
    merged = world.refresh("azure").clouds[0].merged
    assert merged is not None and merged.kept_own == 1
    assert world.rows("azure")[row.key] == own


def test_without_credentials_a_named_source_is_6_and_an_unnamed_one_only_told(world: World, azure: AzureFeed) -> None:
    del world.environ["LAMBDA_API_KEY"]
    assert world.refresh("lambda").error is not None
    world.environ["GOOGLE_API_KEY"] = "wrong"
    done = world.refresh("lambda", "azure")
    assert done.error is not None and "LAMBDA_API_KEY" in done.error.message


def test_a_wrong_key_is_told_and_never_shown(world: World, lambda_feed: LambdaFeed) -> None:
    world.environ["LAMBDA_API_KEY"] = "wrong-secret"
    done = world.refresh("lambda")
    assert (
        done.error is not None
        and "API key was invalid" in done.error.message
        and "wrong-secret" not in done.error.message
    )


def test_an_unknown_cloud_is_refused_with_the_nearest(world: World) -> None:
    with pytest.raises(UsageError, match="azur"):
        world.refresh("azur")


def test_two_refreshes_at_once(world: World, azure: AzureFeed) -> None:
    from gpucloud.state.locks import deployment_lock

    with deployment_lock(world.home, "_catalog", "catalog refresh"), pytest.raises(StateConflict, match="running"):
        world.refresh("azure")


def test_a_private_authority_is_trusted_when_named(world: World, tmp_path: Path) -> None:
    from tests.clouds.tls import certificates

    made = certificates(tmp_path / "ca")
    world.serve("azure", AzureFeed(shipped("azure"), tls=made.pair))
    refused = world.refresh("azure")
    assert refused.error is not None and "CERTIFICATE_VERIFY_FAILED" in refused.error.message.upper()
    world.environ["REQUESTS_CA_BUNDLE"] = str(made.authority)
    assert world.refresh("azure").error is None


def test_dry_run_writes_nothing(world: World, azure: AzureFeed) -> None:
    merged = world.refresh("azure", dry_run=True).clouds[0].merged
    assert merged is not None and merged.confirmed
    assert not (world.home.catalog / "offers").exists()


def test_a_full_disk_loses_nothing(world: World, azure: AzureFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    world.refresh("azure")
    before = world.rows("azure")
    world.serve("azure", AzureFeed(shipped("azure", times=1.5)))
    real = overlay._write

    def full(path: Path, text: str) -> None:
        if path.name.startswith("azure.csv"):
            raise OSError(28, "No space left on device")
        real(path, text)

    monkeypatch.setattr(overlay, "_write", full)
    with pytest.raises(UsageError, match="No space left"):
        world.refresh("azure", today="2026-11-25")
    assert world.rows("azure") == before
    assert not list(world.home.catalog.rglob("*.new"))


def test_a_sku_in_gibibyte_months_counts_hours() -> None:
    from gpucloud.prices.gcp import _usd_per_hour

    expression = sku("SSD", "LocalSSD", [], 0.08, unit="GiBy.mo")["pricingInfo"][0]["pricingExpression"]
    assert _usd_per_hour(expression) == pytest.approx(0.08 / 730)
