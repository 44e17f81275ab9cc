"""The JSON answers about deployments and runs, with the fields of the outward contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gpucloud.core.cloud import Guard, HostState, Quota, Resource
from gpucloud.core.cost import CostItem, run_usd, spent_usd
from gpucloud.core.deployments import Attempt, Deployment, Run
from gpucloud.core.offers import Offer
from gpucloud.core.plan import UpPlan
from gpucloud.core.units import iso_utc


def time_json(epoch_s: float | None) -> str | None:
    """ISO-8601 UTC or null."""
    return None if epoch_s is None else iso_utc(epoch_s)


def money_json(usd: float | None) -> float | None:
    """USD to a hundredth of a cent, or null."""
    return None if usd is None else round(usd, 4)


def guard_json(guard: Guard) -> dict[str, Any]:
    return {
        "kind": guard.kind,
        "ends_at": time_json(guard.ends_epoch_s),
        "action": guard.action,
        "survives": list(guard.survives),
    }


def deployment_json(deployment: Deployment, now: float, state: str = "") -> dict[str, Any]:
    """One deployment; `state` where a look at the locks knows better than the journal."""
    current = deployment.current
    place = _place_json(current) if current else dict.fromkeys((*_PLACE, *_PRICE))
    return {
        "name": deployment.name,
        "id": deployment.id,
        **place,
        "nodes": nodes_json(deployment),
        "state": state or deployment.state,
        "spent_usd": money_json(spent_usd(deployment, now)),
        "created_at": time_json(deployment.created_at),
        "deadline_at": time_json(deployment.deadline_at),
        "billing_ended": time_json(deployment.billing_ended),
        "guards": [guard_json(guard) for guard in (current.guards if current else ())],
        "message": deployment.message or None,
        "stopped_usd_per_hour": _stopped_usd_per_hour(deployment),
    }


def _stopped_usd_per_hour(deployment: Deployment) -> float | None:
    """What it costs while it is off: its disks; null where no price is known, or nothing of it is left."""
    current = deployment.current
    known = current is not None and not deployment.closed and current.offer.disk_usd_per_gib_month is not None
    return money_json(current.disk_usd_per_hour) if current is not None and known else None


_PLACE = ("cloud", "account", "region", "zone", "instance_type", "accelerator", "accelerator_count", "market")
_PRICE = ("usd_per_hour", "price_observed_on")


def _place_json(attempt: Attempt) -> dict[str, Any]:
    place = {**_offer_place(attempt.offer), "account": attempt.account}
    prices = {
        "usd_per_hour": money_json(attempt.usd_per_hour),
        "price_observed_on": attempt.offer.observed_on or None,
    }
    return {**{key: place[key] for key in _PLACE}, **prices}


def _offer_place(offer: Offer) -> dict[str, Any]:
    """Where an offer is and what it gives."""
    return {
        "cloud": offer.cloud,
        "region": offer.region,
        "zone": offer.zone or None,
        "instance_type": offer.instance_type,
        "accelerator": offer.accelerator or None,
        "accelerator_count": offer.accelerator_count,
        "market": offer.market,
    }


def nodes_json(deployment: Deployment) -> list[dict[str, Any]]:
    """The machines of the current attempt by rank."""
    current = deployment.current
    return [
        {
            "rank": machine.rank or 0,
            "id": machine.id,
            "ip": machine.endpoint.host if machine.endpoint else None,
            "private_ip": machine.private_ip or None,
            "state": "gone" if deployment.closed else current.states.get(machine.id, machine.state),
        }
        for machine in deployment.machines
        if current is not None
    ]


def attempts_json(deployment: Deployment) -> list[dict[str, Any]]:
    """Every try of `up` in order, the ones that were skipped included."""
    return [dict(line) for line in deployment.tried]


def run_json(deployment: Deployment, run: Run, now: float) -> dict[str, Any]:
    return {
        "id": run.id,
        "deployment": run.name,
        "command": run.command,
        "state": run.state,
        "exit_code": run.exit_code,
        "started_at": time_json(run.started_at),
        "ended_at": time_json(run.ended_at),
        "usd": money_json(run_usd(deployment, run, now)),
    }


def resource_json(resource: Resource) -> dict[str, Any]:
    return {
        "cloud": resource.cloud,
        "account": resource.account,
        "region": resource.region,
        "kind": resource.kind,
        "id": resource.id,
        "name": resource.name or None,
        "created_at": time_json(resource.created_epoch_s),
        "tags": dict(resource.tags),
    }


def orphan_json(resource: Resource, word: str) -> dict[str, Any]:
    return {**resource_json(resource), "class": word}


def cost_json(items: Sequence[CostItem]) -> dict[str, Any]:
    """`items` and `total_usd`; the total is null when a price is missing."""
    lines = [{**asdict(item), "hours": round(item.hours, 6), "usd": money_json(item.usd)} for item in items]
    known = [item.usd for item in items]
    total = None if None in known else money_json(sum(usd for usd in known if usd is not None))
    return {"items": lines, "total_usd": total}


def quota_json(quota: Quota) -> dict[str, Any]:
    return {"region": quota.region, "name": quota.name, "limit": quota.limit, "used": quota.used}


def host_json(host: HostState) -> dict[str, Any]:
    """An own machine in `check`: reachable or why not, each GPU free, leased or busy, and by whom until when."""
    gpus = [
        {
            "index": gpu.index,
            "name": gpu.name,
            "state": gpu.state,
            "by": gpu.by or None,
            "deployment": gpu.deployment or None,
            "since": None if gpu.since_epoch_s is None else iso_utc(gpu.since_epoch_s),
            "until": None if gpu.until_epoch_s is None else iso_utc(gpu.until_epoch_s),
        }
        for gpu in host.gpus
    ]
    return {"host": host.name, "reachable": host.reachable, "reason": host.reason or None, "gpus": gpus}


def offer_json(offer: Offer, nodes: int = 1) -> dict[str, Any]:
    """One offer of the order of a plan."""
    hourly = None if offer.usd_per_hour is None else offer.usd_per_hour * nodes
    return {
        **_offer_place(offer),
        "nodes": nodes,
        "usd_per_hour": money_json(hourly),
        "observed_on": offer.observed_on or None,
    }


def up_plan_json(plan: UpPlan) -> Mapping[str, Any]:
    """`plan` of `up --dry-run`."""
    request = plan.request
    return {
        "order": [offer_json(offer, request.nodes) for offer in plan.order],
        "image": plan.outline.image or request.image or None,
        "ssh_user": plan.outline.ssh_user or None,
        "guards": [guard_json(guard) for guard in plan.guards],
        "deadline_at": time_json(plan.deadline_at),
        "worst_case_usd": money_json(plan.worst_case_usd),
        "ssh_from": list(request.ssh_from),
        "resources": [{"kind": kind, "name": name} for kind, name in plan.outline.resources],
        "notes": list(plan.outline.notes),
    }
