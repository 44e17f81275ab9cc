"""Azure over Resource Manager: one resource group per deployment, and in it the machines and their network.

The libraries (`azure-mgmt-*`, `azure-identity`) are imported by the first call, or by `warm()` while the plan is on
screen.
"""

from __future__ import annotations

from gpucloud.providers.azure.provider import AzureProvider
from gpucloud.providers.site import Site


def open_provider(site: Site) -> AzureProvider:
    """The driver for one home; nothing is asked and nothing is imported yet."""
    return AzureProvider(site)
