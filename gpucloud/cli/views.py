"""How deployments and runs are shown: the columns of their tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from gpucloud.core.units import show_duration
from gpucloud.render.view import Column, Table, View

Json = Mapping[str, Any]


def column(
    key: str,
    title: str,
    right: bool = False,
    wide: bool = False,
    write: Callable[[Any], str] | None = None,
    keep: int = 5,
) -> Column:
    """A column of the value under `key`, written by `write`."""
    value = key if write is None else lambda record: write(record.get(key))
    return Column(title, value, right, keep, wide)


def listing(
    kind: str,
    body: Json,
    records: str,
    columns: Sequence[Column],
    rows: Sequence[Json],
    notes: Sequence[str] = (),
    empty: str = "Nothing to show.",
) -> View:
    """One table of rows, or a sentence when there are none. `records` is the JSON key of the list."""
    if not rows:
        return View(kind, body, records, (), (empty, *notes))
    return View(kind, body, records, (Table(columns, rows),), notes)


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
    column("name", "Name"),
    column("state", "State", write=words),
    column("cloud", "Cloud"),
    column("region", "Region"),
    column("instance_type", "Type"),
    column("gpus", "GPUs"),
    column("node_count", "Nodes", right=True),
    column("usd_per_hour", "USD/h", right=True, write=money),
    column("spent_usd", "Spent USD", right=True, write=money),
    column("deadline_at", "Time left", right=True, write=until_iso),
    column("id", "Id", wide=True),
    column("market", "Market", wide=True),
    column("created_at", "Created", wide=True),
)

RUN_COLUMNS = (
    column("id", "Run"),
    column("state", "State", write=words),
    column("exit_code", "Exit", right=True),
    column("command", "Command"),
    column("started_at", "Started", write=since_iso),
    column("took", "Took", right=True),
    column("usd", "USD", right=True, write=money),
    column("ended_at", "Ended", wide=True),
)

ATTEMPT_COLUMNS = (
    column("cloud", "Cloud"),
    column("region", "Region"),
    column("zone", "Zone"),
    column("instance_type", "Type"),
    column("market", "Market"),
    column("outcome", "Outcome", write=words),
    column("message", "Reason"),
)


def deployments_view(
    kind: str,
    deployments: Sequence[Json],
    notes: Sequence[str] = (),
    empty: str = "No deployment. Make one with `gpucloud up`.",
    **extra: Any,
) -> View:
    """`deployments` as a table; `extra` are further JSON keys."""
    rows = [{**item, "gpus": gpu_words(item), "node_count": len(item["nodes"])} for item in deployments]

    body = {"deployments": list(deployments), **extra}
    return listing(kind, body, "deployments", DEPLOYMENT_COLUMNS, rows, notes, empty)


def gpu_words(item: Json) -> str:
    """`8 x A100-SXM-40GB`, or nothing."""
    count = item.get("accelerator_count")
    return f"{count:g} x {item['accelerator']}" if count and item.get("accelerator") else ""


def runs_view(kind: str, runs: Sequence[Json], notes: Sequence[str] = ()) -> View:
    """`runs` as a table."""
    rows = [{**run, "took": _took(run)} for run in runs]
    empty = "No run. Start one with `gpucloud run CMD`."
    return listing(kind, {"runs": list(runs)}, "runs", RUN_COLUMNS, rows, notes, empty)


def _took(run: Json) -> str:
    if not run["started_at"]:
        return ""
    end = _epoch(run["ended_at"]) if run["ended_at"] else time.time()
    return show_duration(end - _epoch(run["started_at"]))
