"""Google Cloud: SKUs of the Cloud Billing catalog, composed into whole machines.

Documented at https://cloud.google.com/billing/docs/reference/rest/v1/services.skus/list. A machine is vCPUs +
memory + GPUs + the local SSD that its type always has; a TPU slice is its chips. Commitments
(`Commit1Yr`, …) are never list prices.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from gpucloud.core.errors import CloudError, CredentialsError, UsageError
from gpucloud.core.fresh import Cover, Quote, Told
from gpucloud.core.offers import InstanceType
from gpucloud.prices.web import Web

URL = "https://cloudbilling.googleapis.com"
ENDPOINT, KEY = "GPUCLOUD_GCP_BILLING_URL", "GOOGLE_API_KEY"
SERVICE = "6F81-5844-456A"  # Compute Engine
SCOPE = "https://www.googleapis.com/auth/cloud-billing.readonly"
HOURS_PER_MONTH = 730.0
MOST_PAGES = 500
MARKETS = {"OnDemand": "on-demand", "Preemptible": "spot"}
GPU_WORDS = {
    "K80": "Nvidia Tesla K80 GPU",
    "P4": "Nvidia Tesla P4 GPU",
    "P100": "Nvidia Tesla P100 GPU",
    "T4": "Nvidia Tesla T4 GPU",
    "V100-16GB": "Nvidia Tesla V100 GPU",
    "L4": "Nvidia L4 GPU",
    "A100-SXM-40GB": "Nvidia Tesla A100 GPU",
    "A100-SXM-80GB": "Nvidia Tesla A100 80GB GPU",
    "H100-SXM-80GB": "Nvidia H100 80GB GPU",
}


class Family(NamedTuple):
    """How the types of one prefix are composed.

    `host` are the words of its vCPU and memory SKUs; without them the GPU's SKU is for its share of the machine.
    `gpu` are the words of its GPU where they are not those of the card, the dearest one counts; `gpus_per_sku` is
    what one such SKU is for. The SSD is what comes with each GPU.
    """

    prefix: str
    host: str
    ssd_gib_per_gpu: float = 0.0
    gpu: tuple[str, ...] = ()
    gpus_per_sku: float = 1.0


VGPU, RTX = ("1/8 vGPU no lssd",), ("RTX 6000 96GB",)
H100_MEGA = (
    "Nvidia H100 80GB Plus GPU",
    "Nvidia H100 80GB Mega GPU",
)  # one card, named otherwise on demand and as spot
H200, B200 = ("H200 141GB GPU", "Nvidia H200 141GB GPU"), ("A4 Nvidia B200 (1 gpu slice)",)
# Of TPUs only what Compute Engine sells, per chip: v2 to v4 belong to the service Cloud TPU, per eight cores.
TPU_FAMILIES = (
    Family("tpu-v5litepod-", "", 0.0, ("TpuV5e",)),
    Family("tpu-v5p-", "", 0.0, ("TpuV5p",)),
    Family("tpu-v6e-", "", 0.0, ("TpuV6e",)),
)
# Longest prefix first. Families whose SKUs are not known for sure are left out: their rows keep their age.
FAMILIES = (
    Family("a2-ultragpu-", "A2 Instance", 375.0),
    Family("a2-highgpu-", "A2 Instance"),
    Family("a2-megagpu-", "A2 Instance"),
    Family("a3-highgpu-", "A3 Instance", 750.0),
    Family("a3-megagpu-", "A3Plus Instance", 750.0, H100_MEGA),
    Family("a3-ultragpu-8g-nolssd", "A3Ultra Instance", 0.0, H200),
    Family("a3-ultragpu-", "A3Ultra Instance", 1500.0, H200),
    Family("a4-highgpu-", "", 0.0, B200),
    Family("g2-standard-", "G2 Instance"),
    *(Family(f"g4-standard-{vcpus}", "", 0.0, VGPU, 0.125) for vcpus in (12, 24, 6)),
    Family("g4-standard-", "G4 Instance", 0.0, RTX),
    Family("n1-", "N1 Predefined Instance"),
)
_DESCRIPTION = re.compile(
    r"(?:Spot Preemptible )?(?P<what>.+?)(?: attached to Spot Preemptible VMs)?(?: running)?(?: in .+)?$"
)
SPOT = "Spot Preemptible "
PART_GROUPS = ("CPU", "RAM", "GPU", "LocalSSD", "N1Standard", "SSD", "TPU")


def open_source(environ: Mapping[str, str], types: Sequence[InstanceType]) -> GcpPrices:
    """The SKUs of Compute Engine, with an API key or the application default credentials."""
    return GcpPrices(environ, types)


class GcpPrices:
    """One list of some ten pages holds every region."""

    cloud, source = "gcp", "gcp-billing-catalog"
    title, page = "Cloud Billing Catalog API, SKUs of Compute Engine", "cloud.google.com/billing/docs/reference/rest"

    def __init__(self, environ: Mapping[str, str], types: Sequence[InstanceType]) -> None:
        self._environ, self._types = environ, types
        self._url = (environ.get(ENDPOINT) or URL).rstrip("/")
        self._web: Web | None = None

    def pieces(self) -> Sequence[str]:
        """One. Raises CredentialsError when there is neither key nor login."""
        self._web = Web(self._environ, self._headers())
        return ("SKUs",)

    def _headers(self) -> dict[str, str]:
        key = self._environ.get(KEY)
        return {"X-Goog-Api-Key": key} if key else {"Authorization": f"Bearer {_login_token()}"}

    def ask(self, piece: str) -> Told:
        """Every page, then every known machine composed from them."""
        parts, refused = Parts(), Counter[str]()
        token, seen = "", set[str]()
        while True:
            page = self._page(token)
            for sku in _skus(page):
                _read(sku, parts, refused)
            token = page.get("nextPageToken") or ""
            if not token:
                break
            if token in seen or len(seen) >= MOST_PAGES:
                raise CloudError("The SKU list leads in a circle.", "Try again later.")
            seen.add(token)
        quotes = [quote for kind in self._types for quote in composed(kind, parts)]
        # the list lacks TPU chips in places that sell them: there its silence says nothing
        covers = [Cover(market, prefix=family.prefix) for family in FAMILIES for market in MARKETS.values()]
        return Told(tuple(quotes), covers=tuple(covers), refused=refused)

    def _page(self, token: str) -> dict[str, Any]:
        assert self._web is not None, "pieces() comes first"
        words = {"currencyCode": "USD", "pageSize": "5000", **({"pageToken": token} if token else {})}
        return self._web.get(f"{self._url}/v1/services/{SERVICE}/skus?{urlencode(words)}")


def _login_token() -> str:
    try:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request
    except ImportError:
        raise UsageError(
            f"Google's prices need {KEY}, or the gcp extra for your login.", 'pip install "gpucloud[gcp]"'
        ) from None
    try:
        credentials: Any
        credentials, _ = google.auth.default(scopes=[SCOPE])
        credentials.refresh(Request())
    except GoogleAuthError:
        hint = f"Set {KEY}, or run `gcloud auth application-default login`."
        raise CredentialsError("Google's prices need an API key or a login.", hint) from None
    return str(credentials.token)


class Parts:
    """USD for one hour of one vCPU, GiB or GPU, by (words, market, region)."""

    def __init__(self) -> None:
        self._usd: dict[tuple[str, str, str], float] = {}

    def add(self, words: str, market: str, region: str, usd: float) -> None:
        """The dearer of two: a composed price is never too good to be true."""
        at = (words, market, region)
        self._usd[at] = max(usd, self._usd.get(at, usd))

    def get(self, words: Sequence[str], market: str, region: str) -> float | None:
        """The price of that part there; of several names for it the dearest."""
        return max(filter(None, (self._usd.get((one, market, region)) for one in words)), default=None)

    def regions(self, words: Sequence[str], market: str) -> list[str]:
        """Where a part is sold."""
        return sorted({region for what, where, region in self._usd if what in words and where == market})


def composed(kind: InstanceType, parts: Parts) -> list[Quote]:
    """A machine's price in every region where each of its parts has one."""
    family, wanted = _family(kind.instance_type), []
    if family is not None:
        wanted = _wanted(kind, family)
    if not wanted:
        return []
    quotes = []
    for market in MARKETS.values():
        for region in parts.regions(wanted[0][0], market):
            prices = [parts.get(words, market, region) for words, _ in wanted]
            if None not in prices:
                usd = sum(price * amount for price, (_, amount) in zip(prices, wanted, strict=True) if price)
                quotes.append(Quote(kind.instance_type, round(usd, 5), region, "", market))
    return quotes


