"""Lambda: the instance types of its public API, with the user's key in LAMBDA_API_KEY.

Documented at https://docs.lambda.ai/api/cloud.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gpucloud.core.errors import CloudError, CredentialsError
from gpucloud.core.fresh import Cover, Quote, Shape, Told
from gpucloud.core.offers import InstanceType
from gpucloud.prices.web import Web

URL = "https://cloud.lambda.ai/api/v1"
ENDPOINT, KEY = "GPUCLOUD_LAMBDA_URL", "LAMBDA_API_KEY"
PREFIX = "gpu_"  # other rows of this cloud come from community tables and have no place in this list


def open_source(environ: Mapping[str, str], types: Sequence[InstanceType]) -> LambdaPrices:
    """The price list of Lambda's on-demand cloud."""
    key = environ.get(KEY, "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return LambdaPrices(environ.get(ENDPOINT) or URL, Web(environ, headers), bool(key))


class LambdaPrices:
    """One page tells all: a price per type, the same in every region."""

    cloud, source = "lambda", "lambda-cloud-api"
    title, page = "Lambda Cloud API, instance types", "docs.lambda.ai/api/cloud"

    def __init__(self, url: str, web: Web, has_key: bool) -> None:
        self._url, self._web, self._has_key = url, web, has_key

    def pieces(self) -> Sequence[str]:
        """One. Raises CredentialsError without a key."""
        if not self._has_key:
            raise CredentialsError("Lambda's prices need your key.", f"Set {KEY}; keys are made in Lambda's console.")
        return ("instance types",)

    def ask(self, piece: str) -> Told:
        """Prices and shapes of every type."""
        data = self._web.get(f"{self._url.rstrip('/')}/instance-types").get("data")
        if not isinstance(data, dict):
            raise CloudError("Lambda sent a page without data.", "Try again later.")
        quotes, shapes, refused = [], [], Counter[str]()
        for item in data.values():
            try:
                shape, usd = _read(item["instance_type"])
            except (KeyError, TypeError, ValueError):
                refused["a line without its fields"] += 1
                continue
            if shape.accelerator_count > 0:
                shapes.append(shape)
                quotes.append(Quote(shape.instance_type, usd))
        return Told(tuple(quotes), tuple(shapes), (Cover("on-demand", prefix=PREFIX),), refused)


def _read(kind: Mapping[str, Any]) -> tuple[Shape, float]:
    specs = kind["specs"]
    words = str(kind.get("gpu_description") or "")
    shape = Shape(
        str(kind["name"]), words, float(specs["gpus"]), float(specs["vcpus"]), float(specs["memory_gib"]),
        local_ssd_gib=float(specs.get("storage_gib") or 0) or None,
    )  # fmt: skip
    return shape, float(kind["price_cents_per_hour"]) / 100
