"""From the name a price or benchmark table uses to the one canonical accelerator name."""

from __future__ import annotations

from fnmatch import fnmatchcase

from tools.build_catalog.tables import Row, typed

# Price tables use these names for any form of the card.
FORM_SILENT = frozenset({"A100", "A100-80GB", "H100", "H200", "V100", "V100-32GB"})


class Names:
    """The typed name tables: one name per source spelling, and what single clouds are known to use."""

    def __init__(self) -> None:
        self._by_name = {
            (row["source_name"], row["gpu_memory_gib"]): row["accelerator"] for row in typed("source_names")
        }
        self._forms = typed("forms")

    def canonical(self, source_name: str, gpu_memory_gib: str = "") -> str:
        """The catalog's name; names the tables do not list are already canonical."""
        exact = self._by_name.get((source_name, gpu_memory_gib))
        return exact or self._by_name.get((source_name, ""), source_name)

    def sold_by(self, cloud: str, instance_type: str, row: Row) -> tuple[str, tuple[str, ...]]:
        """The accelerator of a priced machine, and a flag where the cloud does not state the form."""
        source_name, memory = row["accelerator"], row["gpu_memory_gib"]
        for rule in self._forms:
            if (
                rule["cloud"] == cloud
                and rule["source_name"] == source_name
                and fnmatchcase(instance_type, rule["pattern"])
            ):
                name = rule["accelerator"] or self.canonical(source_name, memory)
                return name, ("form_assumed",) if rule["assumed"] == "yes" else ()
        name = self.canonical(source_name, memory)
        return name, ("form_assumed",) if source_name in FORM_SILENT else ()
