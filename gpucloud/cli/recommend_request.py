"""From the words of `recommend` and the catalog to the question that `core.recommend` answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from gpucloud.cli.given import ranges, single, whole
from gpucloud.cli.outside import opened_catalog
from gpucloud.cli.own_offers import OWN_CLOUDS
from gpucloud.core import advice as rules
from gpucloud.core.accelerators import GpuRequest, parse_request
from gpucloud.core.choose import Limits, nearest
from gpucloud.core.desk import Market, Wishes
from gpucloud.core.errors import NothingFits, UsageError
from gpucloud.core.extras import Besides, with_extras
from gpucloud.core.memory import check_words
from gpucloud.core.offers import Accelerator, Offer, refresh_command
from gpucloud.core.owning import DEFAULT_UTILISATION, UTILISATION, Terms, systems
from gpucloud.core.query import MARKET_WISHES, OfferQuery, meets
from gpucloud.core.recommend import Recommendation, recommend
from gpucloud.core.renting import Interruptions
from gpucloud.core.subject import Resolver, Subject, Wanted
from gpucloud.core.work import parse_measured, parse_work

if TYPE_CHECKING:
    from gpucloud.catalog.catalog import Catalog

DURATIONS = {
    "deadline": "h",
    "horizon": "y",
    "checkpoint": "s",
    "restart": "s",
    "mtbf": "h",
    "interval": "s",
    "setup": "s",
}
NUMBERS = (
    "params", "flops_per_unit", "seq", "batch", "layers", "d_model", "trials", "early_stop", "budget", "max_nodes",
    "utilisation", "usd_per_kwh", "disk_gib", "download_gb", *DURATIONS,
)  # fmt: skip
ZERO_OK = ("restart", "usd_per_kwh", "setup", "download_gb")
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "mixed")
ARCHITECTURES = ("x86_64", "any")
POWER_PLACE = "world"
SECONDS_PER_YEAR = 31557600.0


class Answer(NamedTuple):
    """What was asked, and what came out."""

    subject: Subject
    wishes: Wishes
    found: Recommendation


def answer(words: Mapping[str, Any]) -> Answer:
    """Raises UsageError for words that make no sense, NothingFits when no option meets the wishes."""
    numbers = _numbers(words)
    wanted = _wanted(words, numbers)
    with opened_catalog() as catalog:
        cards = {card.name: card for card in catalog.accelerators()}
        finder = _Finder(cards, catalog.aliases())
        wishes = _wishes(words, numbers, finder, catalog)
        resolver = Resolver(catalog.benchmarks, catalog.models(), catalog.model_names(), cards, finder.one)
        subject = resolver.subject(wanted)
        market = _market(words, wishes, catalog, cards, finder)
    found = recommend(subject, wishes, market)
    if not found.options:
        raise _nothing(found)
    return Answer(subject, wishes, found)


def _numbers(words: Mapping[str, Any]) -> dict[str, float]:
    given = ranges({key: words.get(key) for key in NUMBERS}, durations=DURATIONS, zero_ok=ZERO_OK)
    whole(given, "trials", "max_nodes", "layers")
    numbers = {key: value for key in list(given) if (value := single(given, key)) is not None}
    for key in ("early_stop", "utilisation"):
        if numbers.get(key, 0) > 1:
            raise UsageError(f"--{key.replace('_', '-')} is a share and cannot exceed 1.", "Write 35% or 0.35.")
    return numbers


def _wanted(words: Mapping[str, Any], numbers: Mapping[str, float]) -> Wanted:
    method, precision = words["method"], words.get("precision")
    check_words("adam", "mixed", method, 0)
    if precision is not None and precision not in PRECISIONS:
        raise UsageError(f"--precision '{precision}' is not known.", "Use one of " + ", ".join(PRECISIONS) + ".")
    if words.get("model") and ("params" in numbers or "flops_per_unit" in numbers):
        raise UsageError("--model already says how large the model is.", "Leave out --params, or leave out --model.")
    shape = ("params", "flops_per_unit", "seq", "batch", "layers", "d_model")
    return Wanted(
        work=parse_work(words["work"]),
        model=words.get("model") or "",
        precision=precision,
        measured=parse_measured(words["measured"]) if words.get("measured") else None,
        method=method,
        repeats=numbers.get("trials", 1.0) * numbers.get("early_stop", 1.0),
        **{key: numbers.get(key) for key in shape},
    )


class _Finder:
    """Names of GPUs to cards: one card where one is meant, all of a family where any will do."""

    def __init__(self, cards: Mapping[str, Accelerator], aliases: Mapping[str, str]) -> None:
        self.cards, self.aliases = tuple(cards.values()), aliases

    def one(self, text: str) -> tuple[str, float]:
        """The card and count of `NAME[:COUNT]`; of a family with several forms the one named first."""
        found = parse_request(text, self.cards, self.aliases)
        return found.accelerators[0], found.count or 1.0

    def requests(self, texts: Sequence[str]) -> tuple[GpuRequest, ...]:
        """Every card that is meant."""
        return tuple(parse_request(text, self.cards, self.aliases) for text in split(texts))


def split(texts: Sequence[str]) -> list[str]:
    """Repeated options and commas alike."""
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def _wishes(words: Mapping[str, Any], numbers: Mapping[str, float], finder: _Finder, catalog: Catalog) -> Wishes:
    rules.check(words.get("profile"), words["stage"])
    if words["market"] not in MARKET_WISHES:
        raise UsageError(f"There is no market '{words['market']}'.", "Use one of " + ", ".join(MARKET_WISHES) + ".")
    if words["arch"] not in ARCHITECTURES:
        raise UsageError(f"--arch '{words['arch']}' is not known.", "Use one of " + ", ".join(ARCHITECTURES) + ".")
    deadline = numbers.get("deadline")
    max_nodes = numbers.get("max_nodes")
    return Wishes(
        limits=Limits(None if deadline is None else deadline / 3600, numbers.get("budget")),
        profile=words.get("profile"),
        stage=words["stage"],
        market=words["market"],
        max_nodes=None if max_nodes is None else int(max_nodes),
        arm_ok=words["arch"] != "x86_64",
        consumer_ok=bool(words["allow_consumer"]),
        rank_stale=bool(words["stale"]),
        interruptions=Interruptions(
            numbers.get("checkpoint", 180.0),
            numbers.get("restart", 600.0),
            numbers.get("mtbf"),
            numbers.get("interval"),
        ),
        terms=_terms(words.get("profile"), numbers, catalog),
        have=tuple(finder.one(text) for text in split(words["have"])),
        besides=Besides(numbers.get("setup", 0.0), numbers.get("disk_gib"), numbers.get("download_gb", 0.0)),
    )


def _terms(profile: str | None, numbers: Mapping[str, float], catalog: Catalog) -> Terms:
    usual = UTILISATION.get(profile or "", DEFAULT_UTILISATION)
    power = [row for row in catalog.table("power") if row["place"] == POWER_PLACE and row["sector"] == "business"]
    space = max(catalog.table("colocation"), key=lambda row: row["year"] or 0, default=None)
    terms = Terms(
        utilisation=numbers.get("utilisation", usual),
        years=numbers.get("horizon", 3 * SECONDS_PER_YEAR) / SECONDS_PER_YEAR,
        stated_use="utilisation" in numbers,
    )
    changes: dict[str, Any] = {}
    if "usd_per_kwh" in numbers:
        changes["usd_per_kwh"] = numbers["usd_per_kwh"]
    elif power:
        changes["usd_per_kwh"] = max(power, key=lambda row: row["period"])["usd_per_kwh"]
    if space is not None:
        changes["colo_usd_per_kw_month"] = space["usd_per_kw_month"]
    return replace(terms, **changes)


def _market(
    words: Mapping[str, Any], wishes: Wishes, catalog: Catalog, cards: Mapping[str, Accelerator], finder: _Finder
) -> Market:
    named, regions = tuple(split(words["cloud"])), tuple(split(words["region"]))
    own = _own_offers(named)
    clouds = tuple(name for name in named if name not in OWN_CLOUDS)
    _known("cloud", clouds, [*catalog.clouds(), *OWN_CLOUDS])
    _known("region", regions, sorted({*catalog.regions(clouds), *(offer.region for offer in own)}))
    query = OfferQuery(
        gpus=finder.requests(words["gpu"]), clouds=clouds, regions=regions, market="any", rank_stale=wishes.rank_stale
    )
    offers = _offers(catalog, query) if clouds or not named else []
    links = {(one.cloud, one.instance_type): one.intra_link for one in catalog.instance_types()}
    mine = [offer for offer in own if meets(offer, replace(query, clouds=())) and _is_usual_share(offer, own)]
    return Market(offers, systems(catalog.table("onprem")), cards, links, _rule(catalog, wishes), mine)


def _offers(catalog: Catalog, query: OfferQuery) -> list[Offer]:
    """What can be started, with what disk and address cost there; behind it what only has a price."""
    startable = catalog.offers(replace(query, provisionable_only=True))
    have = {(offer.cloud, offer.instance_type, offer.market) for offer in startable}
    others = [one for one in catalog.offers(query) if (one.cloud, one.instance_type, one.market) not in have]
    rows = catalog.table("extras")
    return [*(with_extras(offer, rows) for offer in startable), *others]


def _own_offers(named: Sequence[str]) -> list[Offer]:
    """The machines of hosts.yaml, or this computer, where they are named."""
    clouds = [cloud for cloud in OWN_CLOUDS if cloud in named]
    if not clouds:
        return []
    from gpucloud.cli.outside import own_offers

    return [offer for offer in own_offers(clouds) if offer.accelerator]


def _is_usual_share(offer: Offer, own: Sequence[Offer]) -> bool:
    """One, two, four, … GPUs of a machine, or all of them: the shares between them teach nothing."""
    same = [one.accelerator_count for one in own if (one.region, one.accelerator) == (offer.region, offer.accelerator)]
    return offer.accelerator_count == max(same) or offer.accelerator_count in (1, 2, 4, 8)


def _known(what: str, asked: Sequence[str], known: Sequence[str]) -> None:
    from gpucloud.core.errors import nearest as close_to

    for name in asked:
        if name not in known:
            close = ", ".join(close_to(name, known))
            hint = (
                f"Did you mean {close}?" if close else f"`gpucloud compare --all-regions -o wide` shows every {what}."
            )
            raise UsageError(f"There is no {what} '{name}'.", hint)


def _rule(catalog: Catalog, wishes: Wishes) -> str:
    rows = catalog.table("profiles")
    return next((row["advice"] for row in rows if (row["profile"], row["stage"]) == (wishes.profile, wishes.stage)), "")


def _nothing(found: Recommendation) -> NothingFits:
    close = nearest(found.rejected, 3)
    wishes = sorted({miss.wish for miss in close})
    hint = "; ".join(f"{miss.name}: {miss.reason}" for miss in close)
    cure = refresh_command(offer.cloud for offer in found.old_priced)
    hint += f". Some prices are older than a year; `{cure}` asks for today's." if cure else ""
    rejected = [{"option": miss.name, "reason": miss.reason} for miss in found.rejected[:20]]
    words = " and ".join(wishes) if wishes else "the catalog"
    return NothingFits(f"Nothing meets the wishes; what excludes the nearest is {words}.", hint, rejected=rejected)
