"""AWS: on-demand from the Price List API, spot per zone from the spot price history, shapes from the type list.

Needs the permissions pricing:GetProducts, ec2:DescribeRegions, ec2:DescribeInstanceTypes and
ec2:DescribeSpotPriceHistory; all are read-only.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from threading import Lock
from typing import Any

from gpucloud.core.errors import CloudError, CredentialsError, GpucloudError, PermissionDenied, UsageError
from gpucloud.core.fresh import Cover, Quote, Shape, Told
from gpucloud.core.offers import InstanceType

HOME_REGION = "us-east-1"
LIST = "price list"
FAMILIES = ("GPU instance", "Machine Learning ASIC Instances")
TYPE_PATTERNS = ("dl*", "g*", "inf*", "p*", "trn*")
SPOT_PRODUCT = "Linux/UNIX"
TYPES_A_CALL = 100
MOST_PAGES = 5000
LINUX_LIST = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
}


def open_source(environ: Mapping[str, str], types: Sequence[InstanceType]) -> AwsPrices:
    """The prices of the account that boto3 finds; endpoints, proxies and CA come from AWS's own variables."""
    return AwsPrices()


class AwsPrices:
    """The price list is one piece, each enabled region's spot prices another."""

    cloud, source = "aws", "aws-price-list"
    title, page = "AWS Price List API and EC2 spot price history", "docs.aws.amazon.com/awsaccountbilling/latest"

    def __init__(self) -> None:
        self._session: Any = None
        self._opening = Lock()  # a session may make one client at a time; it keeps the service's model between them

    def pieces(self) -> Sequence[str]:
        """The list and every enabled region. Raises CredentialsError without usable credentials."""
        with _SortedErrors("regions"):
            answer = self._client("ec2", HOME_REGION).describe_regions()
        return (LIST, *sorted(region["RegionName"] for region in answer["Regions"]))

    def ask(self, piece: str) -> Told:
        """One piece, all pages."""
        with _SortedErrors(piece):
            return self._price_list() if piece == LIST else self._region(piece)

    def _client(self, service: str, region: str) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise UsageError("AWS prices need the aws extra.", 'pip install "gpucloud[aws]"') from None
        config = Config(retries={"mode": "standard", "total_max_attempts": 6}, connect_timeout=10, read_timeout=60)
        with self._opening:
            self._session = self._session or boto3.session.Session()
            return self._session.client(service, region_name=region, config=config)

    def _price_list(self) -> Told:
        client = self._client("pricing", HOME_REGION)
        quotes: dict[tuple[str, str], Quote] = {}
        refused: Counter[str] = Counter()
        for family in FAMILIES:
            wanted = {**LINUX_LIST, "instanceFamily": family}
            filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
            for page in _pages(client.get_products, ServiceCode="AmazonEC2", FormatVersion="aws_v1", Filters=filters):
                for text in page["PriceList"]:
                    _take(text, quotes, refused)
        return Told(tuple(quotes.values()), covers=(Cover("on-demand"),), refused=refused)

    def _region(self, region: str) -> Told:
        client = self._client("ec2", region)
        patterns = [{"Name": "instance-type", "Values": list(TYPE_PATTERNS)}]
        pages = _pages(client.describe_instance_types, Filters=patterns)
        kinds = [kind for page in pages for kind in page["InstanceTypes"]]
        found = [shape for shape in map(_shape, kinds) if shape is not None]
        names = sorted({shape.instance_type for shape in found})
        quotes = [
            quote
            for start in range(0, len(names), TYPES_A_CALL)
            for quote in _spot(client, region, names[start : start + TYPES_A_CALL])
        ]
        return Told(tuple(quotes), tuple(found), (Cover("spot", region),))


def _pages(call: Any, **words: Any) -> Iterator[dict[str, Any]]:
    """Every page of a call with NextToken. Raises CloudError for a list that never ends."""
    token, seen = "", set[str]()
    while True:
        page = call(**words, **({"NextToken": token} if token else {}))
        yield page
        token = page.get("NextToken") or ""
        if not token:
            return
        if token in seen or len(seen) >= MOST_PAGES:
            raise CloudError("AWS's pages lead in a circle.", "Try again later.")
        seen.add(token)


