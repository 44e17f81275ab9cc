"""The data rules over real files: every fault of a folder and its overlay, none hidden by an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gpucloud.catalog.load import Row, read
from gpucloud.catalog.location import csv_files
from gpucloud.catalog.schema import table_of
from gpucloud.core import rules
from gpucloud.core.rules import Problem

# Columns that must name something another file defines: (file's table, column) → the defining table.
REFERENCES = {
    ("aliases", "accelerator"): "accelerators",
    ("instance_types", "accelerator"): "accelerators",
    ("benchmarks", "accelerator"): "accelerators",
    ("onprem", "accelerator"): "accelerators",
    ("benchmarks", "model"): "models",
    **{
        (table, "source"): "sources"
        for table in ("offers", "extras", "benchmarks", "models", "onprem", "power", "colocation", "profiles")
    },
}


class Checked(NamedTuple):
    """The verdict: every problem in the order of the files, and rows by file."""

    problems: list[Problem]
    rows: dict[str, int]

    def counts(self) -> dict[str, Any]:
        """How much was looked at and how many problems of each rule there are."""
        by_rule: dict[str, int] = {}
        for problem in self.problems:
            by_rule[problem.rule] = by_rule.get(problem.rule, 0) + 1
        total = {"files": len(self.rows), "rows": sum(self.rows.values()), "problems": len(self.problems)}
        return {**total, "by_rule": by_rule, "rows_by_file": self.rows}


def check(folder: Path, overlay: Path | None, today: str) -> Checked:
    """Apply every rule to the files of `folder` and of `overlay`, whose names are shown with the folder's."""
    found = {file: folder / file for file in csv_files(folder)}
    if overlay is not None:
        found.update({f"{overlay.name}/{file}": overlay / file for file in csv_files(overlay)})
    problems: list[Problem] = []
    rows: dict[str, list[Row]] = {}
    for file, path in found.items():
        table = table_of(_plain(file, overlay))
        if table is None:
            problems.append(Problem(file, 1, "", "file", "No file of the catalog has this name."))
            continue
        rows[file], wrong = read(path, file, table)
        problems += wrong
    names = _names(rows, overlay)
    for file in rows:
        problems += _of_file(file, _plain(file, overlay), rows[file], names, today)
    return Checked(sorted(problems), {file: len(kept) for file, kept in rows.items()})


def _plain(file: str, overlay: Path | None) -> str:
    return file.removeprefix(f"{overlay.name}/") if overlay is not None else file


Names = Mapping[str, set[Any]]


def _names(rows: Mapping[str, list[Row]], overlay: Path | None) -> Names:
    """What the defining tables define, all layers together."""
    keys = {"accelerators": "name", "models": "model", "sources": "source"}
    names: dict[str, set[Any]] = {table: set() for table in (*keys, "instance_types", "tpus")}
    for file, kept in rows.items():
        table = _plain(file, overlay).removesuffix(".csv")
        if table in keys:
            names[table] |= {row.values[keys[table]] for row in kept}
        if table == "accelerators":
            names["tpus"] |= {row.values["name"] for row in kept if row.values["form"] == "tpu"}
        if table == "instance_types":
            names["instance_types"] |= {(row.values["cloud"], row.values["instance_type"]) for row in kept}
    return names


def _of_file(file: str, plain: str, rows: list[Row], names: Names, today: str) -> Iterator[Problem]:
    table = table_of(plain)
    assert table is not None
    for (owner, column), defining in REFERENCES.items():
        if owner == table.name:
            yield from rules.unknown(file, rows, column, names[defining], f"{defining}.csv")
    keyed = table.name not in ("benchmarks", "onprem")  # the same thing may be measured or quoted twice
    yield from rules.repeated(file, rows, table.key) if keyed else ()
    if table.name == "offers":
        cloud = Path(plain).stem
        known = {name for owner, name in names["instance_types"] if owner == cloud}
        yield from rules.unknown(file, rows, "instance_type", known, "instance_types.csv")
    yield from _own_rules(today).get(table.name, _nothing)(file, rows, names)


def _nothing(file: str, rows: list[Row], names: Names) -> Iterator[Problem]:
    return iter(())


def _own_rules(today: str) -> dict[str, Callable[[str, list[Row], Names], Iterator[Problem]]]:
    return {
        "offers": lambda file, rows, names: rules.offer_problems(file, rows, today),
        "instance_types": lambda file, rows, names: rules.type_problems(file, rows, names["tpus"]),
        "benchmarks": lambda file, rows, names: rules.benchmark_problems(file, rows),
    }
