"""Brings up one small machine that the catalog does not list: `python -m tests.live.up_one CLOUD NAME`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from gpucloud.core.offers import Offer

# The cheapest common type without GPU, and a price per hour that is certainly above the real one.
SMALL: Mapping[str, Offer] = {
    "aws": Offer("aws", "t3.small", "", 0, "us-east-1", usd_per_hour=0.05),
    "gcp": Offer("gcp", "e2-small", "", 0, "us-central1", "us-central1-a", usd_per_hour=0.05),
    "azure": Offer("azure", "Standard_B1ms", "", 0, "eastus", usd_per_hour=0.05),
    "fake": Offer("fake", "fk.cpu", "", 0, "fake-east", "fake-east-a", usd_per_hour=0.05),
}
MAX_S = 1800.0


def offer(cloud: str, environ: Mapping[str, str]) -> Offer:
    """The small machine of that cloud; `LIVE_TYPE`, `LIVE_REGION` and `LIVE_ZONE` name another one."""
    from dataclasses import replace

    usual = SMALL[cloud]
    region = environ.get("LIVE_REGION", usual.region)
    zone = environ.get("LIVE_ZONE", usual.zone if region == usual.region else "")
    return replace(usual, instance_type=environ.get("LIVE_TYPE", usual.instance_type), region=region, zone=zone)


def main(cloud: str, name: str) -> None:
    """Plan and carry out; the machine ends itself half an hour later whatever becomes of this process."""
    from gpucloud.cli.address import ssh_from
    from gpucloud.cli.outside import context
    from gpucloud.core.plan import UpRequest
    from gpucloud.flows import up

    with context() as ctx:
        request = UpRequest(
            name,
            (offer(cloud, os.environ),),
            {"live": cloud},
            max_s=MAX_S,
            at_end="delete",
            ssh_from=ssh_from("auto") if cloud != "fake" else (),
        )
        up.up(ctx, up.plan(ctx, request))


if __name__ == "__main__":
    from gpucloud.core.errors import GpucloudError

    try:
        main(*sys.argv[1:3])
    except GpucloudError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
