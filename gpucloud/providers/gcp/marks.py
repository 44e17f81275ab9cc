"""Whose a thing is: labels where the kind has them, else the same words in its description; and all names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gpucloud.core.cloud import TAG_DEPLOYMENT, TAG_HOME, LaunchSpec
from gpucloud.core.errors import BadRequest

# Labels beside the four of every cloud: when the provider's own limit ends it, and who logs in.
LABEL_LIMIT, LABEL_LOGIN = "gpucloud-limit", "gpucloud-login"
_KEY, _VALUE = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}")
_NODE = re.compile(r"-([1-9][0-9]*)-([0-9]+)")
MOST_LABELS = 64


def rule_name(deployment_id: str, what: str) -> str:
    """The name of a firewall rule: `gpucloud-train-k3v2abcd-ssh`."""
    return f"{network_tag(deployment_id)}-{what}"


def network_tag(deployment_id: str) -> str:
    """The network tag of the deployment's machines; its own network, where it has one, is called the same."""
    return f"gpucloud-{deployment_id}"


def place_in_name(name: str, deployment_id: str) -> tuple[int | None, int | None]:
    """The attempt and rank in a machine's name."""
    match = _NODE.fullmatch(name.removeprefix(deployment_id)) if deployment_id else None
    return (int(match[1]), int(match[2])) if match and name.startswith(deployment_id) else (None, None)


def labels_of(spec: LaunchSpec, limit_epoch_s: float | None, login: str) -> dict[str, str]:
    """The labels of a machine and its disk. Raises BadRequest for tags that Google Cloud does not take."""
    labels = {**spec.tags, LABEL_LOGIN: login}
    if limit_epoch_s is not None:
        labels[LABEL_LIMIT] = str(round(limit_epoch_s))
    wrong = [f"{k}={v}" for k, v in labels.items() if not (_KEY.fullmatch(k) and _VALUE.fullmatch(v))]
    if wrong or len(labels) > MOST_LABELS:
        what = f"the tag {wrong[0]}" if wrong else f"more than {MOST_LABELS} tags"
        hint = "Labels are made of lower-case letters, digits, _ and -, at most 63; a key begins with a letter."
        raise BadRequest(f"Google Cloud does not take {what}.", hint)
    return labels


def described(tags: Mapping[str, str], region: str) -> str:
    """The description of a rule or network: its tags, and the region of the machines it was made for."""
    ours = {key: value for key, value in tags.items() if key.startswith("gpucloud-")}
    return ";".join(f"{key}={value}" for key, value in {**ours, "region": region}.items())


def read_description(text: str) -> dict[str, str]:
    """The words of a description that we wrote; empty for any other."""
    pairs = [part.partition("=") for part in text.split(";")]
    found = {key: value for key, mark, value in pairs if mark}
    return found if TAG_DEPLOYMENT in found else {}


def same_owner(tags: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether both belong to the same deployment of the same home."""
    return all(tags.get(key) == wanted.get(key) and wanted.get(key) for key in (TAG_DEPLOYMENT, TAG_HOME))
