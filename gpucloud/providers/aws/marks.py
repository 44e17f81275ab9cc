"""The tags that everything of ours carries from the request that makes it, and what they say about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gpucloud.core.cloud import TAG_DEADLINE, TAG_DEPLOYMENT, LaunchSpec, Resource
from gpucloud.core.errors import BadRequest, CloudError, GpucloudError
from gpucloud.core.tags import is_of

TAG_ATTEMPT, TAG_SSH_USER, TAG_CREATED = "gpucloud-attempt", "gpucloud-ssh-user", "gpucloud-created"


def tags_of(items: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """EC2's list of tags as a mapping."""
    return {item["Key"]: item["Value"] for item in items or ()}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """A mapping as EC2's list."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def launch_tags(spec: LaunchSpec, user: str) -> dict[str, str]:
    """The tags of one create request: `spec.tags`, and what `find` needs to know besides."""
    own = {TAG_ATTEMPT: str(spec.attempt), TAG_SSH_USER: user}
    return {"Name": f"{spec.deployment_id}-{spec.attempt}", **spec.tags, **own}


def specifications(kinds: Sequence[str], tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """`TagSpecifications` for every kind of thing that a request makes."""
    return [{"ResourceType": kind, "Tags": tag_list(tags)} for kind in kinds]


def filters(deployment_id: str | None) -> list[dict[str, Any]]:
    """The server-side filter for what is ours: of one deployment, or of any."""
    if deployment_id is None:
        return [{"Name": "tag-key", "Values": [TAG_DEPLOYMENT]}]
    return [{"Name": f"tag:{TAG_DEPLOYMENT}", "Values": [deployment_id]}]


def attempt_of(tags: Mapping[str, str]) -> int | None:
    """The attempt in its tag."""
    text = tags.get(TAG_ATTEMPT, "")
    return int(text) if text.isdigit() else None


def with_deadline(tags: Mapping[str, str], deadline_epoch_s: float | None) -> dict[str, str]:
    """The same tags with another deadline, or with none."""
    others = {key: value for key, value in tags.items() if key != TAG_DEADLINE}
    return others if deadline_epoch_s is None else {**others, TAG_DEADLINE: str(round(deadline_epoch_s))}


def refuse_foreign(wanted: Resource, found: Resource) -> None:
    """Raise unless what EC2 shows under that id carries the tags of what is to be changed."""
    if is_of(found, wanted.deployment_id, wanted.home_id):
        return
    if not found.tags:
        raise not_tagged_yet(found)
    raise BadRequest(f"The {found.kind} {found.id} in {found.region} has tags of somebody else; it was not touched.")


def not_tagged_yet(found: Resource) -> GpucloudError:
    """EC2 may show a new machine before its tags."""
    return CloudError(f"The {found.kind} {found.id} in {found.region} shows no tags yet; it was not touched.")
