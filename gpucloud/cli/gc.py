"""`gpucloud gc`: what carries our tags and has no live deployment, in every region of every usable cloud."""

from __future__ import annotations

from typing import Annotated

import typer

from gpucloud.cli.options import current, narrate
from gpucloud.cli.outside import confirm, context
from gpucloud.cli.views import words
from gpucloud.render.text import plural
from gpucloud.render.view import Column, View, show

COLUMNS = (
    Column("cloud", "Cloud"),
    Column("region", "Region"),
    Column("kind", "Kind"),
    Column("id", "Id"),
    Column("class", "Whose", write=words),
    Column("created_at", "Created"),
    Column("account", "Account", wide=True),
    Column("name", "Name", wide=True),
)


def gc(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Also these, whoever made them.")] = None,
    all_homes: Annotated[
        bool, typer.Option("--all-homes", help="Also live machines of other homes, after a second question.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list.")] = False,
) -> None:
    """Find and remove what bills without an owner. Works without the journal.

    Removes what this home lost more than 30 minutes ago, and anybody's that is an hour past its deadline.
    """
    from gpucloud.flows import gc as flow

    with context() as ctx:
        with ctx.waiting("asking every region of every usable cloud"):
            planned = flow.plan_gc(ctx, named=frozenset(ids or ()), all_homes=all_homes)
        doomed = planned.doomed
        if doomed and not dry_run:
            narrate(f"{len(doomed)} to remove: " + ", ".join(item.id for item in doomed))
            confirm("Remove them?", yes)
            if (
                any(orphan.goes and orphan.word in ("other_home", "foreign") for orphan in planned.orphans)
                and all_homes
            ):
                confirm("Some belong to other homes and may be in use. Remove those too?", yes=False)
        with ctx.waiting(f"removing {plural(len(doomed), 'thing')} until the clouds show nothing"):
            result = flow.listed(planned) if dry_run or not doomed else flow.gc(ctx, planned)
        body = result.as_json()
        notes = unscanned_notes(body["unscanned"])
        notes.append(
            f"Asked {plural(len(body['scanned']), 'region')}, removed {plural(len(body['removed']), 'thing')}."
        )
        view = View("gc", body, COLUMNS, body["orphans"], notes, "Nothing without an owner.", "orphans")
        show(view, current().output)
        if result.error is not None:
            raise result.error


def unscanned_notes(places: list[dict[str, str | None]]) -> list[str]:
    """Regions with their reason; clouds that were never used and cannot be asked share one short line."""
    never = [place["cloud"] for place in places if not place["region"]]
    notes = [f"Not asked: {place['cloud']} {place['region']}: {place['reason']}" for place in places if place["region"]]
    if never:
        notes.append(f"Not asked: {', '.join(map(str, never))} (never used here; `gpucloud check` says why).")
    return notes
