"""Everything of ours in one project: labels for machines and disks, names and descriptions for what has no labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from gpucloud.core.cloud import TAG_DEPLOYMENT, Resource, Scan
from gpucloud.core.errors import CredentialsError, GpucloudError
from gpucloud.providers.gcp.api import Api, last
from gpucloud.providers.gcp.machines import disk_of, machine_of, region_of, shared_of
from gpucloud.providers.gcp.marks import network_tag
from gpucloud.providers.in_parallel import in_parallel

Outcome = Any  # what a listing gave, or the error that it ended with
# Warnings of a scope that say nothing about its being reachable.
HARMLESS = ("", "NO_RESULTS_ON_PAGE")


def find(api: Api, deployment_id: str | None, regions: Sequence[str], ssh_port: int) -> Scan:
    """One aggregated list a kind, over all zones at once. A zone that did not answer silences its region.

    A list that fails as a whole silences every region: nobody can tell which of them holds something.
    """
    labelled = f"labels.{TAG_DEPLOYMENT}={deployment_id}" if deployment_id else f"labels.{TAG_DEPLOYMENT}:*"
    named = f"name eq {network_tag(deployment_id)}.*" if deployment_id else "name eq gpucloud-.*"
    asked, machines, disks, rules, networks = in_parallel(
        [
            partial(_safely, lambda: list(regions) or _all_regions(api)),
            partial(_safely, lambda: _aggregated(api, "Instances", labelled)),
            partial(_safely, lambda: _aggregated(api, "Disks", labelled)),
            partial(_safely, lambda: _listed(api, "Firewalls", named)),
            partial(_safely, lambda: _listed(api, "Networks", named)),
        ]
    )
    outcomes = (asked, machines, disks, rules, networks)
    failed = next((outcome for outcome in outcomes if isinstance(outcome, GpucloudError)), None)
    if failed is not None and (isinstance(failed, CredentialsError) or isinstance(asked, GpucloudError)):
        raise failed
    found = [machine_of(item, api.project, ssh_port) for item in _things(machines)]
    found += [disk_of(item, api.project) for item in _things(disks) if not item.users]
    found += [shared_of("firewall", item, api.project) for item in _things(rules)]
    found += [shared_of("network", item, api.project) for item in _things(networks)]
    silent = {**_silent(machines), **_silent(disks)}
    reason = failed.message if failed is not None else ""
    unscanned = {region: reason or silent[region] for region in asked if reason or region in silent}
    return Scan(
        resources=tuple(item for item in found if _wanted(item, deployment_id, asked)),
        scanned=tuple(region for region in asked if region not in unscanned),
        unscanned=unscanned,
    )


def _safely(job: Any) -> Outcome:
    try:
        return job()
    except GpucloudError as error:
        return error


def _wanted(item: Resource, deployment_id: str | None, regions: Sequence[str]) -> bool:
    mine = bool(item.deployment_id) and deployment_id in (None, item.deployment_id)
    return mine and item.region in regions


def _all_regions(api: Api) -> list[str]:
    return [region.name for page in api.pages("Regions", "list") for region in page.items]


def _listed(api: Api, service: str, words: str) -> tuple[list[Any], dict[str, str]]:
    return [item for page in api.pages(service, "list", filter=words) for item in page.items], {}


def _aggregated(api: Api, service: str, words: str) -> tuple[list[Any], dict[str, str]]:
    """The things, and region → reason for scopes that could not be asked."""
    found: list[Any] = []
    silent: dict[str, str] = {}
    field = service.lower()
    for page in api.pages(service, "aggregated_list", filter=words, **_partial(api, service)):
        for scope, part in page.items.items():
            found += list(getattr(part, field))
            if part.warning and part.warning.code not in HARMLESS:
                silent[_region(scope)] = f"{last(scope)}: {part.warning.message or part.warning.code}"
        silent.update({_region(scope): f"{last(scope)} does not answer" for scope in page.unreachables})
    return found, silent


def _partial(api: Api, service: str) -> dict[str, bool]:
    """Some releases of the library have to be told that a part is better than nothing; others do not know the word."""
    known = api.takes(f"AggregatedList{service}Request", "return_partial_success")
    return {"return_partial_success": True} if known else {}


def _region(scope: str) -> str:
    """Of `zones/us-central1-a`, `regions/us-central1`, or the URL of either."""
    name = last(scope)
    return name if "regions/" in scope else region_of(name)


def _things(outcome: Outcome) -> Iterable[Any]:
    return () if isinstance(outcome, GpucloudError) else outcome[0]


def _silent(outcome: Outcome) -> dict[str, str]:
    return {} if isinstance(outcome, GpucloudError) else dict(outcome[1])
