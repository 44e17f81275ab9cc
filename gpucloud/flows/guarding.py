"""What a launch will have and make, as the driver tells it without asking anybody: guards, image, names."""

from __future__ import annotations

from gpucloud.core.cloud import Guard, LaunchSpec, Outline, Provider, TellsGuards, TellsOutline
from gpucloud.core.guards import default_guards


def guards_of(provider: Provider, spec: LaunchSpec) -> tuple[Guard, ...]:
    """What will end those machines, as the driver tells it."""
    if isinstance(provider, TellsGuards):
        return tuple(provider.guards(spec))
    return default_guards(spec.deadline_epoch_s, spec.idle_s, spec.at_end)


def outline_of(provider: Provider, spec: LaunchSpec) -> Outline | None:
    """What the launch will use and make; None where the driver does not tell."""
    return provider.outline(spec) if isinstance(provider, TellsOutline) else None
