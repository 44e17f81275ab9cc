"""The guards that a cloud machine has inside itself, told what they must know: every node at once, over SSH."""

from __future__ import annotations

from gpucloud.core.cloud import Resource
from gpucloud.core.deployments import Deployment
from gpucloud.core.errors import GpucloudError, Unreachable
from gpucloud.core.units import iso_utc
from gpucloud.flows.at_once import Answer, at_once
from gpucloud.flows.context import Context, Introduces
from gpucloud.flows.ready import reachable

ENDS_THE_MACHINE = ("stop", "delete")


def move_inside(ctx: Context, deployment: Deployment, deadline: float | None, before: float | None) -> None:
    """Tell the guard in every machine its new end. Unreachable names the machines that keep the one from `before`."""
    machines = guarded_inside(ctx, deployment)

    def tell(machine: Resource) -> bool:
        return ctx.readiness.set_deadline(machine, deployment.id, deadline)

    answers = at_once(tell, machines, ctx.waits.cloud)
    for machine, answer in zip(machines, answers, strict=True):
        if answer.value is False:
            ctx.narrate(f"No guard is alive in {machine.name or machine.id}: only the cloud's own one will end it.")
    failed = [(machine, answer) for machine, answer in zip(machines, answers, strict=True) if answer.error]
    if failed:
        raise _kept(deployment, failed, before)


def introduce(ctx: Context, deployment: Deployment) -> None:
    """Tell every node of several the addresses of the others: they end for idleness together or not at all."""
    machines = guarded_inside(ctx, deployment, "in_machine_idle")
    readiness = ctx.readiness
    if len(machines) < 2 or not isinstance(readiness, Introduces):
        return

    def tell(machine: Resource) -> bool:
        others = [other.private_ip for other in machines if other.id != machine.id and other.private_ip]
        return readiness.introduce(machine, deployment.id, others)

    answers = at_once(tell, machines, ctx.waits.cloud)
    if any(answer.error for answer in answers):
        ctx.narrate("Not every node could be told of the others: idleness will not end this deployment.")
    elif any(answer.value is False for answer in answers):
        ctx.narrate(
            "Not every node can tell the others that it is idle (that takes a living guard, python3 and bash): "
            "idleness will not end this deployment, its deadline will."
        )


def guarded_inside(ctx: Context, deployment: Deployment, kind: str = "in_machine_deadline") -> list[Resource]:
    """The machines that end by a script of ours inside them (those of `local` and `ssh` do it their own way)."""
    attempt = deployment.current
    if attempt is None or not reachable(ctx, attempt):
        return []
    inside = any(g.kind == kind and g.action in ENDS_THE_MACHINE for g in attempt.guards)
    return [m for m in deployment.machines if inside and m.endpoint is not None and m.endpoint.dialect == "sh"]


def _kept(deployment: Deployment, failed: list[tuple[Resource, Answer[bool]]], before: float | None) -> Unreachable:
    error = failed[0][1].error
    if not isinstance(error, GpucloudError):
        raise error if error is not None else AssertionError
    names = ", ".join(machine.name or machine.id for machine, _ in failed)
    end = "no end" if before is None else f"its old end, {iso_utc(before)}"
    return Unreachable(
        f"{names} could not be told its new end and keeps {end}: {error.message}",
        error.hint
        or f"Repeat it when the machine answers, or `gpucloud allow {deployment.name}` if your address changed.",
    )
