"""`gpucloud catalog refresh`: live prices from the clouds' own price lists into the user's overlay."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpucloud.cli.names_asked import commas
from gpucloud.cli.options import current
from gpucloud.cli.outside import home
from gpucloud.cli.views import money
from gpucloud.render.text import plural
from gpucloud.render.view import Column, Section, View, show

if TYPE_CHECKING:
    from gpucloud.core.belief import Change
    from gpucloud.flows.refresh_prices import CloudPrices, Refreshed

KINDS = ("moved", "new", "returned", "retired", "suspect")
CHANGES_FOR_PEOPLE = 20


def _count(title: str, key: str) -> Column:
    return Column(key, title, right=True, write=lambda number: f"{number:,}" if number else "")


CLOUD_COLUMNS = (
    Column("cloud", "Cloud"),
    _count("Confirmed", "confirmed"),
    _count("Moved", "moved"),
    _count("New", "new"),
    _count("New types", "new_types"),
    _count("Back", "returned"),
    _count("Retired", "retired"),
    _count("Suspect", "suspect"),
    Column("answered", "Answered", right=True),
)
CHANGE_COLUMNS = (
    Column("kind", "What"),
    Column("cloud", "Cloud"),
    Column("instance_type", "Type"),
    Column("place", "Place", keep=3),
    Column("market", "Market", keep=4),
    Column("before", "Was USD/h", right=True, write=money),
    Column("usd_per_hour", "Is USD/h", right=True, write=money),
    Column("reason", "Why doubted", keep=2),
)


def refresh(
    clouds: Annotated[
        list[str] | None, typer.Argument(metavar="[CLOUD]...", help="aws, azure, gcp, lambda; none = all of them.")
    ] = None,
    believe: Annotated[
        list[str] | None,
        typer.Option("--believe", metavar="TYPE", help="Believe a move of this instance type beyond 3 x; repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask and compare, write nothing.")] = False,
) -> None:
    """Live prices from the clouds' own price lists, checked before they are believed.

    They go into your overlay; nothing that was known is lost. A price beyond 3 x of what was known, a spot price
    above the list or a card that nobody knows is kept apart as suspect and never recommended. Azure needs no
    credentials, AWS your profile, Google GOOGLE_API_KEY or a login, Lambda LAMBDA_API_KEY. Ends with 6 when a
    source failed; what it had stays.
    """
    from datetime import date

    from gpucloud.flows.refresh_prices import refresh as flow
    from gpucloud.render.live import LiveLine

    line = LiveLine(sys.stderr, enabled=not current().quiet)
    line.show("prices: asking")
    try:
        done = flow(
            home(),
            os.environ,
            commas(clouds),
            today=date.today().isoformat(),
            believed=commas(believe),
            dry_run=dry_run,
            progress=lambda done, total: line.show(f"prices: {done} of {total} answers"),
        )
    finally:
        line.show("")
    show(refreshed_view(done), current().output)
    if done.error is not None:
        raise done.error


def refreshed_view(done: Refreshed) -> View:
    """A row per cloud, the changes below, and in words what was not asked, refused or doubted."""
    clouds = [_cloud_row(item) for item in done.clouds]
    changes = [row for item in done.clouds for row in _change_rows(item)]
    body = {"clouds": clouds, "changes": changes}
    shown = sorted(changes, key=_interest)[:CHANGES_FOR_PEOPLE]
    sections = [Section(_title(shown, changes), CHANGE_COLUMNS, shown)] if shown else []
    notes = [note for item in done.clouds for note in _notes(item)]
    return View("catalog refresh", body, CLOUD_COLUMNS, clouds, notes, "Nothing was asked.", sections=sections)


def _title(shown: list[dict[str, Any]], changes: list[dict[str, Any]]) -> str:
    more = f" ({len(shown)} of {len(changes):,}; -o json has all)" if len(shown) < len(changes) else ""
    return f"Changes{more}"


def _cloud_row(item: CloudPrices) -> dict[str, Any]:
    merged = item.merged
    counts = {kind: merged.by_kind.get(kind, 0) if merged else 0 for kind in KINDS}
    return {
        "cloud": item.cloud,
        "confirmed": merged.confirmed if merged else 0,
        **counts,
        "new_types": len(item.new_types),
        "kept_own": merged.kept_own if merged else 0,
        "answered": f"{item.pieces - len(item.failed)} of {item.pieces}" if item.pieces else "not asked",
        "failed": dict(item.failed),
        "left_out": item.left_out or None,
        "refused_lines": dict(item.refused),
        "unknown_types": list(merged.unknown_types) if merged else [],
        "new_type_names": list(item.new_types),
        "cut": list(merged.cut) if merged else [],
    }


def _change_rows(item: CloudPrices) -> Iterator[dict[str, Any]]:
    for change in item.merged.changes if item.merged else ():
        yield _change_row(item.cloud, change)


def _change_row(cloud: str, change: Change) -> dict[str, Any]:
    row = change.row
    return {
        "kind": change.kind,
        "cloud": cloud,
        "instance_type": row.instance_type,
        "region": row.region or None,
        "zone": row.zone or None,
        "place": row.zone or row.region,
        "market": row.market,
        "before": change.before,
        "usd_per_hour": row.usd_per_hour,
        "reason": change.reason.replace("_", " ") or None,
    }


def _interest(row: dict[str, Any]) -> tuple[int, float, str]:
    """Doubts first, then the biggest moves."""
    before, now = row["before"], row["usd_per_hour"]
    share = abs(now / before - 1) if before and now else 0.0
    return (("suspect", "moved", "returned", "retired", "new").index(row["kind"]), -share, row["instance_type"])


def _notes(item: CloudPrices) -> Iterable[str]:
    if item.left_out:
        yield f"{item.cloud} was not asked: {item.left_out}"
    for piece, reason in item.failed.items():
        yield f"{item.cloud}, {piece}: {reason} What was known there is unchanged."
    for reason, count in item.refused.items():
        yield f"{item.cloud}: {plural(count, 'line')} left out, {reason}."
    if item.merged is None:
        return
    for place in item.merged.cut:
        yield f"{item.cloud}, {place}: the answer lacks much of what was known; nothing was retired because of it."
    if item.merged.kept_own:
        yield f"{item.cloud}: {plural(item.merged.kept_own, 'price')} of your own stay in force."
    if item.merged.unknown_types:
        names = ", ".join(item.merged.unknown_types[:5])
        more = f" and {len(item.merged.unknown_types) - 5} more" if len(item.merged.unknown_types) > 5 else ""
        yield f"{item.cloud}: no description of {names}{more}; their prices were left out."
