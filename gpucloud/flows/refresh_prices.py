"""`catalog refresh`: ask every source at once, believe what can be believed, change the overlay as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpucloud.catalog import overlay
from gpucloud.catalog.catalog import Catalog, open_catalog
from gpucloud.catalog.schema import OFFER_TABLE
from gpucloud.core.belief import Change, Merged, merge
from gpucloud.core.errors import CloudError, CredentialsError, GpucloudError, UsageError, nearest
from gpucloud.core.fresh import PriceRow, Shape, Told, together
from gpucloud.core.offers import InstanceType
from gpucloud.core.shapes import card_of
from gpucloud.flows.catalog_lock import only_writer
from gpucloud.prices.source import SOURCES, PriceSource, open_source
from gpucloud.state.home import Home

ASKED_AT_ONCE = 8
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CloudPrices:
    """What came of one cloud. `failed` maps a piece to the reason; `left_out` says why it was not asked at all."""

    cloud: str
    pieces: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    left_out: str = ""
    merged: Merged | None = None
    refused: Mapping[str, int] = field(default_factory=dict)
    new_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refreshed:
    """Every cloud, and the error to end with (None = all done)."""

    clouds: tuple[CloudPrices, ...]
    error: GpucloudError | None = None


@dataclass
class _Asked:
    source: PriceSource | None
    pieces: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left_out: str = ""


def refresh(
    home: Home,
    environ: Mapping[str, str],
    clouds: Sequence[str] = (),
    *,
    today: str,
    believed: Collection[str] = (),
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> Refreshed:
    """Ask these clouds (all, when none is named) and write what they say into the overlay.

    Raises StateConflict while another refresh runs, UsageError for an unknown cloud or a full disk.
    """
    wanted = _known(clouds)
    with only_writer(home), open_catalog(home.catalog, home.cache, environ=environ) as catalog:
        overlay.sweep(home.catalog)
        every = catalog.instance_types()
        kinds = {cloud: [kind for kind in every if kind.cloud == cloud] for cloud in wanted}
        asked = _ask(wanted, environ, kinds, named=bool(clouds), progress=progress)
        texts: dict[str, str] = {}
        additions = _Additions()
        results = tuple(
            _settled(home.catalog, catalog, cloud, item, kinds[cloud], today, believed, texts, additions)
            for cloud, item in asked.items()
        )
        additions.write(home.catalog, texts)
        if texts and not dry_run:
            overlay.commit(home.catalog, texts)
    return Refreshed(results, _error(results, named=bool(clouds)))


def _known(clouds: Sequence[str]) -> tuple[str, ...]:
    for cloud in clouds:
        if cloud not in SOURCES:
            close = nearest(cloud, list(SOURCES))
            hint = f"Did you mean {', '.join(close)}?" if close else f"Sources: {', '.join(SOURCES)}."
            raise UsageError(f"No price source is called '{cloud}'.", hint)
    return tuple(dict.fromkeys(clouds)) or tuple(SOURCES)


def _ask(
    clouds: Sequence[str],
    environ: Mapping[str, str],
    kinds: Mapping[str, Sequence[InstanceType]],
    named: bool,
    progress: Progress,
) -> dict[str, _Asked]:
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        opened = pool.map(lambda cloud: _open(cloud, environ, kinds[cloud]), clouds)
        asked = dict(zip(clouds, opened, strict=True))
        waiting = {
            pool.submit(item.source.ask, piece): (item, piece)
            for item in asked.values()
            if item.source is not None
            for piece in item.pieces
        }
        for number, done in enumerate(as_completed(waiting), 1):
            item, piece = waiting[done]
            try:
                item.told.append(done.result())
            except GpucloudError as error:
                item.failed[piece] = error.message
            except Exception as error:  # a hostile answer must not take the other sources with it
                item.failed[piece] = f"The answer was not understood: {type(error).__name__}."
            progress(number, len(waiting))
    return asked


def _open(cloud: str, environ: Mapping[str, str], kinds: Sequence[InstanceType]) -> _Asked:
    try:
        source = open_source(cloud, environ, kinds)
        return _Asked(source, list(source.pieces()))
    except (CredentialsError, UsageError) as error:
        return _Asked(None, left_out=f"{error.message} {error.hint}".strip())
    except GpucloudError as error:
        return _Asked(None, failed={"everything": error.message})


class _Additions:
    """Rows for the small tables: sources, cards and instance types that were not known."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Mapping[str, Any]]] = {"sources": [], "accelerators": [], "instance_types": []}

    def write(self, folder: Path, texts: dict[str, str]) -> None:
        """Their files' new texts."""
        for table, rows in self.rows.items():
            text = overlay.with_rows(folder, f"{table}.csv", rows)
            if text is not None:
                texts[f"{table}.csv"] = text


