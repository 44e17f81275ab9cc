"""What every price source speaks: the pieces that can be asked and can fail apart, and one verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gpucloud.core.fresh import Told
from gpucloud.core.offers import InstanceType


class PriceSource(Protocol):
    """One cloud's own prices. Errors are the classes of `core.errors`."""

    cloud: str
    source: str  # the name in sources.csv
    title: str
    page: str  # where the figures can be looked up

    def pieces(self) -> Sequence[str]:
        """What is asked apart, a region or a part of the list; raises CredentialsError when nothing can be."""
        ...

    def ask(self, piece: str) -> Told:
        """Everything that piece says now; raises when it cannot be had whole."""
        ...


SOURCES = {
    "aws": "gpucloud.prices.aws",
    "azure": "gpucloud.prices.azure",
    "gcp": "gpucloud.prices.gcp",
    "lambda": "gpucloud.prices.lambda_cloud",
}


def open_source(cloud: str, environ: Mapping[str, str], types: Sequence[InstanceType]) -> PriceSource:
    """The source of a cloud's prices. `types` are the machines of that cloud that the catalog knows."""
    from importlib import import_module
    from typing import cast

    return cast(PriceSource, import_module(SOURCES[cloud]).open_source(environ, types))
