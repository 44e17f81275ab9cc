"""When a machine does not answer: has this computer's address changed since SSH was opened to it?"""

from __future__ import annotations

from gpucloud.core.deployments import Deployment
from gpucloud.core.errors import GpucloudError
from gpucloud.core.letting_in import allow_hint, open_to, shut_out
from gpucloud.flows.context import Context


def changed_address(ctx: Context, deployment: Deployment) -> str:
    """The sentence that offers `gpucloud allow`; empty when the address is let in, or cannot be found out."""
    networks = open_to(deployment)
    if not networks or ctx.own_address is None:
        return ""
    try:
        address = ctx.own_address()
    except GpucloudError:
        return ""
    return allow_hint(deployment.name, address, networks) if shut_out(address, networks) else ""
