"""`gpucloud check`: which clouds can be used, as whom, and within which quotas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from gpucloud.cli import tones
from gpucloud.cli.options import current
from gpucloud.cli.outside import context
from gpucloud.core.errors import CredentialsError
from gpucloud.render.view import Column, View, show

COLUMNS = (
    Column("cloud", "Cloud"),
    Column("usable", "Usable", tone=tones.of_yes),
    Column("identity", "As"),
    Column("via", "Through"),
    Column("reason", "Reason", wide=True),  # two sentences: below the table they can be read
    Column("quota_words", "GPU quotas"),
)


def check(
    clouds: Annotated[list[str] | None, typer.Argument(metavar="[CLOUD]...", help="Only these.")] = None,
) -> None:
    """Which clouds can be used, with which identity, and how many GPUs each allows where it tells.

    Ends with 4 when a cloud that was named cannot be used.
    """
    from gpucloud.flows.check import check as examine

    with context() as ctx, ctx.waiting("asking the clouds who we are there"):
        found = [item.as_json() for item in examine(ctx, tuple(clouds or ()))]
    rows = [{**item, "quota_words": _quotas(item["quotas"])} for item in found]
    lines = [] if current().output in ("wide", "markdown") else _reasons(found)
    lines += [line for item in found for host in item.get("hosts", ()) for line in _host_lines(host)]
    show(View("check", {"clouds": found}, COLUMNS, rows, lines), current().output)
    refused = [item["cloud"] for item in found if not item["usable"]]
    if clouds and refused:
        again = f"Why is said above; `gpucloud check {' '.join(refused)}` looks again."
        raise CredentialsError(f"{', '.join(refused)} cannot be used.", again)


def _reasons(found: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{item['cloud']}: {item['reason']}" for item in found if item["reason"]]


def _host_lines(host: dict[str, Any]) -> list[str]:
    """An own machine in words: `box1: reachable, 1 of 2 GPUs free`, then a line for each that is not."""
    if not host["reachable"]:
        return [f"{host['host']}: not reachable: {host['reason']}"]
    gpus = host["gpus"]
    free = sum(gpu["state"] == "free" for gpu in gpus)
    words = f"{free} of {len(gpus)} GPUs free" if gpus else "no GPUs"
    first = f"{host['host']}: reachable, {words}" + (f" ({host['reason']})" if host["reason"] else "")
    return [first, *(f"  GPU {gpu['index']} {gpu['name']}: {_gpu_words(gpu)}" for gpu in gpus)]


def _gpu_words(gpu: dict[str, Any]) -> str:
    if gpu["state"] == "leased":
        until = f"until {gpu['until']}" if gpu["until"] else "without an end"
        return f"leased by {gpu['by']} ({gpu['deployment']}) since {gpu['since']} {until}"
    return f"busy with {gpu['by']}" if gpu["state"] == "busy" else "free"


def _quotas(quotas: list[dict[str, object]]) -> str:
    return ", ".join(f"{item['region']} {item['name']} {item['used']:g}/{item['limit']:g}" for item in quotas[:6])
