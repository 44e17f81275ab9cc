"""What ends the bill on EC2, and what a launch will use and make; told without network or boto3."""

from __future__ import annotations

from collections.abc import Sequence

from gpucloud.core.cloud import Guard, LaunchSpec, Outline
from gpucloud.core.errors import BadRequest, PolicyError, UsageError
from gpucloud.core.guards import BACKSTOP_S
from gpucloud.core.names import node_name
from gpucloud.providers.aws import alarms, groups, images
from gpucloud.providers.fabric import fabric_notes

IN_GUEST = ("client killed", "network lost", "reboot", "stop and start")
OUTSIDE = ("client killed", "network lost", "machine hung", "timers removed in the machine")


def shutdown_behaviour(spec: LaunchSpec) -> str:
    """What EC2 does when the guest powers off: `terminate` or `stop`, fixed at launch.

    A one-shot run's results must outlive its client, so a machine that ends by itself keeps its disk there;
    the client removes it once the outputs are pulled. A one-time spot machine cannot be stopped.
    """
    if spec.offer.market == "spot":
        return "terminate"
    return "terminate" if spec.at_end == "delete" and spec.options.get("one-shot") != "yes" else "stop"


def alarmed(spec: LaunchSpec, now: float) -> bool:
    """Whether an alarm will be armed. Raises PolicyError when it was asked for and cannot reach so far."""
    if not alarms.asked(spec) or spec.deadline_epoch_s is None:
        return False
    try:
        alarms.hours_until(spec.deadline_epoch_s, now)
    except PolicyError:
        if spec.options.get("no-guard") == "yes":
            return False
        raise
    return True


def guards(spec: LaunchSpec, now: float) -> Sequence[Guard]:
    """The guards of a launch, each with what it survives."""
    action = "delete" if shutdown_behaviour(spec) == "terminate" else "stop"
    found: list[Guard] = []
    if spec.deadline_epoch_s is not None:
        found.append(Guard("in_machine_deadline", action, spec.deadline_epoch_s, IN_GUEST))
    if spec.idle_s:
        found.append(Guard("in_machine_idle", action, None, IN_GUEST))
    if alarmed(spec, now) and spec.deadline_epoch_s is not None:
        found.append(Guard("provider", "delete", spec.deadline_epoch_s + BACKSTOP_S, OUTSIDE))
    return (*found, Guard("client", "delete", None, ()))


def outline(spec: LaunchSpec) -> Outline:
    """What a launch will use and make. Raises UsageError for an --image that is none."""
    try:
        image = images.wanted(spec.image, spec.offer)
    except BadRequest as error:
        raise UsageError(error.message, error.hint) from error
    return Outline(
        image=image,
        ssh_user=spec.options.get("ssh-user") or ("" if spec.image else "ubuntu"),
        resources=tuple(_resources(spec)),
        notes=tuple(_notes(spec)),
    )


def _resources(spec: LaunchSpec) -> Sequence[tuple[str, str]]:
    deployment = spec.deployment_id or spec.name
    nodes = [node_name(deployment, spec.attempt, rank) for rank in range(spec.nodes)]
    size = spec.disk_gib or images.usual_disk_gib(spec.offer)
    made = [("machine", name) for name in nodes]
    made += [("volume", f"{name} (gp3, {size} GiB, ends with the machine)") for name in nodes]
    if not groups.given(spec):
        made.append((groups.KIND, groups.group_name(spec)))
    if alarms.asked(spec):
        made += [(alarms.KIND, alarms.alarm_name(deployment, spec.attempt, rank)) for rank in range(spec.nodes)]
    return made


def _notes(spec: LaunchSpec) -> Sequence[str]:
    notes = []
    if groups.given(spec):
        named = ", ".join(groups.given(spec))
        notes.append(f"SSH ingress, and what nodes may send each other, is what {named} allows; nothing is changed.")
    if spec.options.get("private") == "yes":
        notes.append("No public address: reach it through a VPN or a peered network.")
    if spec.options.get("identity"):
        notes.append(f"Programs on the machine may act as the instance profile {spec.options['identity']}.")
    if not images.has_nvidia(spec.offer) and spec.offer.accelerator_count and not spec.image:
        notes.append(f"The image has no driver for {spec.offer.accelerator}; name one that has with --image.")
    if 0 < spec.offer.accelerator_count < 1 and not spec.image:
        notes.append("A part of a card needs NVIDIA's GRID driver, which the image lacks; name one with --image.")
    if spec.deadline_epoch_s is not None and not alarms.asked(spec):
        notes.append("EC2 itself has no limit: a machine that hangs is ended by nobody. --alarm adds one.")
    if spec.offer.market == "spot":
        notes.append("AWS may take it back at two minutes' notice; its disk goes with it.")
    return [*notes, *fabric_notes(spec)]
