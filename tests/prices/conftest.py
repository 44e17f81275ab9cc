"""A home, the environment that points to the feeds, and the shipped catalog's rows to fill them with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gpucloud.catalog.catalog import open_catalog
from gpucloud.catalog.overlay import offer_rows
from gpucloud.core.fresh import PriceRow
from gpucloud.core.offers import InstanceType
from gpucloud.flows.refresh_prices import Refreshed, refresh
from gpucloud.state.home import Home
from tests.clouds.http import SimServer
from tests.prices.feeds import AwsFeed, AzureFeed, GcpFeed, LambdaFeed, gcp_skus

CATALOGS = Path(__file__).parents[2] / "catalogs"
TODAY = "2026-11-24"


@dataclass
class World:
    """What a refresh sees."""

    home: Home
    environ: dict[str, str]
    stack: ExitStack
    kinds: dict[str, list[InstanceType]]
    feeds: dict[str, SimServer] = field(default_factory=dict)

    def serve(self, cloud: str, feed: SimServer) -> SimServer:
        """Start a feed and point its variable to it."""
        self.stack.enter_context(feed)
        self.feeds[cloud] = feed
        variable = {
            "aws": "AWS_ENDPOINT_URL",
            "azure": "GPUCLOUD_AZURE_PRICES_URL",
            "gcp": "GPUCLOUD_GCP_BILLING_URL",
            "lambda": "GPUCLOUD_LAMBDA_URL",
        }[cloud]
        self.environ[variable] = feed.url + ("/api/retail/prices" if cloud == "azure" else "")
        return feed

    def refresh(self, *clouds: str, today: str = TODAY, **settings: Any) -> Refreshed:
        return refresh(self.home, self.environ, clouds, today=today, **settings)

    def rows(self, cloud: str) -> dict[tuple[Any, ...], PriceRow]:
        """The overlay's believed rows."""
        return {row.key: row for row in offer_rows(self.home.catalog, cloud) if row.status != "suspect"}

    def offers(self, **wishes: Any) -> Any:
        from gpucloud.core.query import OfferQuery

        with open_catalog(
            self.home.catalog, self.home.cache, folder=CATALOGS, today=date.fromisoformat(TODAY)
        ) as catalog:
            return catalog.offers(OfferQuery(**wishes))


def shipped(cloud: str, *, market: str = "", times: float = 1.0) -> list[PriceRow]:
    """The shipped current list rows of a cloud, each price times a factor."""
    rows = [row for row in offer_rows(CATALOGS, cloud) if row.usd_per_hour and row.region and row.status == "current"]
    kept = [
        row for row in rows if row.term_months is None and row.price_kind != "community" and market in ("", row.market)
    ]
    return [row._replace(usd_per_hour=round((row.usd_per_hour or 0) * times, 6)) for row in kept]


@pytest.fixture(scope="session")
def shipped_kinds() -> dict[str, list[InstanceType]]:
    found: dict[str, list[InstanceType]] = {}
    with open_catalog(None, None, folder=CATALOGS) as catalog:
        for kind in catalog.instance_types():
            found.setdefault(kind.cloud, []).append(kind)
    return found


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped_kinds: dict[str, list[InstanceType]]
) -> Iterator[World]:
    environ = {
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "LAMBDA_API_KEY": LambdaFeed.key,
        "GOOGLE_API_KEY": GcpFeed.key,
    }
    for name in ("GPUCLOUD_CATALOG_DIR", "AWS_PROFILE", "AWS_ENDPOINT_URL", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with ExitStack() as stack:
        yield World(Home(tmp_path / "home"), environ, stack, shipped_kinds)


@pytest.fixture
def aws(world: World, monkeypatch: pytest.MonkeyPatch) -> AwsFeed:
    """AWS with every shipped on-demand price, and spot per zone at 0.4 of it."""
    listed = shipped("aws", market="on-demand")
    spot = [
        row._replace(market="spot", zone=f"{row.region}{letter}", usd_per_hour=round((row.usd_per_hour or 0) * 0.4, 4))
        for row in listed
        for letter in "ab"
    ]
    feed = AwsFeed(world.kinds["aws"], [*listed, *spot])
    world.serve("aws", feed)
    monkeypatch.setenv("AWS_ENDPOINT_URL", feed.url)
    return feed


@pytest.fixture
def azure(world: World) -> AzureFeed:
    feed = AzureFeed(shipped("azure"))
    world.serve("azure", feed)
    return feed


@pytest.fixture
def gcp(world: World) -> GcpFeed:
    feed = GcpFeed(gcp_skus(["us-central1"]), page_size=13)
    world.serve("gcp", feed)
    return feed


@pytest.fixture
def lambda_feed(world: World) -> LambdaFeed:
    usd = {row.instance_type: row.usd_per_hour or 0.0 for row in shipped("lambda")}
    feed = LambdaFeed([(kind, usd[kind.instance_type]) for kind in world.kinds["lambda"] if kind.instance_type in usd])
    world.serve("lambda", feed)
    return feed
