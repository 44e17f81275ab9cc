"""Google Compute Engine over its REST API: machines, and the firewall rules that are theirs alone.

The library (`google-cloud-compute`) is imported by the first call, or by `warm()` while the plan is on screen.
"""

from __future__ import annotations

from gpucloud.providers.gcp.provider import GcpProvider
from gpucloud.providers.site import Site


def open_provider(site: Site) -> GcpProvider:
    """The driver for one home; nothing is asked and nothing is imported yet."""
    return GcpProvider(site)
