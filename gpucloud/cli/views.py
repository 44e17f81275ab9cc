"""How deployments and runs are shown: the columns of their tables."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gpucloud.cli import tones
from gpucloud.core.units import show_duration
from gpucloud.render.view import Column, View

Json = Mapping[str, Any]


def since_iso(text: Any) -> str:
    """How long ago an ISO time was."""
    return show_duration(time.time() - _epoch(text)) + " ago" if text else ""


def until_iso(text: Any) -> str:
    """How long until an ISO time, `over` when it is past."""
    if not text:
        return "no limit"
    left = _epoch(text) - time.time()
    return show_duration(left) if left > 0 else "over"


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def words(state: Any) -> str:
    """A state as words."""
    return str(state or "").replace("_", " ")


def money(value: Any) -> str:
    """Dollars with cents, and with four decimals below a cent."""
    if value is None:
        return "?"
    return f"{value:,.2f}" if value == 0 or value >= 0.01 else f"{value:,.4f}"


DEPLOYMENT_COLUMNS = (
    Column("name", "Name"),
    Column("state", "State", write=words, tone=tones.of_state),
    Column("cloud", "Cloud"),
    Column("region", "Region", keep=6),
    Column("instance_type", "Type", keep=7),
    Column("gpus", "GPUs", keep=8),
    Column("node_count", "Nodes", right=True, keep=5),
    Column("usd_per_hour", "USD/h", right=True, write=money),
    Column("spent_usd", "Spent USD", right=True, write=money),
    Column("ends", "Time left", right=True),
    Column("id", "Id", wide=True),
    Column("market", "Market", wide=True),
    Column("created_at", "Created", wide=True),
)

RUN_COLUMNS = (
    Column("id", "Run"),
    Column("state", "State", write=words, tone=tones.of_state),
    Column("exit_code", "Exit", right=True, tone=tones.of_exit),
    Column("command", "Command"),
    Column("started_at", "Started", write=since_iso, keep=6),
    Column("took", "Took", right=True, keep=7),
    Column("usd", "USD", right=True, write=money),
    Column("ended_at", "Ended", wide=True),
)

ATTEMPT_COLUMNS = (
    Column("cloud", "Cloud"),
    Column("region", "Region"),
    Column("zone", "Zone"),
    Column("instance_type", "Type"),
    Column("market", "Market"),
    Column("outcome", "Outcome", write=words, tone=tones.of_state),
    Column("message", "Reason"),
)


def deployments_view(
    kind: str,
    deployments: Sequence[Json],
    notes: Sequence[str] = (),
    empty: str = "No deployment. Make one with `gpucloud up`.",
    **extra: Any,
) -> View:
    """`deployments` as a table; `extra` are further JSON keys."""
    rows = [_deployment_row(item) for item in deployments]

    body = {"deployments": list(deployments), **extra}
    return View(kind, body, DEPLOYMENT_COLUMNS, rows, notes, empty)


def _deployment_row(item: Json) -> dict[str, Any]:
    over = item["billing_ended"] or item["state"] == "ended_by_guard"
    ends = "" if over else until_iso(item["deadline_at"])
    return {**item, "gpus": gpu_words(item), "node_count": len(item["nodes"]), "ends": ends}


def gpu_words(item: Json) -> str:
    """`8 x A100-SXM-40GB`, or nothing."""
    count = item.get("accelerator_count")
    return f"{count:g} x {item['accelerator']}" if count and item.get("accelerator") else ""


def runs_view(kind: str, runs: Sequence[Json], notes: Sequence[str] = ()) -> View:
    """`runs` as a table."""
    rows = [{**run, "took": _took(run)} for run in runs]
    empty = "No run. Start one with `gpucloud run CMD`."
    return View(kind, {"runs": list(runs)}, RUN_COLUMNS, rows, notes, empty)


def _took(run: Json) -> str:
    if not run["started_at"]:
        return ""
    end = _epoch(run["ended_at"]) if run["ended_at"] else time.time()
    return show_duration(end - _epoch(run["started_at"]))
