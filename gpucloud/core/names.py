"""Names, ids and tokens as pure functions: the same inputs always give the same words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpucloud.core.errors import UsageError

if TYPE_CHECKING:
    from gpucloud.core.offers import Offer

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_DEPLOYMENT_ID = re.compile(r"([a-z][a-z0-9-]{0,30})-([a-z2-7]{8})")
_RUN = re.compile(r"([a-z][a-z0-9-]{0,30})(?:/([1-9][0-9]*))?")
ID_BYTES = 5  # five random bytes are exactly eight letters of [a-z2-7]


def letters(data: bytes) -> str:
    """Bytes in the alphabet `[a-z2-7]`, which every cloud accepts in names and tag values."""
    from base64 import b32encode  # here and below: every command loads this file, few of them make a name

    return b32encode(data).decode("ascii").rstrip("=").lower()


def check_name(name: str) -> str:
    """The name itself when it is a legal deployment name; raises UsageError otherwise."""
    if _NAME.fullmatch(name) is None:
        near = _legal(name)
        hint = "Use a lower-case letter, then up to 30 lower-case letters, digits or hyphens"
        raise UsageError(f"'{name}' is not a name for a deployment.", f"{hint}, as in {near or 'train-2'}.")
    return name


def _legal(name: str) -> str:
    """The legal name most like it, or nothing."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")[:31].rstrip("-")


def deployment_id(name: str, random: bytes) -> str:
    """`train-k3v2abcd`: the name and eight letters from five random bytes."""
    return f"{check_name(name)}-{letters(random[:ID_BYTES])}"


def is_deployment_id(text: str) -> bool:
    """Whether `text` has the form of an id that we could have made."""
    return _DEPLOYMENT_ID.fullmatch(text) is not None


def name_of(identifier: str) -> str:
    """The name inside a deployment id; raises UsageError when it is none."""
    match = _DEPLOYMENT_ID.fullmatch(identifier)
    if match is None:
        raise UsageError(f"'{identifier}' is not the id of a deployment.", "Ids look like train-k3v2abcd.")
    return match[1]


def attempt_token(identifier: str, attempt: int, offer: Offer) -> str:
    """The token of one attempt, at most 64 letters: deployment, attempt, and a hash of place, shape and market.

    The zone is part of it because EC2 does not compare zones of equal tokens.
    """
    place = "|".join((offer.cloud, offer.region, offer.zone, offer.instance_type, offer.market))
    return f"{identifier}-{attempt}-{_digest(place)}"


def node_name(identifier: str, attempt: int, rank: int) -> str:
    """The name of one machine, legal on every cloud (at most 63 letters, `[a-z0-9-]`)."""
    return f"{identifier}-{attempt}-{rank}"


def run_id(name: str, number: int) -> str:
    """`train/3`."""
    return f"{name}/{number}"


def parse_run(text: str) -> tuple[str, int | None]:
    """`train/3` → `("train", 3)`, `train` → `("train", None)` = its newest run. Raises UsageError."""
    match = _RUN.fullmatch(text)
    if match is None:
        raise UsageError(f"'{text}' is not the id of a run.", "Write it like train/3, or train for the newest.")
    return match[1], int(match[2]) if match[2] else None


def owner_hash(principal: str) -> str:
    """The short hash of a cloud's caller identity that goes into the owner tag."""
    return _digest(principal)


def _digest(text: str) -> str:
    from hashlib import sha256

    return letters(sha256(text.encode()).digest())[:12]