def _family(instance_type: str) -> Family | None:
    return next((family for family in (*FAMILIES, *TPU_FAMILIES) if instance_type.startswith(family.prefix)), None)


def _wanted(kind: InstanceType, family: Family) -> list[tuple[Sequence[str], float]]:
    """The names of each part and how much of it the machine has, its GPU first; empty where one is not known."""
    gpu = family.gpu or ((GPU_WORDS[kind.accelerator],) if kind.accelerator in GPU_WORDS else ())
    if not gpu:
        return []
    gpus: list[tuple[Sequence[str], float]] = [(gpu, kind.accelerator_count / family.gpus_per_sku)]
    if not family.host:
        return gpus
    if not kind.vcpus or not kind.memory_gib:
        return []
    host = [((f"{family.host} Core",), kind.vcpus), ((f"{family.host} Ram",), kind.memory_gib)]
    ssd_gib = family.ssd_gib_per_gpu * kind.accelerator_count
    return [*gpus, *host, *([(("SSD backed Local Storage",), ssd_gib)] if ssd_gib else [])]


def _skus(page: Mapping[str, Any]) -> list[Any]:
    skus = page.get("skus")
    if not isinstance(skus, list):
        raise CloudError("The billing catalog sent a page without SKUs.", "Try again later.")
    return skus


