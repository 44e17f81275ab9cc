"""How many vCPUs of each GPU family the subscription may have, region by region."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gpucloud.core.cloud import Quota
from gpucloud.core.errors import GpucloudError
from gpucloud.providers.azure.api import Api
from gpucloud.providers.azure.families import ALL_CORES, canonical
from gpucloud.providers.azure.find import all_regions
from gpucloud.providers.in_parallel import outcomes


def quotas(api: Api, regions: Sequence[str]) -> list[Quota]:
    """Of the regions that answer. Asked for every region, only what is allowed at all is told."""
    asked = list(regions) or all_regions(api)
    answers = outcomes([partial(_of_region, api, region) for region in asked])
    failed = [item for item in answers if isinstance(item, GpucloudError)]
    if failed and len(failed) == len(answers):
        raise failed[0]
    found = [quota for item in answers if not isinstance(item, GpucloudError) for quota in item]
    return found if regions else [quota for quota in found if quota.limit > 0 and quota.name != ALL_CORES]


def _of_region(api: Api, region: str) -> list[Quota]:
    usages = api.items(api.compute.usage.list, region)
    named = [(canonical(str((item.get("name") or {}).get("value") or "")), item) for item in usages]
    return [Quota(region, name, float(item["limit"]), float(item["currentValue"])) for name, item in named if name]
