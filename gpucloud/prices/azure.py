"""Azure: the public retail prices, no credentials needed.

Documented at https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from gpucloud.core.errors import CloudError
from gpucloud.core.fresh import Cover, Quote, Told
from gpucloud.core.offers import InstanceType
from gpucloud.prices.azure_sizes import described
from gpucloud.prices.web import Web

URL = "https://prices.azure.com/api/retail/prices"
ENDPOINT = "GPUCLOUD_AZURE_PRICES_URL"  # for a mirror, and for tests
FAMILIES = ("Standard_NC", "Standard_ND", "Standard_NG", "Standard_NV")
MOST_PAGES = 2000


def open_source(environ: Mapping[str, str], types: Sequence[InstanceType]) -> AzurePrices:
    """The retail prices of Azure's N-series."""
    return AzurePrices(environ.get(ENDPOINT) or URL, Web(environ), types)


class AzurePrices:
    """Consumption prices on Linux, pay-as-you-go and spot; a family of sizes at a time."""

    cloud, source = "azure", "azure-retail-prices"
    title, page = "Azure Retail Prices API", "learn.microsoft.com/rest/api/cost-management/retail-prices"

    def __init__(self, url: str, web: Web, types: Sequence[InstanceType] = ()) -> None:
        self._url, self._web, self._types = url, web, types

    def pieces(self) -> Sequence[str]:
        """The families of GPU sizes."""
        return FAMILIES

    def ask(self, piece: str) -> Told:
        """Every page of one family."""
        wanted = (
            f"serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and startswith(armSkuName, '{piece}')"
        )
        link = f"{self._url}?{urlencode({'currencyCode': 'USD', '$filter': wanted})}"
        quotes: dict[tuple[str, str, str], Quote] = {}
        refused: Counter[str] = Counter()
        seen: set[str] = set()
        while link:
            if link in seen or len(seen) >= MOST_PAGES:
                raise CloudError("The retail prices lead in a circle.", "Try again later.")
            seen.add(link)
            page = self._web.get(link)
            for item in _items(page):
                self._read(item, piece, quotes, refused)
            link = self._next(page)
        covers = tuple(Cover(market, prefix=piece) for market in ("on-demand", "spot"))
        shapes = described((quote.instance_type for quote in quotes.values()), self._types)
        return Told(tuple(quotes.values()), shapes, covers, refused)

    def _next(self, page: Mapping[str, Any]) -> str:
        link = page.get("NextPageLink") or ""
        if not isinstance(link, str) or (link and urlsplit(link).netloc != urlsplit(self._url).netloc):
            raise CloudError("The retail prices point to a page of another host.", "Try again later.")
        return link

    def _read(self, item: Any, piece: str, quotes: dict[tuple[str, str, str], Quote], refused: Counter[str]) -> None:
        try:
            quote = _quote(item, piece)
        except (KeyError, TypeError, ValueError, AttributeError):
            refused["a line without its fields"] += 1
            return
        if quote is None:
            return
        at = (quote.instance_type, quote.region, quote.market)
        known = quotes.get(at)
        # Several meters of one size differ in tiers of the past; the dearer one is never too good to be true.
        if known is None or quote.usd_per_hour > known.usd_per_hour:
            quotes[at] = quote


def _items(page: Mapping[str, Any]) -> list[Any]:
    items = page.get("Items")
    if not isinstance(items, list):
        raise CloudError("The retail prices sent a page without Items.", "Try again later.")
    return items


def _quote(item: Mapping[str, Any], piece: str) -> Quote | None:
    """The line's price; None for Windows, reservations, low priority, dev/test, cloud services and other units."""
    words = f"{item['productName']} {item['skuName']} {item['meterName']}"
    other = ("Windows", "Low Priority", "CloudServices", "Cloud Services", "Dedicated Host")
    if any(word in words for word in other) or item["type"] != "Consumption" or item.get("tierMinimumUnits", 0):
        return None
    if item["unitOfMeasure"] != "1 Hour" or item["currencyCode"] != "USD" or not item["armRegionName"]:
        return None
    size = item["armSkuName"]
    if not size.startswith(piece):
        return None
    market = "spot" if "Spot" in f"{item['skuName']} {item['meterName']}" else "on-demand"
    return Quote(size, float(item["retailPrice"]), str(item["armRegionName"]), "", market)