def _read(sku: Any, parts: Parts, refused: Counter[str]) -> None:
    try:
        category = sku["category"]
        market = MARKETS.get(category["usageType"])
        if market is None or category.get("resourceGroup") not in PART_GROUPS:
            return
        if sku["description"].startswith(SPOT):  # the list files some of these under on-demand
            market = "spot"
        words = _words(sku["description"], market)
        if words:
            usd = _usd_per_hour(sku["pricingInfo"][0]["pricingExpression"])
            for region in sku["serviceRegions"]:
                parts.add(words, market, str(region), usd)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        refused["a line without its fields"] += 1


def _words(description: str, market: str) -> str:
    """The part's name; empty for sole tenancy, custom machines, reservations and what is sold otherwise."""
    if description.startswith("Commitment") or "Sole Tenancy" in description or "Reserved" in description:
        return ""
    if ("Preemptible" in description) != (market == "spot"):
        return ""
    match = _DESCRIPTION.match(description)
    return match["what"] if match else ""


def _usd_per_hour(expression: Mapping[str, Any]) -> float:
    """The first paid tier. Raises ValueError for another currency or unit."""
    per = {"h": 1.0, "GiBy.h": 1.0, "GiBy.mo": HOURS_PER_MONTH}.get(expression["usageUnit"])
    rates = [_money(rate["unitPrice"]) for rate in expression["tieredRates"]]
    paid = [rate for rate in rates if rate > 0]
    if per is None or not paid:
        raise ValueError("unit or price")
    return paid[0] / per


def _money(price: Mapping[str, Any]) -> float:
    if price.get("currencyCode", "USD") != "USD":
        raise ValueError("currency")
    return int(price.get("units") or 0) + int(price.get("nanos") or 0) / 1e9
