"""What goes wrong at the fake cloud, and when: a list of rules, each used up after `times` calls (0 = for ever).

    [{"verb": "launch", "region": "fake-east", "fault": "capacity", "times": 1}]

`verb` is launch, find, destroy, stop, start, extend, quotas or identity; `region`, `zone`, `market` and
`instance_type` narrow it down. Faults before the effect: `capacity quota throttle credentials permission
not_registered not_offered policy bad_request lost_before`; around it: `lost_after` (done, answer lost), `slow`
(takes `seconds`), `late` (answer lost, the machines come into being after `seconds`), `half` (only the
firewall is made, then the answer is lost), `invisible` (not shown for `seconds`), `preempted` (taken back
after `seconds`), `failed` (never gets running), `unscanned` (find cannot ask that region), `zero` (quotas: none),
`unguarded` (refused where no provider-side guard is possible, unless with --no-guard).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gpucloud.core.errors import (
    AmbiguousError,
    BadRequest,
    CapacityError,
    CredentialsError,
    GpucloudError,
    NotOffered,
    NotRegistered,
    PermissionDenied,
    PolicyError,
    QuotaError,
    ThrottledError,
    UsageError,
)

REFUSALS: Mapping[str, GpucloudError] = {
    "capacity": CapacityError("There is no such machine free in {where} now."),
    "quota": QuotaError("The quota of {where} is used up."),
    "credentials": CredentialsError("The fake cloud does not know these credentials.", "Change the script."),
    "permission": PermissionDenied("The fake identity may not do this in {where}.", "Change the script."),
    "not_registered": NotRegistered("The service is not switched on.", "Change the script."),
    "not_offered": NotOffered("That type is not sold in {where}."),
    "policy": PolicyError("A rule of the organisation forbids {where}."),
    "bad_request": BadRequest("The fake cloud does not understand the request."),
}
AROUND = (
    "lost_before",
    "lost_after",
    "slow",
    "late",
    "half",
    "invisible",
    "preempted",
    "failed",
    "unscanned",
    "zero",
    "unguarded",
)


@dataclass(frozen=True)
class Rule:
    """One scripted failure; empty fields match everything."""

    verb: str
    fault: str
    region: str = ""
    zone: str = ""
    market: str = ""
    instance_type: str = ""
    times: int = 1
    seconds: float = 1.0

    def matches(self, verb: str, place: Mapping[str, str]) -> bool:
        """Whether a call is meant."""
        wanted = {name: getattr(self, name) for name in ("region", "zone", "market", "instance_type")}
        return self.verb == verb and all(not value or place.get(name) == value for name, value in wanted.items())


def load_script(path: str) -> tuple[Rule, ...]:
    """The rules in a JSON file, none for an empty path. Raises UsageError for a rule nobody understands."""
    if not path:
        return ()
    try:
        records = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"The script {path} cannot be read: {error}.", "It is a JSON list of rules.") from None
    return tuple(rule_from(record) for record in records)


def rule_from(record: Mapping[str, Any]) -> Rule:
    """One rule."""
    unknown = sorted(set(record) - {spec.name for spec in fields(Rule)})
    rule = Rule(**{key: value for key, value in record.items() if key not in unknown})
    if unknown or rule.fault not in (*REFUSALS, *AROUND, "throttle"):
        raise UsageError(f"The script's rule {dict(record)} is not understood.", "See providers/fake/script.py.")
    return rule


def first_rule(script: Sequence[Rule], used: dict[str, int], verb: str, place: Mapping[str, str]) -> Rule | None:
    """The first rule for a call that is not used up; counts its use."""
    for number, rule in enumerate(script):
        count = used.get(str(number), 0)
        if rule.matches(verb, place) and (not rule.times or count < rule.times):
            used[str(number)] = count + 1
            return rule
    return None


def refuse(rule: Rule | None, where: str) -> None:
    """Raise what the rule says, when it says that nothing is done."""
    if rule is None:
        return
    if rule.fault == "throttle":
        raise ThrottledError("Too many requests.", retry_after_s=rule.seconds)
    if rule.fault == "lost_before":
        raise AmbiguousError("The connection was lost.")
    if rule.fault in REFUSALS:
        error = REFUSALS[rule.fault]
        raise type(error)(error.message.format(where=where), error.hint)
