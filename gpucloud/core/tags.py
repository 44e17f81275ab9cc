"""Whose is it: the tags of everything we create, and what may be removed because of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from gpucloud.core.cloud import TAG_DEADLINE, TAG_DEPLOYMENT, TAG_HOME, TAG_OWNER, Resource
from gpucloud.core.errors import UsageError
from gpucloud.core.guards import EXPIRED_AFTER_S, LOST_AFTER_S
from gpucloud.core.names import is_deployment_id

_LEGAL = re.compile(r"[a-z0-9-]{0,63}")
OURS = (TAG_DEPLOYMENT, TAG_HOME, TAG_OWNER, TAG_DEADLINE)


def tags_for(
    deployment_id: str, home_id: str, owner: str, deadline: float | None, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The tags of a create request; the user's own come first and may not take our names."""
    own = dict(extra or {})
    taken = sorted(set(own) & set(OURS))
    if taken:
        raise UsageError(f"The tag {taken[0]} belongs to gpucloud.", "Choose another key for --tag.")
    ours = {TAG_DEPLOYMENT: deployment_id, TAG_HOME: home_id, TAG_OWNER: owner}
    if deadline is not None:
        ours[TAG_DEADLINE] = str(round(deadline))
    return {**own, **{key: value for key, value in ours.items() if value}}


def deadline_of(resource: Resource) -> float | None:
    """Epoch seconds in the deadline tag, None when there is none or it is not a number."""
    text = resource.tags.get(TAG_DEADLINE, "")
    return float(text) if text.isdigit() else None


def well_formed(resource: Resource) -> bool:
    """Whether our tags on it are complete and have the form that we give them."""
    return (
        is_deployment_id(resource.deployment_id)
        and bool(resource.home_id)
        and all(_LEGAL.fullmatch(resource.tags.get(key, "")) for key in OURS)
    )


def is_of(resource: Resource, deployment_id: str, home_id: str) -> bool:
    """Whether this thing belongs to that deployment of that home; the check before any removal."""
    return well_formed(resource) and resource.deployment_id == deployment_id and resource.home_id == home_id


def classify(resource: Resource, home_id: str, owner: str, live: Mapping[str, float | None], now: float) -> str:
    """`mine_lost`, `expired`, `other_home` or `foreign`; empty when a live deployment of this home owns it.

    `live` maps the ids of this home's live deployments to their deadlines (None = none).
    `foreign` carries our tags in a form we never write, or another caller's identity in this home's name.
    """
    if not well_formed(resource):
        return "foreign"
    mine = resource.home_id == home_id
    deadline = live.get(resource.deployment_id) if mine and resource.deployment_id in live else deadline_of(resource)
    if deadline is not None and now > deadline + EXPIRED_AFTER_S:
        return "expired"
    if not mine:
        return "other_home"
    if resource.deployment_id in live:
        return ""
    return "mine_lost" if resource.tags.get(TAG_OWNER, owner) == owner else "foreign"


def collectable(word: str, resource: Resource, now: float, named: Collection[str], all_homes: bool) -> bool:
    """Whether `gc --yes` removes a thing of this class: lost ones when old enough, expired ones, others if asked."""
    if resource.id in named or resource.deployment_id in named:
        return word != "foreign"
    if word == "mine_lost":
        return resource.created_epoch_s is None or now - resource.created_epoch_s >= LOST_AFTER_S
    return word == "expired" or (word == "other_home" and all_homes)
