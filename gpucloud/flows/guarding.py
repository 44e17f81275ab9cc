"""Which guards a launch will have: what the driver tells, else the ones every machine has."""

from __future__ import annotations

from gpucloud.core.cloud import Guard, LaunchSpec, Provider, TellsGuards
from gpucloud.core.guards import default_guards


def guards_of(provider: Provider, spec: LaunchSpec) -> tuple[Guard, ...]:
    """What will end those machines, as the driver tells it."""
    if isinstance(provider, TellsGuards):
        return tuple(provider.guards(spec))
    return default_guards(spec.deadline_epoch_s, spec.idle_s, spec.at_end)
