"""The instance types behind the offers: one row per machine, with the traits its family is known for."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tools.build_catalog.tables import Row, plain, typed

GB_PER_GIB = 2**30 / 10**9
SPEC = ("accelerator", "accelerator_count", "vcpus", "memory_gib", "gpu_memory_gib")


@dataclass
class Machines:
    """Collects machines; the first table that describes one wins, later gaps are filled, never overwritten."""

    _rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    _traits: list[Row] = field(default_factory=lambda: typed("machine_traits"))
    _aws: dict[str, Row] = field(default_factory=lambda: {row["instance_type"]: row for row in typed("aws_machines")})

    def add(self, cloud: str, instance_type: str, spec: Row) -> tuple[str, ...]:
        """Register a machine; returns the flag of an offer whose table describes it otherwise."""
        wanted = {column: spec.get(column, "") for column in SPEC}
        known = self._rows.setdefault((cloud, instance_type), wanted)
        differs = any(wanted[c] and known[c] and wanted[c] != known[c] for c in SPEC)
        for column in SPEC:
            known[column] = known[column] or wanted[column]
        return ("machine_described_otherwise",) if differs else ()

    def rows(self, statuses: dict[tuple[str, str], set[str]]) -> list[Row]:
        """instance_types.csv, sorted; a machine is current as long as one of its offers is."""
        return [self._row(key, statuses[key]) for key in sorted(self._rows)]

    def _row(self, key: tuple[str, str], statuses: set[str]) -> Row:
        cloud, instance_type = key
        spec = self._rows[key]
        trait = self._trait(cloud, instance_type)
        aws = self._aws.get(instance_type, {}) if cloud == "aws" else {}
        several = float(spec["accelerator_count"]) > 1
        return {
            "cloud": cloud,
            "instance_type": instance_type,
            **spec,
            "arch": trait["arch"],
            "intra_link": trait["intra_link"] if several else "",
            "fabric": f"efa-{aws['efa_gbit_s']}g" if aws.get("efa_gbit_s") else trait["fabric"],
            "local_ssd_gib": plain(round(float(aws["local_ssd_gb"]) / GB_PER_GIB, 1))
            if aws.get("local_ssd_gb")
            else "",
            "stop_supported": trait["stop_supported"],
            "status": next(s for s in ("current", "suspect", "retired") if s in statuses),
        }

    def _trait(self, cloud: str, instance_type: str) -> Row:
        return next(
            row
            for row in self._traits
            if fnmatchcase(cloud, row["cloud"]) and fnmatchcase(instance_type, row["pattern"])
        )
