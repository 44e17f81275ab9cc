"""What is in an open catalog and how old it is: rows by file, offers and ages by cloud."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from gpucloud.catalog.catalog import Catalog
from gpucloud.core.offers import age_bucket

BUCKETS = ("fresh", "recent", "old", "stale")


def files(catalog: Catalog) -> list[dict[str, Any]]:
    """Rows of each file; `layer` is shipped or overlay."""
    layers = ("shipped", "overlay")
    return [{"file": row["file"], "layer": layers[row["layer"]], "rows": row["rows"]} for row in catalog.table("files")]


def clouds(catalog: Catalog) -> list[dict[str, Any]]:
    """For each cloud: instance types, regions, offers by status and by the age of their price."""
    per_day = catalog.connection.execute(
        "SELECT t.cloud, o.status, o.observed_on, count(*) FROM offers o JOIN types t ON t.rowid = o.type_id "
        "GROUP BY 1, 2, 3"
    ).fetchall()
    types = dict(catalog.connection.execute("SELECT cloud, count(*) FROM types GROUP BY cloud").fetchall())
    found = []
    for cloud in catalog.clouds():
        rows = [row[1:] for row in per_day if row[0] == cloud]
        found.append({**_of_cloud(catalog, cloud, rows), "instance_types": types.get(cloud, 0)})
    return found


def _of_cloud(catalog: Catalog, cloud: str, rows: list[tuple[str, str, int]]) -> dict[str, Any]:
    days = sorted(day for _, day, _ in rows if day)
    return {
        "cloud": cloud,
        "offers": sum(number for _, _, number in rows),
        "regions": len(catalog.regions((cloud,))),
        "by_status": _sums((status, number) for status, _, number in rows),
        "by_age": dict.fromkeys(BUCKETS, 0)
        | _sums((age_bucket(_age(catalog.today, day)), number) for _, day, number in rows),
        "oldest_observed_on": days[0] if days else None,
        "newest_observed_on": days[-1] if days else None,
        "newest_age_days": _age(catalog.today, days[-1]) if days else None,
    }


def _age(today: date, day: str) -> int | None:
    return max(0, (today - date.fromisoformat(day)).days) if day else None


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name, number in pairs:
        sums[name] = sums.get(name, 0) + number
    return sums
