"""What each CSV file of the catalog holds: columns, which must be filled, what a value may be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from math import isfinite
from typing import Any, NamedTuple

Value = str | float | int | None
Parser = Callable[[str], Any]


class Column(NamedTuple):
    """One column: how a filled cell becomes a value (ValueError says why not), and what an empty one means."""

    name: str
    parse: Parser
    required: bool = False
    empty: Any = None
    few_values: bool = True  # worth remembering the parsed value


def text(cell: str) -> str:
    """Printable ASCII."""
    if not cell.isascii() or not cell.isprintable():
        raise ValueError("has a character that is not printable ASCII")
    return cell


def number(cell: str) -> float:
    """A finite number in plain or scientific notation."""
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or "_" in cell:
        raise ValueError("is not a number")
    return value


def positive(cell: str) -> float:
    """A number above zero."""
    value = number(cell)
    if value <= 0:
        raise ValueError("is not above zero")
    return value


def not_negative(cell: str) -> float:
    """A number, zero included."""
    value = number(cell)
    if value < 0:
        raise ValueError("is below zero")
    return value


def whole(cell: str) -> int:
    """A whole number, zero included."""
    value = not_negative(cell)
    if value != int(value):
        raise ValueError("is not a whole number")
    return int(value)


def day(cell: str) -> str:
    """A date as YYYY-MM-DD."""
    try:
        if len(cell) == 10 and date.fromisoformat(cell):
            return cell
    except ValueError:
        pass
    raise ValueError("is not a date like 2026-05-20")


def flag(cell: str) -> int:
    """true or false."""
    if cell not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return int(cell == "true")


def one_of(*words: str) -> Parser:
    """A parser of a closed list."""

    def parse(cell: str) -> str:
        if cell not in words:
            raise ValueError("is none of " + ", ".join(words))
        return cell

    return parse


def _key(name: str, parse: Parser = text) -> Column:
    return Column(name, parse, required=True)


def _texts(names: str) -> list[Column]:
    return [Column(name, text, empty="") for name in names.split()]


def _numbers(names: str, parse: Parser = not_negative) -> list[Column]:
    return [Column(name, parse) for name in names.split()]


_STATUS = Column("status", one_of("current", "retired", "suspect"), empty="current")
_PRICE_KIND = Column("price_kind", one_of("list", "estimate", "community", "own"), empty="list")
_OBSERVED = Column("observed_on", day, empty="")
_USD = Column("usd_per_hour", positive, few_values=False)

ACCELERATORS = (
    _key("name"),
    *_texts("family vendor architecture"),
    *_numbers("year", whole),
    *_numbers("memory_gib bandwidth_gb_s fp32_tflops tf32_tflops fp16_tensor_tflops fp8_tflops tdp_w", positive),
    Column("form", one_of("server", "workstation", "consumer", "tpu"), empty=""),
    *_texts("compute_capability"),
    *_numbers("nvlink_gb_s msrp_usd"),
    *_texts("note"),
)
ALIASES = (_key("alias"), _key("accelerator"))
INSTANCE_TYPES = (
    *map(_key, ("cloud", "instance_type", "accelerator")),
    _key("accelerator_count", positive),
    *_numbers("vcpus memory_gib gpu_memory_gib", positive),
    Column("arch", one_of("x86_64", "arm64"), empty="x86_64"),
    *_texts("intra_link fabric"),
    *_numbers("local_ssd_gib"),
    Column("stop_supported", flag, empty=1),
    _STATUS,
)
OFFERS = (
    _key("instance_type"),
    *_texts("region zone"),
    Column("market", one_of("on-demand", "spot", "reserved"), empty="on-demand"),
    *_numbers("term_months", positive),
    _USD,
    _PRICE_KIND,
    Column("availability", one_of("open", "capacity_block", "spot_only", "unknown"), empty="unknown"),
    Column("billing_increment_s", positive, empty=1.0),
    Column("minimum_s", not_negative, empty=0.0),
    _OBSERVED,
    _STATUS,
    *_texts("source flags"),
)
EXTRAS = (
    _key("cloud"),
    *_texts("region"),
    _key("kind", one_of("disk", "address", "egress")),
    *_texts("unit"),
    _key("usd", not_negative),
    _OBSERVED,
    *_texts("source"),
)
BENCHMARKS = (
    _key("accelerator"),
    _key("accelerator_count", positive),
    Column("nodes", whole, empty=1),
    *_texts("link"),
    _key("model"),
    Column("precision", one_of("fp32", "tf32", "fp16", "bf16", "fp8", "mixed"), empty=""),
    *_texts("framework"),
    *_numbers("batch_size", positive),
    Column("throughput", positive, required=True, few_values=False),
    _key("unit", one_of("samples/s", "tokens/s", "steps/s", "minutes")),
    *_numbers("year", whole),
    *_texts("source flags"),
)
MODELS = (
    _key("model"),
    *_texts("family task"),
    Column("unit", one_of("samples", "tokens", "steps"), empty=""),
    *_numbers("parameters flops_per_unit epoch_units", positive),
    *_texts("note source"),
)
ONPREM = (
    _key("system"),
    *_texts("vendor kind"),
    _key("accelerator"),
    _key("accelerator_count", positive),
    _key("usd", positive),
    *_numbers("watts", positive),
    *_numbers("year", whole),
    Column("price_kind", text, empty=""),
    *_texts("source note"),
)
POWER = (_key("place"), *_texts("sector"), _key("usd_per_kwh", positive), *_texts("period source"))
COLOCATION = (_key("place"), _key("usd_per_kw_month", positive), *_numbers("year", whole), *_texts("source"))
PROFILES = (_key("profile"), _key("stage"), _key("advice"), *_texts("source"))
SOURCES = (_key("source"), *_texts("title publisher path version licence note"))


class Table(NamedTuple):
    """One kind of file: its columns, and the key by which an overlay's row replaces a shipped one."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The column names in the order of the file."""
        return [column.name for column in self.columns]


def _all_but(columns: tuple[Column, ...], *left_out: str) -> tuple[str, ...]:
    return tuple(column.name for column in columns if column.name not in left_out)


OFFER_KEY = ("instance_type", "region", "zone", "market", "term_months")  # and the cloud, which is the file's name
OFFER_TABLE = Table("offers", OFFERS, OFFER_KEY)
TABLES = {
    table.name: table
    for table in (
        Table("accelerators", ACCELERATORS, ("name",)),
        Table("aliases", ALIASES, ("alias",)),
        Table("instance_types", INSTANCE_TYPES, ("cloud", "instance_type")),
        Table("extras", EXTRAS, ("cloud", "region", "kind", "unit")),
        Table("benchmarks", BENCHMARKS, _all_but(BENCHMARKS, "throughput")),
        Table("models", MODELS, ("model",)),
        Table("onprem", ONPREM, _all_but(ONPREM, "usd", "note")),
        Table("power", POWER, ("place", "sector", "period", "source")),
        Table("colocation", COLOCATION, ("place", "year", "source")),
        Table("profiles", PROFILES, ("profile", "stage")),
        Table("sources", SOURCES, ("source",)),
    )
}


def table_of(file: str) -> Table | None:
    """The table of a file such as `models.csv` or `offers/aws.csv`; None for a file that is none of ours."""
    if file.startswith("offers/"):
        return OFFER_TABLE
    return TABLES.get(file.removesuffix(".csv"))
