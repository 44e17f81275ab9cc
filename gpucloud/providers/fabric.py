"""What the plan says of the fast network between machines: it is paid for with the type, and not set up by us."""

from __future__ import annotations

from collections.abc import Sequence

from gpucloud.core.cloud import LaunchSpec

# By the first word of the catalog's `fabric`: its name, and what using it would take.
FABRICS = {
    "efa": ("EFA", "machines get one ordinary network interface, so NCCL uses TCP"),
    "gpudirect": ("GPUDirect over several network interfaces", "machines get one interface, so NCCL uses TCP"),
    "infiniband": ("InfiniBand", "it reaches only machines of one availability or scale set, and ours are in none"),
    "roce": ("RoCE", "machines get one interface, so NCCL uses TCP"),
}


def fabric_notes(spec: LaunchSpec) -> Sequence[str]:
    """One sentence for several nodes of a type that has such a network; nothing for one node."""
    known = FABRICS.get(spec.offer.fabric.partition("-")[0])
    if spec.nodes < 2 or known is None:
        return ()
    name, why = known
    return (f"{name} between the nodes is not set up: {why}. A speed predicted for it will not be reached.",)
