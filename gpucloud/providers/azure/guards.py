"""What ends the bill of a machine at Azure, and what a launch will use; told without network or library.

A machine that switches itself off stays allocated here and bills on. So the guard that counts is outside it:
ComputeSchedule deallocates it at the deadline, up to 14 days ahead. Only with an identity of its own
(`--identity`) can the machine deallocate itself, and then idleness ends the bill too.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpucloud.core.cloud import Guard, LaunchSpec, Outline
from gpucloud.core.errors import BadRequest, NotOffered
from gpucloud.providers.azure.images import CPU_DISK_GIB, GPU_DISK_GIB, image_words
from gpucloud.providers.azure.names import (
    disk_name,
    ip_name,
    nic_name,
    nodes_of,
    place_of,
    shared_name,
)
from gpucloud.providers.fabric import fabric_notes

LOGIN = "azureuser"
LONGEST_S = 14 * 24 * 3600.0  # ComputeSchedule's horizon
GRACE_S = 120.0  # the machine's own timer ends the runs first
DAILY_S = 23.5 * 3600.0  # DevTest Labs' schedule knows a time of day only
SHORTEST_DAILY_S = 900.0
OUTSIDE = ("client killed", "network lost", "machine hung")


def login_of(spec: LaunchSpec) -> str:
    """The user that logs in."""
    return spec.options.get("ssh-user") or LOGIN


def no_guard(spec: LaunchSpec) -> bool:
    """Whether the user takes it upon himself to end the bill."""
    return spec.options.get("no-guard") == "yes"


def has_identity(spec: LaunchSpec) -> bool:
    """Whether the machine will be able to deallocate itself."""
    return bool(spec.options.get("identity"))


def backstop_epoch_s(deadline: float | None) -> float | None:
    """When Azure deallocates the machine."""
    return None if deadline is None else deadline + GRACE_S


def check_horizon(spec: LaunchSpec, now: float) -> None:
    """Raise BadRequest for a deadline that nothing outside the machine can hold."""
    limit = backstop_epoch_s(spec.deadline_epoch_s)
    if limit is not None and limit - now > LONGEST_S and not no_guard(spec) and not has_identity(spec):
        raise BadRequest(
            "Azure deallocates a machine at most 14 days ahead.",
            "Use --max-hours 335 or less, or --identity so that the machine can do it, or --no-guard.",
        )


def guards(spec: LaunchSpec) -> Sequence[Guard]:
    """The provider's deallocation; and what the machine does itself, which ends the bill only with an identity."""
    found: list[Guard] = []
    deadline, itself = spec.deadline_epoch_s, has_identity(spec)
    if deadline is not None:
        action = _own_action(spec) if itself else "stop"
        found.append(Guard("in_machine_deadline", action, deadline, OUTSIDE[:1] if itself else OUTSIDE[:2]))
        if not no_guard(spec):
            found.append(Guard("provider", "stop", backstop_epoch_s(deadline), OUTSIDE))
    if spec.idle_s and itself:
        found.append(Guard("in_machine_idle", _own_action(spec), None, OUTSIDE[:1]))
    return found


def idle_s(spec: LaunchSpec) -> float | None:
    """The idle time that the machine watches: none where switching itself off would only make it useless, not free."""
    return spec.idle_s if has_identity(spec) else None


def _own_action(spec: LaunchSpec) -> str:
    return "delete" if spec.at_end == "delete" else "stop"


def outline(spec: LaunchSpec) -> Outline:
    """What a launch will use and make."""
    try:
        image = image_words(spec.image, spec.offer)
    except NotOffered as error:
        return Outline(notes=(error.message,))
    place, made = place_of(spec), []
    if place.own:
        made.append(("resource-group", place.group))
    shared = shared_name(spec.deployment_id, spec.attempt)
    if not spec.options.get("security-group"):
        made.append(("firewall", shared))
        if spec.nodes > 1:
            made.append(("node-group", shared))
    if not spec.options.get("subnet"):
        made.append(("network", shared))
    for node in nodes_of(spec):
        if spec.options.get("private") != "yes":
            made.append(("address", ip_name(node)))
        made += [("interface", nic_name(node)), ("disk", disk_name(node)), ("machine", node)]
    return Outline(image, login_of(spec), tuple(made), tuple(_notes(spec)))


def _notes(spec: LaunchSpec) -> list[str]:
    size = spec.disk_gib or (GPU_DISK_GIB if spec.offer.accelerator else CPU_DISK_GIB)
    notes = [f"OS disk of {size} GiB (more if the image needs it), removed with the machine."]
    if spec.deadline_epoch_s is not None and not no_guard(spec):
        notes.append("At the deadline Azure deallocates the machine (ComputeSchedule, else a DevTest Labs schedule).")
        if not has_identity(spec):
            notes.append("A machine that has only switched itself off still bills; that deallocation ends it.")
    if has_identity(spec):
        notes.append(f"The machine carries the identity {spec.options['identity']}, so that it can deallocate itself.")
    elif spec.idle_s:
        notes.append("Idleness ends nothing here: only with --identity can an Azure machine end its own bill.")
    if spec.deadline_epoch_s is None or no_guard(spec):
        notes.append("Nothing outside the machine ends the bill.")
    if spec.options.get("security-group"):
        notes.append("Who reaches SSH is decided by the security group that was named.")
    if spec.offer.market == "spot":
        notes.append("A spot machine that is taken back is deleted with its disk.")
    return [*notes, *fabric_notes(spec)]
