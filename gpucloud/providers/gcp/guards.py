"""What ends a machine at Compute Engine, and what a launch will use; told without network or library."""

from __future__ import annotations

from collections.abc import Sequence

from gpucloud.core.cloud import TAG_DEADLINE, Guard, LaunchSpec, Outline
from gpucloud.core.errors import BadRequest, NotOffered
from gpucloud.core.guards import BACKSTOP_S
from gpucloud.core.names import node_name
from gpucloud.providers.fabric import fabric_notes
from gpucloud.providers.gcp.images import CPU_DISK_GIB, GPU_DISK_GIB, image_words
from gpucloud.providers.gcp.marks import network_tag, rule_name
from gpucloud.providers.gcp.network import DENY, MESH, SSH
from gpucloud.providers.gcp.shapes import shape_of

LOGIN = "ubuntu"  # the boot script makes it where the image has none
LONGEST_S = 120 * 24 * 3600.0  # Compute Engine's limit of maxRunDuration
SHORTEST_S = 30.0
DELETE_GRACE_S = 120.0  # the machine's own timer, which can only stop, leaves the cloud's delete the first turn
OUTSIDE = ("client killed", "network lost", "machine hung")


def login_of(spec: LaunchSpec) -> str:
    """The user that logs in."""
    return spec.options.get("ssh-user") or LOGIN


def limit_epoch_s(deadline: float | None, at_end: str) -> float | None:
    """When Compute Engine itself deletes the machine: at the deadline if it is to be deleted then, else a day later."""
    if deadline is None:
        return None
    return deadline if at_end == "delete" else deadline + BACKSTOP_S


def limit_of(spec: LaunchSpec) -> float | None:
    """That moment for a launch; None when it does without (`--no-guard`)."""
    return None if _no_guard(spec) else limit_epoch_s(spec.deadline_epoch_s, spec.at_end)


def in_machine_deadline(spec: LaunchSpec) -> float | None:
    """When the machine's own timer stops it."""
    if spec.deadline_epoch_s is None or spec.at_end != "delete" or _no_guard(spec):
        return spec.deadline_epoch_s
    return spec.deadline_epoch_s + DELETE_GRACE_S


def run_seconds(spec: LaunchSpec, now: float) -> int | None:
    """maxRunDuration of a launch; None without one. Raises BadRequest when the cloud cannot hold it that long."""
    limit = limit_of(spec)
    if limit is None:
        return None
    if limit - now > LONGEST_S:
        hint = "Use --max-hours 2800 or less, or --no-guard to go without the cloud's own limit."
        raise BadRequest("Compute Engine ends a machine by itself within 120 days at most.", hint)
    return round(max(SHORTEST_S, limit - now))


def _no_guard(spec: LaunchSpec) -> bool:
    return spec.options.get("no-guard") == "yes"


def guards(spec: LaunchSpec) -> Sequence[Guard]:
    """The machine's own timer and idleness, and the cloud's limit.

    That limit cannot move while the machine runs: after `extend` it is still the one of the launch, whose
    deadline is in the tags. A deadline beyond it can only be had by `start`, which sets a new limit.
    """
    found: list[Guard] = []
    deadline = spec.deadline_epoch_s
    if deadline is not None:
        found.append(Guard("in_machine_deadline", "stop", in_machine_deadline(spec), OUTSIDE[:2]))
        if not _no_guard(spec):
            found.append(Guard("provider", "delete", _limit_now(spec, deadline), OUTSIDE))
    if spec.idle_s:
        found.append(Guard("in_machine_idle", "stop", None, OUTSIDE[:2]))
    return found


def _limit_now(spec: LaunchSpec, deadline: float) -> float:
    limit = limit_epoch_s(deadline, spec.at_end)
    assert limit is not None
    launched = spec.tags.get(TAG_DEADLINE, "")
    first = limit_epoch_s(float(launched), spec.at_end) if launched.isdigit() else None
    return first if first is not None and deadline <= first else limit


def outline(spec: LaunchSpec) -> Outline:
    """What a launch will use and make."""
    try:
        has_gpu = shape_of(spec.offer).has_gpu
    except NotOffered as error:
        return Outline(notes=(error.message,))
    names = [node_name(spec.deployment_id, spec.attempt, rank) for rank in range(spec.nodes)]
    made = [(kind, name) for name in names for kind in ("machine", "disk")]
    if not spec.options.get("security-group"):
        kinds = (DENY, SSH, MESH) if spec.nodes > 1 else (DENY, SSH)
        made += [("firewall", rule_name(spec.deployment_id, what)) for what in kinds]
    return Outline(image_words(spec.image, has_gpu), login_of(spec), tuple(made), tuple(_notes(spec, has_gpu)))


def _notes(spec: LaunchSpec, has_gpu: bool) -> list[str]:
    size = spec.disk_gib or (GPU_DISK_GIB if has_gpu else CPU_DISK_GIB)
    notes = [f"Boot disk of {size} GiB (more if the image needs it), removed with the machine."]
    group, identity = spec.options.get("security-group"), spec.options.get("identity")
    if group:
        notes.append(f"Who reaches SSH is decided by the project's own rules on the network tag {group}.")
    elif not spec.options.get("subnet"):
        own = network_tag(spec.deployment_id)
        notes.append(f"In the project's default network, closed by rules of its own; without one, in a network {own}.")
    if identity:
        notes.append(f"The machine carries the service account {identity}.")
    if limit_of(spec) is not None:
        notes.append("Compute Engine's own limit (max run duration) cannot move while the machine runs.")
    if spec.offer.market == "spot":
        notes.append("A spot machine that is taken back is deleted with its disk.")
    return [*notes, *fabric_notes(spec)]
