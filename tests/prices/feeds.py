"""Price sources on loopback in the documented formats, filled from rows: pages, filters, and every kind of trouble."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from xml.sax.saxutils import escape

from gpucloud.core.fresh import PriceRow
from gpucloud.core.offers import InstanceType
from tests.clouds.http import Answer, Request, SimServer

DAY = "2026-11-24T00:00:00Z"


class AzureFeed(SimServer):
    """Retail prices: `startswith(armSkuName, …)`, `NextPageLink`, meters of Windows and others between the real ones."""

    serial = False

    def __init__(self, rows: Iterable[PriceRow], page_size: int = 100, **settings: Any) -> None:
        super().__init__(**settings)
        self.items = [item for row in rows for item in azure_items(row)]
        self.page_size = page_size
        self._found: dict[str, list[dict[str, Any]]] = {}

    def label(self, request: Request) -> str:
        return f"page {request.query.get('$skip', ['0'])[0]} of {_family(request)}"

    def respond(self, request: Request) -> Answer:
        family, start = _family(request), int(request.query.get("$skip", ["0"])[0])
        if family not in self._found:
            self._found[family] = [item for item in self.items if item["armSkuName"].startswith(family)]
        found = self._found[family]
        page = found[start : start + self.page_size]
        rest = start + self.page_size < len(found)
        link = f"{self.url}/api/retail/prices?$filter={request.query['$filter'][0]}&$skip={start + self.page_size}"
        return Answer(
            body={"Items": page, "NextPageLink": link.replace(" ", "%20") if rest else None, "Count": len(page)}
        )


def _family(request: Request) -> str:
    return request.query["$filter"][0].rpartition("startswith(armSkuName, '")[2].partition("'")[0]


def azure_items(row: PriceRow) -> list[dict[str, Any]]:
    """The meter of a row, and beside it those that are no list price on Linux."""
    spot = " Spot" if row.market == "spot" else ""
    words = row.instance_type.removeprefix("Standard_").replace("_", " ")
    item = {
        "currencyCode": "USD", "tierMinimumUnits": 0.0, "retailPrice": row.usd_per_hour, "unitPrice": row.usd_per_hour,
        "armRegionName": row.region, "location": row.region, "effectiveStartDate": DAY, "meterId": "m", "meterName": words + spot,
        "productId": "p", "skuId": "p/s", "productName": "Virtual Machines N Series", "skuName": words + spot,
        "serviceName": "Virtual Machines", "serviceId": "DZH313Z7MMC8", "serviceFamily": "Compute", "unitOfMeasure": "1 Hour",
        "type": "Consumption", "isPrimaryMeterRegion": True, "armSkuName": row.instance_type,
    }  # fmt: skip
    others = [
        {**item, "productName": "Virtual Machines N Series Windows", "retailPrice": 99.0},
        {**item, "type": "Reservation", "reservationTerm": "1 Year", "retailPrice": 0.01},
        {**item, "meterName": words + " Low Priority", "skuName": words + " Low Priority", "retailPrice": 0.02},
    ]
    return [*others, item]


class LambdaFeed(SimServer):
    """One page of instance types, for those who show the key."""

    key = "secret-key-of-the-test"

    def __init__(self, rows: Sequence[tuple[InstanceType, float]], **settings: Any) -> None:
        super().__init__(**settings)
        self.data = {kind.instance_type: lambda_item(kind, usd) for kind, usd in rows}

    def respond(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Answer(401, {"error": {"code": "global/invalid-api-key", "message": "API key was invalid."}})
        return Answer(body={"data": self.data}) if request.path == "/instance-types" else Answer(404, {"error": {}})


def lambda_item(kind: InstanceType, usd: float) -> dict[str, Any]:
    """One type as the API describes it."""
    specs = {
        "vcpus": kind.vcpus or 1,
        "memory_gib": kind.memory_gib or 1,
        "storage_gib": 512,
        "gpus": kind.accelerator_count,
    }
    about = {"name": kind.instance_type, "description": "", "gpu_description": kind.accelerator, "specs": specs}
    return {"instance_type": {**about, "price_cents_per_hour": round(usd * 100)}, "regions_with_capacity_available": []}


class GcpFeed(SimServer):
    """SKUs with pages and tokens, for those who show the key."""

    key = "google-key-of-the-test"

    def __init__(self, skus: Sequence[dict[str, Any]], page_size: int = 500, **settings: Any) -> None:
        super().__init__(**settings)
        self.skus, self.page_size = list(skus), page_size

    def label(self, request: Request) -> str:
        return f"page {request.query.get('pageToken', ['0'])[0]}"

    def respond(self, request: Request) -> Answer:
        if request.headers.get("x-goog-api-key") != self.key:
            return Answer(403, {"error": {"code": 403, "message": "The request is missing a valid API key."}})
        start = int(request.query.get("pageToken", ["0"])[0])
        page = self.skus[start : start + self.page_size]
        more = str(start + self.page_size) if start + self.page_size < len(self.skus) else ""
        return Answer(body={"skus": page, "nextPageToken": more})


def sku(
    words: str, group: str, regions: Sequence[str], usd: float, usage: str = "OnDemand", unit: str = "h"
) -> dict[str, Any]:
    """One SKU of Compute Engine."""
    units, nanos = divmod(round(usd * 1e9), 10**9)
    rate = {"startUsageAmount": 0, "unitPrice": {"currencyCode": "USD", "units": str(units), "nanos": nanos}}
    expression = {"usageUnit": unit, "displayQuantity": 1, "tieredRates": [rate]}
    return {
        "name": "services/6F81-5844-456A/skus/X", "skuId": "X", "description": words,
        "category": {"serviceDisplayName": "Compute Engine", "resourceFamily": "Compute", "resourceGroup": group, "usageType": usage},
        "serviceRegions": list(regions), "pricingInfo": [{"summary": "", "pricingExpression": expression}],
    }  # fmt: skip


def gcp_skus(regions: Sequence[str], times: float = 1.0) -> list[dict[str, Any]]:
    """The parts of A2, G2 and N1 machines, on demand, spot and committed; list prices of us-central1."""
    parts = (
        ("A2 Instance Core", "CPU", 0.031611), ("A2 Instance Ram", "RAM", 0.004237), ("Nvidia Tesla A100 GPU", "GPU", 2.933908),
        ("G2 Instance Core", "CPU", 0.024988), ("G2 Instance Ram", "RAM", 0.002927), ("Nvidia L4 GPU", "GPU", 0.56004),
        ("N1 Predefined Instance Core", "N1Standard", 0.031611), ("N1 Predefined Instance Ram", "N1Standard", 0.004237),
        ("Nvidia Tesla T4 GPU", "GPU", 0.35), ("Nvidia Tesla P4 GPU", "GPU", 0.6), ("Nvidia Tesla V100 GPU", "GPU", 2.48),
        ("Nvidia Tesla P100 GPU", "GPU", 1.46),
    )  # fmt: skip
    made = []
    for words, group, usd in parts:
        gpu = group == "GPU"
        spot = (
            f"{words} attached to Spot Preemptible VMs running in Americas"
            if gpu
            else f"Spot Preemptible {words} running in Americas"
        )
        made.append(sku(f"{words} running in Americas", group, regions, usd * times))
        made.append(sku(spot, group, regions, usd * times * 0.5, "Preemptible"))
        made.append(
            sku(f"Commitment v1: {words} in Americas for 1 Year", group, regions, usd * times * 0.6, "Commit1Yr")
        )
        made.append(sku(f"{words} attached to Sole Tenancy VMs running in Americas", group, regions, usd * times * 1.1))
    return made


class AwsFeed(SimServer):
    """The Price List API (JSON 1.1) and EC2's type list and spot history (query protocol), at one address."""

    serial = False

    def __init__(
        self, kinds: Sequence[InstanceType], rows: Iterable[PriceRow], page_size: int = 100, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.page_size = page_size
        self.kinds = {kind.instance_type: kind for kind in kinds}
        self.regions: list[str] = []
        self.listed: list[PriceRow] = []
        self.spot: dict[str, list[PriceRow]] = defaultdict(list)
        self.denied: set[str] = set()
        for row in rows:
            if row.market == "spot":
                self.spot[row.region].append(row)
            else:
                self.listed.append(row)
        self.regions = sorted({row.region for row in self.listed} | set(self.spot))

    def label(self, request: Request) -> str:
        if "x-amz-target" in request.headers:
            return f"GetProducts {request.json.get('NextToken', '0')} {_filter(request.json, 'instanceFamily')}"
        form = request.form
        return " ".join((form["Action"][0], _region(request), form.get("NextToken", ["0"])[0]))

    def trouble(self, kind: str, request: Request) -> Answer:
        code = "ThrottlingException" if kind == "throttled" else "InternalError"
        if "x-amz-target" in request.headers:
            return _json(400 if kind == "throttled" else 500, {"__type": code, "message": kind})
        return _xml(
            503 if kind == "throttled" else 500,
            f"<Response><Errors><Error><Code>{'RequestLimitExceeded' if kind == 'throttled' else code}</Code><Message>{kind}</Message></Error></Errors><RequestID>r</RequestID></Response>",
        )

    def respond(self, request: Request) -> Answer:
        if "x-amz-target" in request.headers:
            return self._products(request.json)
        form, region = request.form, _region(request)
        if region in self.denied:
            return _xml(
                403,
                "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors><RequestID>r</RequestID></Response>",
            )
        action = form["Action"][0]
        if action == "DescribeRegions":
            items = "".join(
                f"<item><regionName>{name}</regionName><regionEndpoint>e</regionEndpoint></item>"
                for name in self.regions
            )
            return _reply(action, f"<regionInfo>{items}</regionInfo>")
        return (
            self._types(action, form, region)
            if action == "DescribeInstanceTypes"
            else self._history(action, form, region)
        )

    def _products(self, asked: dict[str, Any]) -> Answer:
        family = _filter(asked, "instanceFamily")
        found = self.listed if family == "GPU instance" else []
        start = int(asked.get("NextToken", "0"))
        page = found[start : start + self.page_size]
        body = {"FormatVersion": "aws_v1", "PriceList": [text for row in page for text in aws_products(row)]}
        if start + self.page_size < len(found):
            body["NextToken"] = str(start + self.page_size)
        return _json(200, body)

    def _types(self, action: str, form: dict[str, list[str]], region: str) -> Answer:
        names = sorted(
            {row.instance_type for row in (*self.spot[region], *(row for row in self.listed if row.region == region))}
        )
        start = int(form.get("NextToken", ["0"])[0])
        items = "".join(_type_item(self.kinds[name]) for name in names[start : start + 100])
        more = f"<nextToken>{start + 100}</nextToken>" if start + 100 < len(names) else ""
        return _reply(action, f"<instanceTypeSet>{items}</instanceTypeSet>{more}")

    def _history(self, action: str, form: dict[str, list[str]], region: str) -> Answer:
        names = {value[0] for key, value in form.items() if key.startswith("InstanceType.")}
        found = [row for row in self.spot[region] if row.instance_type in names]
        start = int(form.get("NextToken", ["0"])[0])
        items = "".join(_spot_item(row) for row in found[start : start + 1000])
        more = f"<nextToken>{start + 1000}</nextToken>" if start + 1000 < len(found) else "<nextToken></nextToken>"
        return _reply(action, f"<spotPriceHistorySet>{items}</spotPriceHistorySet>{more}")


def _filter(asked: dict[str, Any], field: str) -> str:
    return next((item["Value"] for item in asked["Filters"] if item["Field"] == field), "")


def _region(request: Request) -> str:
    return request.headers["authorization"].split("/")[2]


def _json(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/x-amz-json-1.1"})


def _xml(status: int, body: str) -> Answer:
    return Answer(status, body.encode(), {"Content-Type": "text/xml;charset=UTF-8"})


def _reply(action: str, inner: str) -> Answer:
    return _xml(
        200,
        f'<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>{inner}</{action}Response>',
    )


def aws_products(row: PriceRow) -> list[str]:
    """The product of a row, one of Windows, and a capacity block that looks free."""
    about = {
        "instanceType": row.instance_type, "regionCode": row.region, "operatingSystem": "Linux", "tenancy": "Shared",
        "preInstalledSw": "NA", "capacitystatus": "Used", "marketoption": "OnDemand", "instanceFamily": "GPU instance",
    }  # fmt: skip
    made = [
        (about, row.usd_per_hour),
        ({**about, "operatingSystem": "Windows"}, 99.0),
        ({**about, "marketoption": "CapacityBlock"}, 0.0),
    ]
    return [json.dumps(_product(attributes, usd)) for attributes, usd in made]


def _product(attributes: dict[str, str], usd: float | None) -> dict[str, Any]:
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": f"{usd:.10f}"}, "description": ""}
    terms = {"OnDemand": {"S.T": {"priceDimensions": {"S.T.R": dimension}, "sku": "S", "effectiveDate": DAY}}}
    return {"product": {"productFamily": "Compute Instance", "attributes": attributes, "sku": "S"}, "terms": terms}


def _type_item(kind: InstanceType) -> str:
    arch = kind.arch
    mib = round((kind.gpu_memory_gib or 1) * 1024)
    gpu = f"<gpuInfo><gpus><item><count>{round(kind.accelerator_count) or 1}</count><manufacturer>NVIDIA</manufacturer><memoryInfo><sizeInMiB>{mib}</sizeInMiB></memoryInfo><name>{escape(kind.accelerator)}</name></item></gpus></gpuInfo>"
    return (
        f"<item><instanceType>{kind.instance_type}</instanceType><vCpuInfo><defaultVCpus>{round(kind.vcpus or 1)}</defaultVCpus></vCpuInfo>"
        f"<memoryInfo><sizeInMiB>{round((kind.memory_gib or 1) * 1024)}</sizeInMiB></memoryInfo>"
        f"<processorInfo><supportedArchitectures><item>{arch}</item></supportedArchitectures></processorInfo>{gpu}</item>"
    )


def _spot_item(row: PriceRow) -> str:
    return (
        f"<item><instanceType>{row.instance_type}</instanceType><productDescription>Linux/UNIX</productDescription>"
        f"<spotPrice>{row.usd_per_hour}</spotPrice><timestamp>2026-11-24T09:00:00.000Z</timestamp>"
        f"<availabilityZone>{row.zone}</availabilityZone></item>"
    )
