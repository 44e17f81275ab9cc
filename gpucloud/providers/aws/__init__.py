"""Amazon EC2: the three verbs and the rare abilities on boto3, which is imported only when the API is called."""

from __future__ import annotations

from gpucloud.core.cloud import Provider
from gpucloud.providers.aws.provider import AwsProvider
from gpucloud.providers.site import Site


def open_provider(site: Site) -> Provider:
    """EC2 with the credentials of boto3's own chain; nothing is asked or imported yet."""
    return AwsProvider(site)