def _settled(
    folder: Path,
    catalog: Catalog,
    cloud: str,
    asked: _Asked,
    kinds: Sequence[InstanceType],
    today: str,
    believed: Collection[str],
    texts: dict[str, str],
    additions: _Additions,
) -> CloudPrices:
    """One cloud's answer merged; its new texts and table rows are put into `texts` and `additions`."""
    outcome = CloudPrices(cloud, len(asked.pieces), asked.failed, asked.left_out)
    if asked.source is None or not asked.told:
        return outcome
    told = together(asked.told)
    new = _new_types(catalog, cloud, told.shapes, kinds)
    doubtful = {kind.instance_type for kind in kinds if kind.status == "suspect"}
    doubtful |= {name for name, row in new.items() if row["status"] == "suspect"}
    own = overlay.offer_rows(folder, cloud)
    merged = merge(
        overlay.in_force(overlay.offer_rows(catalog.folder, cloud), own),
        own,
        told,
        types={*(kind.instance_type for kind in kinds), *new},
        doubtful_types=doubtful,
        source=asked.source.source,
        today=today,
        believed=believed,
    )
    used = {row.instance_type for row in merged.rows}
    additions.rows["instance_types"] += [row for name, row in new.items() if name in used]
    additions.rows["accelerators"] += _new_cards(catalog, [row for name, row in new.items() if name in used])
    additions.rows["sources"].append(_source_row(asked.source, today))
    texts[f"offers/{cloud}.csv"] = overlay.text_of(OFFER_TABLE, merged.rows)
    history = overlay.history_text(folder, cloud, _history(merged.changes))
    if history is not None:
        texts[f"{overlay.HISTORY}/{cloud}.csv"] = history
    return CloudPrices(cloud, len(asked.pieces), asked.failed, "", merged, told.refused, tuple(sorted(set(new) & used)))


def _new_types(
    catalog: Catalog, cloud: str, shapes: Sequence[Shape], kinds: Sequence[InstanceType]
) -> dict[str, dict[str, Any]]:
    """Rows of instance_types.csv for machines that were not known; `suspect` where the card is not."""
    known = {kind.instance_type for kind in kinds}
    cards, aliases = catalog.accelerators(), catalog.aliases()
    rows = {}
    for shape in shapes:
        if shape.instance_type in known or not shape.instance_type.isascii() or not shape.instance_type.isprintable():
            continue
        card = card_of(shape, cards, aliases, kinds)
        name = card or _ascii(shape.accelerator) or "unknown"
        rows[shape.instance_type] = {
            "cloud": cloud,
            "instance_type": shape.instance_type,
            "accelerator": name,
            "accelerator_count": shape.accelerator_count,
            "vcpus": shape.vcpus,
            "memory_gib": shape.memory_gib,
            "gpu_memory_gib": shape.gpu_memory_gib,
            "arch": shape.arch,
            "intra_link": "",
            "fabric": "",
            "local_ssd_gib": shape.local_ssd_gib,
            "stop_supported": 0 if cloud == "lambda" else 1,
            "status": "current" if card else "suspect",
        }
    return rows


def _ascii(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and letter.isprintable()).strip()[:60]


def _new_cards(catalog: Catalog, kinds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    known = {card.name for card in catalog.accelerators()}
    names = sorted({str(kind["accelerator"]) for kind in kinds} - known)
    return [{"name": name, "family": name, "note": "named by a cloud, not described yet"} for name in names]


def _source_row(source: PriceSource, today: str) -> dict[str, Any]:
    return {"source": source.source, "title": source.title, "publisher": source.cloud, "path": source.page,
            "version": today, "licence": "", "note": "read by gpucloud catalog refresh"}  # fmt: skip


def _history(changes: Sequence[Change]) -> list[tuple[Any, ...]]:
    """A line for each price that is not what it was."""
    return [_history_line(change.row) for change in changes if change.kind != "new"]


def _history_line(row: PriceRow) -> tuple[Any, ...]:
    return (
        row.instance_type,
        row.region,
        row.zone,
        row.market,
        row.usd_per_hour,
        row.observed_on,
        row.status,
        row.source,
    )


def _error(results: Sequence[CloudPrices], named: bool) -> GpucloudError | None:
    failed = [item for item in results if item.failed]
    missing = [item for item in results if item.left_out]
    if failed:
        words = "; ".join(f"{item.cloud} ({_first(item.failed)})" for item in failed)
        again = " ".join(item.cloud for item in failed)
        hint = f"What was known there is unchanged; `gpucloud catalog refresh {again}` asks again."
        return CloudError(f"Not everything answered: {words}.", hint)
    if missing and (named or len(missing) == len(results)):
        words = "; ".join(f"{item.cloud}: {item.left_out}" for item in missing)
        again = " ".join(item.cloud for item in missing)
        return CloudError(f"Not asked: {words}", f"Give what is missing, then `gpucloud catalog refresh {again}`.")
    return None


def _first(failed: Mapping[str, str]) -> str:
    piece, reason = next(iter(failed.items()))
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"{piece}: {reason.rstrip('.')}{more}"