def _take(text: Any, quotes: dict[tuple[str, str], Quote], refused: Counter[str]) -> None:
    try:
        item = json.loads(text) if isinstance(text, str) else text
        quote = _listed(item)
    except (KeyError, TypeError, ValueError, AttributeError):
        refused["a line without its fields"] += 1
        return
    if quote is not None:
        at = (quote.instance_type, quote.region)
        known = quotes.get(at)
        if known is None or quote.usd_per_hour > known.usd_per_hour:
            quotes[at] = quote


def _listed(item: Mapping[str, Any]) -> Quote | None:
    """The hourly price in USD; None for what is not plain Linux on shared hardware (capacity blocks, Windows, …)."""
    about = item["product"]["attributes"]
    if any(about.get(field) != value for field, value in LINUX_LIST.items()):
        return None
    if about.get("marketoption", "OnDemand") != "OnDemand" or not about.get("regionCode"):
        return None
    for term in item["terms"]["OnDemand"].values():
        for dimension in term["priceDimensions"].values():
            if dimension["unit"] in ("Hrs", "Hours") and "USD" in dimension["pricePerUnit"]:
                usd = float(dimension["pricePerUnit"]["USD"])
                return Quote(about["instanceType"], usd, about["regionCode"])
    return None


def _spot(client: Any, region: str, names: Sequence[str]) -> Iterator[Quote]:
    """The newest price of each type and zone."""
    newest: dict[tuple[str, str], tuple[Any, float]] = {}
    pages = _pages(
        client.describe_spot_price_history,
        InstanceTypes=list(names),
        ProductDescriptions=[SPOT_PRODUCT],
        StartTime=datetime.now(timezone.utc),
    )
    for page in pages:
        for row in page["SpotPriceHistory"]:
            if row.get("ProductDescription", SPOT_PRODUCT) != SPOT_PRODUCT:
                continue
            at = (row["InstanceType"], row["AvailabilityZone"])
            seen = (row["Timestamp"], float(row["SpotPrice"]))
            newest[at] = max(seen, newest.get(at, seen))
    for (name, zone), (_, usd) in newest.items():
        yield Quote(name, usd, region, zone, "spot")


def _shape(kind: Mapping[str, Any]) -> Shape | None:
    """What the machine is; None where it has no accelerator."""
    devices = (
        kind.get("GpuInfo", {}).get("Gpus")
        or kind.get("NeuronInfo", {}).get("NeuronDevices")
        or kind.get("InferenceAcceleratorInfo", {}).get("Accelerators")
    )
    if not devices:
        return None
    card = devices[0]
    memory_mib = (card.get("MemoryInfo") or {}).get("SizeInMiB")
    arch = (kind.get("ProcessorInfo") or {}).get("SupportedArchitectures") or ["x86_64"]
    return Shape(
        kind["InstanceType"],
        str(card.get("Name") or ""),
        float(sum(device.get("Count") or 0 for device in devices)) or 1.0,
        (kind.get("VCpuInfo") or {}).get("DefaultVCpus"),
        ((kind.get("MemoryInfo") or {}).get("SizeInMiB") or 0) / 1024 or None,
        memory_mib / 1024 if memory_mib else None,
        "arm64" if "arm64" in arch else "x86_64",
        (kind.get("InstanceStorageInfo") or {}).get("TotalSizeInGB"),
    )


class _SortedErrors:
    """boto's exceptions as ours."""

    def __init__(self, piece: str) -> None:
        self._piece = piece

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, GpucloudError):
            return
        if not type(error).__module__.startswith(("botocore", "boto3")):
            if isinstance(error, (KeyError, TypeError, ValueError)):
                raise CloudError(f"AWS answered for {self._piece} in an unknown form.", "") from error
            return
        raise _ours(error, self._piece) from None


DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
UNKNOWN = ("AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "ExpiredToken", "RequestExpired",
           "ExpiredTokenException", "SignatureDoesNotMatch", "OptInRequired")  # fmt: skip


def _ours(error: BaseException, piece: str) -> GpucloudError:
    answer: Mapping[str, Any] = getattr(error, "response", {}) or {}
    code = str(answer.get("Error", {}).get("Code", ""))
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound") or code in UNKNOWN:
        return CredentialsError("AWS prices need usable credentials.", "Set AWS_PROFILE, or run `aws configure`.")
    if code in DENIED:
        hint = "Allow pricing:GetProducts and ec2:Describe*."
        return PermissionDenied(f"AWS refuses prices of {piece}: {code}.", hint)
    return CloudError(f"AWS gave no prices of {piece}: {code or type(error).__name__}.", "Try again later.")
