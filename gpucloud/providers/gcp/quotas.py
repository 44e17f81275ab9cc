"""How many GPUs of which kind the project may have: by region, and over all regions together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gpucloud.core.cloud import Quota
from gpucloud.providers.gcp.api import Api
from gpucloud.providers.gcp.shapes import ALL_REGIONS
from gpucloud.providers.in_parallel import in_parallel

EVERYWHERE = "global"


def quotas(api: Api, regions: Sequence[str] = ()) -> Sequence[Quota]:
    """One row a region and metric of GPUs; `GPUS_ALL_REGIONS` has the region `global`."""
    listed, project = in_parallel(
        [lambda: [region for page in api.pages("Regions", "list") for region in page.items], lambda: _project(api)]
    )
    rows = [
        row for region in listed if not regions or region.name in regions for row in _rows(region.name, region.quotas)
    ]
    return [*(row for row in _rows(EVERYWHERE, project.quotas) if row.name == ALL_REGIONS), *rows]


def _project(api: Api) -> Any:
    return api.call("Projects", "get")


def _rows(region: str, found: Iterable[Any]) -> list[Quota]:
    chosen = [item for item in found if "GPUS" in item.metric and "COMMITTED" not in item.metric]
    return [Quota(region, item.metric, item.limit, item.usage) for item in chosen if "VWS" not in item.metric]
