"""Driver of the `local` cloud: an SSH server and a working folder on this computer, no root, no docker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpucloud.providers.local.provider import LocalProvider
    from gpucloud.providers.site import Site


def open_provider(site: Site) -> LocalProvider:
    """The driver for one home; cheap, nothing is asked or started."""
    from gpucloud.providers.local.provider import LocalProvider

    return LocalProvider(site.root, site.environ)
