"""`gpucloud check`: which clouds can be used, as whom, and within which quotas."""

from __future__ import annotations

from typing import Annotated

import typer

from gpucloud.cli.options import current
from gpucloud.cli.outside import context
from gpucloud.core.errors import CredentialsError
from gpucloud.render.view import Column, View, show

COLUMNS = (
    Column("cloud", "Cloud"),
    Column("usable", "Usable"),
    Column("identity", "As"),
    Column("via", "Through"),
    Column("reason", "Reason"),
    Column("quota_words", "GPU quotas"),
)


def check(
    clouds: Annotated[list[str] | None, typer.Argument(metavar="[CLOUD]...", help="Only these.")] = None,
) -> None:
    """Which clouds can be used, with which identity, and how many GPUs each allows where it tells.

    Ends with 4 when a cloud that was named cannot be used.
    """
    from gpucloud.flows.check import check as examine

    with context() as ctx:
        found = [item.as_json() for item in examine(ctx, tuple(clouds or ()))]
    rows = [{**item, "quota_words": _quotas(item["quotas"])} for item in found]
    show(View("check", {"clouds": found}, COLUMNS, rows), current().output)
    refused = [item["cloud"] for item in found if not item["usable"]]
    if clouds and refused:
        raise CredentialsError(f"{', '.join(refused)} cannot be used.", "The table says why.")


def _quotas(quotas: list[dict[str, object]]) -> str:
    return ", ".join(f"{item['region']} {item['name']} {item['used']:g}/{item['limit']:g}" for item in quotas[:6])
