"""Launch specifications from a request, and again from the journal: byte for byte the same after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gpucloud.core.cloud import Identity, LaunchSpec
from gpucloud.core.deployments import Attempt, Deployment
from gpucloud.core.names import attempt_token, owner_hash
from gpucloud.core.offers import Offer
from gpucloud.core.plan import UpRequest, end_of, offer_deadline
from gpucloud.core.tags import tags_for

RECORDED = ("name", "tags", "public_key", "image", "disk_gib", "idle_s", "at_end", "ssh_from", "options")


def launch_spec(
    request: UpRequest,
    deployment_id: str,
    attempt: int,
    offer: Offer,
    *,
    home_id: str,
    identity: Identity,
    public_key: str,
    proof_token: str,
    now: float,
) -> LaunchSpec:
    """Everything that one create request needs, its token and tags included."""
    deadline = offer_deadline(request, offer, now)
    owner = identity.owner or owner_hash(f"{identity.cloud}:{identity.account}:{identity.principal}")
    return LaunchSpec(
        deployment_id=deployment_id,
        name=request.name,
        attempt=attempt,
        token=attempt_token(deployment_id, attempt, offer),
        offer=offer,
        nodes=request.nodes,
        tags=tags_for(deployment_id, home_id, owner, deadline, request.tags),
        public_key=public_key,
        proof_token=proof_token,
        image=request.image,
        disk_gib=request.disk_gib,
        deadline_epoch_s=deadline,
        idle_s=request.idle_s,
        at_end=end_of(request, offer),
        ssh_from=request.ssh_from,
        options=request.options,
    )


def launch_record(spec: LaunchSpec) -> dict[str, Any]:
    """What the journal must remember of it to send exactly the same again (the proof token never)."""
    record: Mapping[str, Any] = asdict(spec)
    return {name: record[name] for name in RECORDED}


def launch_again(deployment: Deployment, attempt: Attempt, proof_token: str) -> LaunchSpec:
    """The specification of an attempt as it was sent before."""
    record = {name: attempt.launch[name] for name in RECORDED if name in attempt.launch}
    record["ssh_from"] = tuple(record.get("ssh_from", ()))
    return LaunchSpec(
        deployment_id=deployment.id,
        attempt=attempt.number,
        token=attempt.token,
        offer=attempt.offer,
        nodes=attempt.nodes,
        proof_token=proof_token,
        deadline_epoch_s=attempt.deadline_at,
        **record,
    )
