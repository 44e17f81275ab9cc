"""What an error of one attempt means for the offers that are still to be tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gpucloud.core.deployments import Present
from gpucloud.core.errors import (
    BootstrapError,
    CapacityError,
    CloudError,
    CredentialsError,
    GpucloudError,
    NotOffered,
    NotRegistered,
    PermissionDenied,
    PolicyError,
    QuotaError,
    ThrottledError,
    Unreachable,
    UsageError,
)
from gpucloud.core.offers import Offer

USELESS_AT_MOST = 2  # machines of one cloud that come up wrong before that cloud is ruled out
CLOUD = ("cloud",)
REGION = ("cloud", "region")
REGION_AND_MARKET = ("cloud", "region", "market")
PLACE = ("cloud", "region", "zone", "instance_type", "market")
# What else an error rules out, by the fields that an offer shares with the refused one; codes that are
# not listed end the whole `up`.
RULES_OUT: Mapping[str, tuple[str, ...]] = {
    "capacity": (),
    "not_offered": (),
    "bootstrap": (),
    "unreachable": (),
    "quota": REGION_AND_MARKET,
    "throttled": REGION,
    "policy": REGION,
    "credentials": CLOUD,
    "permission": CLOUD,
    "not_registered": CLOUD,
}


@dataclass(frozen=True)
class RuledOut:
    """The places and clouds that need not be asked any more in this round."""

    places: frozenset[tuple[tuple[str, str], ...]] = field(default_factory=frozenset)
    useless: Mapping[str, int] = field(default_factory=dict)  # machines that came up wrong, by cloud

    def after(self, code: str, offer: Offer) -> RuledOut:
        """With what a refusal of `offer` rules out. An image that is wrong twice is wrong everywhere there."""
        if code == "bootstrap":
            return self._after_useless(offer)
        shared = CLOUD if code == "usage" else RULES_OUT.get(code, ())
        return replace(self, places=self.places | {_key(offer, shared)}) if shared else self

    def _after_useless(self, offer: Offer) -> RuledOut:
        count = self.useless.get(offer.cloud, 0) + 1
        places = self.places | {_key(offer, CLOUD)} if count >= USELESS_AT_MOST else self.places
        return RuledOut(places, {**self.useless, offer.cloud: count})

    def covers(self, offer: Offer) -> bool:
        """Whether trying this offer is known to be in vain."""
        return any(_key(offer, shared) in self.places for shared in (CLOUD, REGION, REGION_AND_MARKET))


def _key(offer: Offer, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(getattr(offer, name))) for name in names)


def short_since(present: Present, offer: Offer) -> float | None:
    """When that very place last had none of these machines, in any deployment; None when it never was so."""
    attempts = [attempt for deployment in present.deployments.values() for attempt in deployment.attempts]
    times = [
        attempt.ended_at if attempt.ended_at is not None else attempt.sent_at
        for attempt in attempts
        if "capacity" in (attempt.outcome, attempt.failure) and _key(attempt.offer, PLACE) == _key(offer, PLACE)
    ]
    return max(times, default=None)


def goes_on(code: str, clouds_left: bool = False) -> bool:
    """Whether the next offer is tried after this error. A cloud that cannot be used here (its library is missing)
    ends it all only where there is no other cloud."""
    return code in RULES_OUT or (code == "usage" and clouds_left)


def nothing_started(tried: Sequence[Mapping[str, Any]], hints: Mapping[str, str] | None = None) -> GpucloudError:
    """The error for a list that is used up: lack of room first, then who we are, then what the cloud said.

    `hints` are next steps that the drivers gave, by code; where they gave none, ours are used.
    """
    given = {code: hint for code, hint in (hints or {}).items() if hint}
    codes = [str(line["outcome"]) for line in tried]
    kinds: tuple[type[GpucloudError], ...] = (
        CapacityError,
        QuotaError,
        CredentialsError,
        PermissionDenied,
        NotRegistered,
        Unreachable,
        BootstrapError,
        UsageError,
    )
    for kind in kinds:
        if kind.code in codes:
            hint = given.get(kind.code) or HINTS.get(kind.code, HINTS[""])
            return kind(_sentence(kind.code, tried), hint, attempts=list(tried))
    last = codes[-1] if codes else ""
    answered = next((kind for kind in (PolicyError, ThrottledError, NotOffered) if kind.code == last), CloudError)
    return answered(_sentence(last, tried), given.get(last, HINTS[""]), attempts=list(tried))


HINTS = {
    "capacity": "Try later with --wait-capacity 6h, or allow more regions, clouds or GPUs.",
    "quota": "Ask the cloud for more quota, or allow other regions and clouds; `gpucloud check` shows the limits.",
    "credentials": "See `gpucloud check` for the identity of each cloud.",
    "permission": "See `gpucloud check` for the identity of each cloud.",
    "unreachable": "Is the machine on, and are its address, port and user right? `gpucloud check` lists own machines.",
    "bootstrap": "Every attempt with its reason is listed above.",
    "not_registered": "Switch the service on in the cloud's console, then repeat.",
    "": "Every attempt with its reason is listed above.",
}
WORDS = {
    "capacity": "no capacity",
    "quota": "no quota",
    "credentials": "no usable credentials",
    "permission": "no permission",
    "not_registered": "a service that is not switched on",
    "bootstrap": "machines that are not as ordered",
    "throttled": "too many requests",
    "unreachable": "a machine that does not answer",
}


def _sentence(code: str, tried: Sequence[Mapping[str, Any]]) -> str:
    count = len(tried)
    last = next((line for line in reversed(tried) if line["outcome"] == code), None)
    reason = str(last["message"]).rstrip(".") if last and last.get("message") else WORDS.get(code, code)
    where = "1 attempt" if count == 1 else f"{count} attempts"
    return f"Nothing could be started in {where}: {reason}."
