"""What ends a machine, as decisions."""

from __future__ import annotations

from gpucloud.core.offers import Offer
from gpucloud.core.plan import UpRequest, end_of


def test_a_spot_machine_is_deleted_at_its_end_unless_said_otherwise():
    spot, plain = Offer("aws", "g5", "A10G", 1, market="spot"), Offer("aws", "g5", "A10G", 1)
    request = UpRequest("train", (spot, plain))
    assert (end_of(request, spot), end_of(request, plain)) == ("delete", "stop")
    assert end_of(UpRequest("train", (spot,), at_end="stop"), spot) == "stop"
