"""Driver of the `ssh` cloud: machines that you own, from `hosts.yaml`; their GPUs are leased one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpucloud.providers.site import Site
    from gpucloud.providers.ssh.provider import SshProvider


def open_provider(site: Site) -> SshProvider:
    """The driver for one home; cheap, nothing is read or asked."""
    from gpucloud.providers.ssh.provider import SshProvider

    return SshProvider(site)
